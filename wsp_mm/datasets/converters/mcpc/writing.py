# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""The records of MCPC's json files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from wsp_mm import __version__
from wsp_mm.datasets.converters.mcpc.files import dump_records
from wsp_mm.datasets.converters.mcpc.options import BuildOptions
from wsp_mm.datasets.converters.mcpc.pairs import make_pairs
from wsp_mm.datasets.converters.mcpc.records import SOURCES, Findings
from wsp_mm.datasets.converters.mcpc.select import ANKLES, DECIMALS, JOINT_SET, Selection
from wsp_mm.structures.keypoints import get_joint_set

_JOINTS = get_joint_set(JOINT_SET)
_KNEES = {
    _JOINTS.index(f'{side}_ankle'): _JOINTS.index(f'{side}_knee') for side in ('left', 'right')
}


def _id_key(value: int | str) -> tuple:
    return (isinstance(value, str), value)


def _flat(keypoints: np.ndarray, visible: np.ndarray) -> list:
    """x, y, v of every joint in a row."""
    return [
        n for (x, y), v in zip(keypoints.tolist(), visible.tolist(), strict=True) for n in (x, y, v)
    ]


def _other_ankles(part: Selection, picture: int, kept: np.ndarray) -> list[list]:
    """x, y and shank length px of the labelled ankles of those on the picture who are not kept."""
    out = []
    for person in part.by_picture[picture]:
        if person in kept:
            continue
        for ankle in ANKLES:
            if part.visible[person, ankle] > 0:
                place, knee = part.keypoints[person, ankle], _KNEES[ankle]
                known = part.visible[person, knee] > 0
                shank = np.linalg.norm(place - part.keypoints[person, knee]) if known else None
                out.append(
                    [*place.tolist(), None if shank is None else round(float(shank), DECIMALS)]
                )
    return out


@dataclass
class Record:
    """A kept picture on its way into a file."""

    image: dict
    part: Selection
    picture: int
    persons: np.ndarray
    first_id: int

    def light(self) -> list[dict]:
        """What pairs are made from."""
        p = self.part
        return [
            dict(
                id=self.first_id + k,
                source_id=p.data.source_ids[i],
                ground_y=float(p.ground_y[i]),
                scale=float(p.scale[i]),
                visible=p.visible[i],
            )
            for k, i in enumerate(self.persons)
        ]

    def annotations(self) -> Iterator[dict]:
        p = self.part
        for k, i in enumerate(self.persons):
            x, y, w, h = p.bbox[i].tolist()
            area = float(p.data.area[i])
            yield dict(
                id=self.first_id + k,
                image_id=self.image['id'],
                category_id=1,
                iscrowd=0,
                bbox=[x, y, w, h],
                area=round(area if np.isfinite(area) else w * h, DECIMALS),
                keypoints=_flat(p.keypoints[i], p.visible[i]),
                num_keypoints=int((p.visible[i] > 0).sum()),
                source=p.data.source,
                source_id=p.data.source_ids[i],
                ground_y=float(p.ground_y[i]),
                scale=float(p.scale[i]),
                scale_source=str(p.scale_source[i]),
            )


def make_records(parts: list[Selection], ankles: str) -> list[Record]:
    """Kept pictures by source and file name, persons by their ids: no trace of the order in the
    files.
    """
    kept = [(part, i, persons) for part in parts for i, persons in part.kept(ankles)[0]]
    kept.sort(key=lambda k: (SOURCES.index(k[0].data.source), k[0].data.pictures[k[1]].file_name))
    out, next_id = [], 1
    for part, i, persons in kept:
        persons = np.array(sorted(persons, key=lambda n: _id_key(part.data.source_ids[n])))
        picture = part.data.pictures[i]
        image = dict(
            id=len(out) + 1,
            file_name=picture.file_name,
            source=part.data.source,
            width=picture.width,
            height=picture.height,
            source_id=picture.source_id,
            other_ankles=_other_ankles(part, i, persons),
        )
        out.append(Record(image, part, i, persons, next_id))
        next_id += len(persons)
    return out


def _categories() -> list[dict]:
    joints = get_joint_set(JOINT_SET)
    links = [[a + 1, b + 1] for a, b in joints.link_indices]
    return [
        dict(
            id=1,
            name='person',
            supercategory='person',
            keypoints=list(joints.joints),
            skeleton=links,
        )
    ]


def write_split(
    file,
    split: str,
    records: list[Record],
    options: BuildOptions,
    factors: dict,
    findings: Findings,
    bar: Callable,
) -> list[dict]:
    """One split into an open file; returns its pairs."""
    info = dict(
        description='MCPC: persons with labelled ankles, ordered by the perspective rule',
        version=__version__,
        split=split,
        joint_set=JOINT_SET,
        **options.recorded(),
        scale_factors=factors,
        skipped=findings.counts(),
        unchecked=dict(sorted(findings.unchecked.items())),
    )
    lists: dict[str, Iterable[dict]] = dict(
        categories=_categories(),
        images=[record.image for record in records],
        annotations=(
            ann for record in bar(records, f'writing {split}') for ann in record.annotations()
        ),
    )
    pairs = []
    if split == 'test':
        named = [
            (r.image['id'], f'{r.image["source"]}/{r.image["file_name"]}', r.light())
            for r in records
        ]
        pairs = make_pairs(named, options.max_pairs_per_image, options.min_gap_px, options.seed)
        lists['pairs'] = pairs
    dump_records(file, {'info': info}, lists)
    return pairs
