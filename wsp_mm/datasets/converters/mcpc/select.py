# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Who is eligible: clipped boxes, ankles, ground heights, scales, and the images that keep two
persons or more.

N persons.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from wsp_mm.datasets.annotations import Findings
from wsp_mm.datasets.converters.mcpc.sources import (
    DECIMALS,
    JOINT_SET,
    SOURCES,
    SPLITS,
    Image,
    PersonTable,
)
from wsp_mm.structures.depth_layers import UNKNOWN, layer_probabilities
from wsp_mm.structures.ground_plane import PlaneOrder, plane_order
from wsp_mm.structures.keypoints import get_joint_set
from wsp_mm.structures.relative_depth import (
    MIN_LENGTH_PX,
    SCALE_SOURCES,
    calibrate,
    ground_y,
    person_scale,
    valid_pairs,
)

ANKLES = get_joint_set(JOINT_SET).ankles
KNEES = tuple(get_joint_set(JOINT_SET).index(f'{side}_knee') for side in ('left', 'right'))


def clip_boxes(boxes: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Return (N, 4) boxes x, y, w, h px clipped to images of (N, 2) width and height px; inf (not
    known) does not clip.
    """
    low = np.clip(boxes[:, :2], 0, None)
    return np.concatenate([low, np.minimum(boxes[:, :2] + boxes[:, 2:], size) - low], axis=-1)


def measure(table: PersonTable, ground: str, findings: Findings) -> None:
    """Clip the boxes, and add the columns that choose persons.

    Adds usable (N,): no crowd, and with a box; num_ankles (N,): labelled ankles; ground_y (N,) px,
    nan without an ankle; length_bbox (N,) px. Completes length_head by head_length.

    Args:
        table: images of unknown size have width None. Persons whose box is outside are removed.
        ground: see :func:`wsp_mm.structures.relative_depth.ground_y`.
        findings: gets boxes outside their images, and what could not be clipped.

    Raises:
        AnnotationError: a box is outside its image, and bad records are not skipped.
    """
    persons = table.persons
    images = [table.images[i] for i in persons['image'].tolist()]
    size = np.reshape([image.size for image in images], (-1, 2))
    boxes, clipped = persons['bbox'], clip_boxes(persons['bbox'], size)
    flat = persons['box_made'] & (boxes[:, 2:] <= 0).any(axis=1)
    empty = ~flat & ((boxes[:, 2:] <= 0) | (clipped[:, 2:] <= 0)).any(axis=1)
    for i in np.flatnonzero(empty & ~persons['crowd']):
        findings.report(
            'box outside the image', images[i].file,
            f'person {persons["id"][i]} on {images[i].file_name}',
            f'its box x, y, w, h = {boxes[i].round(2).tolist()} has no area inside the image of '
            f'{images[i].width} x {images[i].height} px',
        )  # fmt: skip
    for key, number in table.tally(~empty & np.isinf(size).any(axis=1)).items():
        what = 'boxes not clipped right and below, image size unknown'
        findings.unchecked[f'{" ".join(key)}: {what}'] += number
    persons['bbox'] = clipped.round(DECIMALS)
    # No length can be measured in less than a pixel: such a person has no scale.
    thin = ~flat & ~empty & (persons['bbox'][:, 2:] < MIN_LENGTH_PX).any(axis=1)
    table.count(thin, 'less than a pixel of the box within the image')
    table.count(flat, 'joints without extent, so no box')
    persons['usable'] = ~persons['crowd'] & ~flat & ~thin
    table.keep(~empty)

    persons = table.persons
    persons['num_ankles'] = (persons['visible'][:, ANKLES] > 0).sum(axis=1)
    joints = zip(persons['keypoints'], persons['visible'], strict=True)
    heights = [ground_y(keypoints, visible, ANKLES, ground) for keypoints, visible in joints]
    persons['ground_y'] = np.array(heights, dtype=np.float64).round(DECIMALS + 1)
    height, head, given = persons['bbox'][:, 3], persons['length_head'], persons['head_length']
    persons['length_bbox'] = height = np.where(height >= MIN_LENGTH_PX, height, np.nan)
    # A "head" of half a person or more is a rectangle drawn around something else.
    given = np.where(given < height / 2, given, np.nan)
    persons['length_head'] = np.where(np.isnan(head), given, head)


def add_scales(table: PersonTable) -> dict:
    """Add the columns scale (N,) px and scale_source (N,), see
    :func:`wsp_mm.structures.relative_depth.person_scale`.

    Returns:
        The factors, from the eligible persons of train, or of everything when train has too few.
    """
    persons = table.persons
    lengths = {name: persons[f'length_{name}'] for name in SCALE_SOURCES}
    is_train = np.array([image.split == 'train' for image in table.images], dtype=bool)
    is_train = is_train[persons['image']]
    chosen = eligible(table, 'any')
    for name, mask in (('train', chosen & is_train), ('train and test', chosen)):
        factors = calibrate({key: length[mask] for key, length in lengths.items()})
        factors['calibrated_on'] = name
        if all(factors['persons'].values()):
            break
    scale, persons['scale_source'] = person_scale(lengths, factors)
    persons['scale'] = scale.round(DECIMALS + 1)
    return factors


def eligible(table: PersonTable, ankles: str) -> np.ndarray:
    """Return (N,) who counts under the rule 'any' or 'both'; who has a layer needs no ankle."""
    persons = table.persons
    enough = persons['num_ankles'] >= (2 if ankles == 'both' else 1)
    return persons['usable'] & (enough | (persons['layer'] != UNKNOWN))


@dataclass
class KeptImage:
    """An image of an MCPC file.

    Attributes:
        image: as listed.
        persons: its eligible persons, others: the other ones; numbers in the table, by their ids.
        num_pairs: number of valid pairs.
        id, first_id: numbers of the image and of its first person in the MCPC file of its split.
        order: of ``persons`` by the ground plane, None where the rule labels them.
    """

    image: Image
    persons: np.ndarray
    others: np.ndarray
    num_pairs: int
    id: int = 0
    first_id: int = 0
    order: PlaneOrder | None = None

    @property
    def split(self) -> str:
        return self.image.split


def keep_images(table: PersonTable, ankles: str, min_gap_px: float = 0.0) -> list[KeptImage]:
    """Choose the images of the MCPC files.

    An image needs two eligible persons; one of the test set also a valid pair, since a test pair is
    fixed. Images are ordered by source and file name, persons by their ids, so that nothing
    depends on the order in the source's files.

    Args:
        table: measured.
        ankles: the rule, 'any' or 'both'.
        min_gap_px: smallest difference of ground heights that makes a pair.
    """
    persons, mask = table.persons, eligible(table, ankles)
    ids = [(isinstance(person, str), person) for person in persons['id']]
    order = np.array(sorted(range(len(table)), key=ids.__getitem__), dtype=np.int64)
    order = order[np.argsort(persons['image'][order], kind='stable')]
    edges = np.searchsorted(persons['image'][order], np.arange(1, len(table.images)))
    kept = []
    for image, there in zip(table.images, np.split(order, edges), strict=False):
        chosen, others = there[mask[there]], there[~mask[there]]
        if len(chosen) >= 2 and not image.gone:
            if image.source == 'relative_human':
                valid = layer_probabilities(persons['layer'][chosen]) != 0.5
            else:
                joints = persons['ground_y'][chosen], min_gap_px, persons['visible'][chosen]
                valid = np.triu(valid_pairs(*joints))
            if valid.any() or image.split == 'train':
                kept.append(KeptImage(image, chosen, others, int(valid.sum())))
    kept.sort(key=lambda k: (SOURCES.index(k.image.source), k.image.file_name))
    for split in SPLITS:
        first_id = 1
        for number, k in enumerate(k for k in kept if k.split == split):
            k.id, k.first_id = number + 1, first_id
            first_id += len(k.persons)
    return kept


def add_plane_order(table: PersonTable, kept: KeptImage) -> None:
    """Order an image's persons by the ground plane. Its other persons help to find the plane, but
    not crowds.
    """
    persons, count = table.persons, len(kept.persons)
    rows = np.concatenate([kept.persons, kept.others[~persons['crowd'][kept.others]]])
    joints = persons['keypoints'][rows], persons['visible'][rows]
    order = plane_order(*joints, kept.image.width, kept.image.height, JOINT_SET)
    kept.order = PlaneOrder(
        order.log_depth[:count], order.log_depth_std[:count], order.nearer[:count, :count].round(4)
    )


def image_record(table: PersonTable, kept: KeptImage) -> dict:
    """Return the json record of an image. ``other_ankles`` are x, y and shank length px (None: knee
    not labelled) of the labelled ankles of the persons who are not in the file. ``nearer``, where
    the ground plane or people's layers label, is P(first is nearer) of every two of its persons:
    the upper triangle, row by row. Of Relative Human's images it always comes from the layers, see
    :func:`wsp_mm.structures.depth_layers.layer_probabilities`.
    """
    other_ankles = []
    for person in kept.others:
        joints, visible = table.persons['keypoints'][person], table.persons['visible'][person]
        for ankle, knee in zip(ANKLES, KNEES, strict=True):
            if visible[ankle] > 0:
                shank = round(float(np.linalg.norm(joints[ankle] - joints[knee])), DECIMALS)
                other_ankles.append([*joints[ankle].tolist(), shank if visible[knee] > 0 else None])
    names = ('file_name', 'source', 'width', 'height', 'source_id')
    as_listed = {name: getattr(kept.image, name) for name in names}
    record = dict(id=kept.id, **as_listed, other_ankles=other_ankles)
    if kept.image.source == 'relative_human':
        layers = table.persons['layer'][kept.persons]
        record['nearer'] = layer_probabilities(layers).tolist()
    elif kept.order is not None:
        upper = np.triu_indices(len(kept.persons), 1)
        record['nearer'] = kept.order.nearer[upper].tolist()
    return record


def annotation_records(table: PersonTable, kept: KeptImage) -> Iterator[dict]:
    """Yield the json records of an image's persons."""
    for k, i in enumerate(kept.persons):
        person = {name: values[i] for name, values in table.persons.items()}
        x, y, w, h = person['bbox'].tolist()
        area, visible = float(person['area']), person['visible'].tolist()
        joints = zip(person['keypoints'].tolist(), visible, strict=True)
        record = dict(
            id=kept.first_id + k,
            image_id=kept.id,
            category_id=1,
            iscrowd=0,
            bbox=[x, y, w, h],
            area=round(area if np.isfinite(area) else w * h, DECIMALS),
            keypoints=[number for xy, v in joints for number in (*xy, v)],
            num_keypoints=sum(v > 0 for v in visible),
            source=kept.image.source,
            source_id=person['id'],
            ground_y=None if np.isnan(person['ground_y']) else float(person['ground_y']),
            scale=float(person['scale']),
            scale_source=str(person['scale_source']),
        )
        if kept.order is not None:
            for name in ('log_depth', 'log_depth_std'):
                record[name] = round(float(getattr(kept.order, name)[k]), 4)
        yield record
