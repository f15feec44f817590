# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Who is eligible: boxes, ankles, ground heights, and the pictures that keep two persons or more.

N persons, 16 joints in MCPC's order.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from wsp_mm.datasets.converters.mcpc.records import Findings, SourceData
from wsp_mm.structures.keypoints import convert_joints, get_joint_set
from wsp_mm.structures.relative_depth import MIN_LENGTH_PX, ground_y, scale_lengths, valid_pairs

JOINT_SET = 'mcpc16'
ANKLES = get_joint_set(JOINT_SET).ankles
#: A box made from joints is their extent times this (head and feet reach beyond the joints).
JOINTS_TO_BOX = 1.2
# Finer than any labelling; coarse enough that a coordinate survives json unchanged.
DECIMALS = 3


def joint_boxes(keypoints: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """Extent of the labelled joints x 1.2 about its centre.

    Args:
        keypoints: (N, K, 2) px. visible: (N, K), at least one positive a person.

    Returns:
        (N, 4) x, y, w, h px, not clipped; w or h is 0 where the joints have no extent.
    """
    seen = (np.asarray(visible) > 0)[..., None]
    low = np.where(seen, keypoints, np.inf).min(axis=1)
    high = np.where(seen, keypoints, -np.inf).max(axis=1)
    size = (high - low) * JOINTS_TO_BOX
    return np.concatenate([(low + high - size) / 2, size], axis=-1)


def clip_boxes(boxes: np.ndarray, width: np.ndarray, height: np.ndarray) -> np.ndarray:
    """(N, 4) x, y, w, h px cut to the picture [0, width] x [0, height]; an unknown size (inf) does
    not cut.
    """
    low = np.clip(boxes[:, :2], 0, None)
    high = np.minimum(boxes[:, :2] + boxes[:, 2:], np.stack([width, height], axis=-1))
    return np.concatenate([low, high - low], axis=-1)


@dataclass
class Selection:
    """One split of one source, measured.

    Attributes:
        data: as read.
        keypoints: (N, 16, 2) px. visible: (N, 16) 0, 1, 2.
        bbox: (N, 4) x, y, w, h px, clipped.
        usable: (N,) no crowd, and with a box.
        num_ankles: (N,) labelled ankles.
        ground_y: (N,) px, nan without an ankle.
        lengths: see :func:`wsp_mm.structures.relative_depth.scale_lengths`.
        min_gap_px: smallest difference of ground heights that makes a pair.
        gone: (number of pictures,) pictures taken out after reading, as copies of others.
        scale, scale_source: (N,) px and name, see
            :func:`wsp_mm.structures.relative_depth.person_scale`; set once the factors are known,
            which takes all sources.
        by_picture: indices of each picture's persons.
    """

    data: SourceData
    keypoints: np.ndarray
    visible: np.ndarray
    bbox: np.ndarray
    usable: np.ndarray
    num_ankles: np.ndarray
    ground_y: np.ndarray
    lengths: dict[str, np.ndarray]
    min_gap_px: float
    gone: np.ndarray = field(init=False)
    scale: np.ndarray = field(init=False)
    scale_source: np.ndarray = field(init=False)
    by_picture: list[np.ndarray] = field(init=False)

    def __post_init__(self) -> None:
        self.gone = np.zeros(len(self.data.pictures), dtype=bool)
        order = np.argsort(self.data.picture, kind='stable')
        edges = np.searchsorted(self.data.picture[order], np.arange(1, len(self.data.pictures)))
        self.by_picture = np.split(order, edges) if self.data.pictures else []

    @property
    def name(self) -> tuple[str, str]:
        return self.data.source, self.data.split

    def eligible(self, ankles: str) -> np.ndarray:
        """(N,) who counts under the rule 'any' or 'both'."""
        return self.usable & (self.num_ankles >= (2 if ankles == 'both' else 1))

    def kept(self, ankles: str) -> tuple[list[tuple[int, np.ndarray]], dict[str, int]]:
        """The pictures that are kept, and the numbers for the table.

        A picture needs two eligible persons; one of the test set also a valid pair, since a test
        pair is fixed.

        Returns:
            (index of the picture, indices of its eligible persons) of each, and counts.
        """
        eligible = self.eligible(ankles)
        pictures, counts = [], dict(images=0, persons=0, pairs=0, refused=0)
        for i, persons in enumerate(self.by_picture):
            persons = persons[eligible[persons]]
            if len(persons) < 2 or self.gone[i]:
                continue
            valid = valid_pairs(self.ground_y[persons], self.min_gap_px, self.visible[persons])
            pairs = int(valid.sum()) // 2
            if pairs == 0 and self.data.split == 'test':
                counts['refused'] += 1
                continue
            pictures.append((i, persons))
            counts['images'] += 1
            counts['persons'] += len(persons)
            counts['pairs'] += pairs
        counts['eligible'] = int(eligible.sum())
        return pictures, counts


def measure(data: SourceData, ground: str, min_gap_px: float, findings: Findings) -> Selection:
    """Boxes, MCPC's joints, ankles and lengths of everybody.

    Args:
        data: of one source and split; pictures of unknown size have width None.
        ground: see :func:`wsp_mm.structures.relative_depth.ground_y`.
        min_gap_px: smallest difference of ground heights that makes a pair.
        findings: told of boxes outside their pictures, and of what could not be clipped.

    Raises:
        BadDataError: a box is outside its picture, and bad records are not skipped.
    """
    made = np.isnan(data.bbox).any(axis=1)
    boxes = np.where(made[:, None], joint_boxes(data.keypoints, data.visible), data.bbox)
    size = np.array([(p.width or np.inf, p.height or np.inf) for p in data.pictures]).reshape(
        -1, 2
    )[data.picture]
    clipped = clip_boxes(boxes, size[:, 0], size[:, 1])
    flat = made & (boxes[:, 2:] <= 0).any(axis=1)
    empty = ~flat & ~((boxes[:, 2:] > 0).all(axis=1) & (clipped[:, 2:] > 0).all(axis=1))
    for i in np.flatnonzero(empty & ~data.crowd):
        picture = data.pictures[data.picture[i]]
        findings.report(
            'box outside the picture', picture.file, f'person {data.source_ids[i]} on {picture.file_name}',
            f'its box x, y, w, h = {boxes[i].round(2).tolist()} has no area inside the picture of '
            f'{picture.width} x {picture.height} px',
        )  # fmt: skip
    keep = ~empty
    data, clipped, flat, size = (
        data.keep(keep),
        clipped[keep].round(DECIMALS),
        flat[keep],
        size[keep],
    )
    # No length can be told from less than a pixel: such a person has no scale.
    sliver = ~flat & (clipped[:, 2:] < MIN_LENGTH_PX).any(axis=1)
    if sliver.any():
        data.dropped['less than a pixel of the box within the picture'] += int(sliver.sum())
    unknown = int(np.isinf(size).any(axis=1).sum())
    if unknown:
        findings.unchecked[
            f'{data.source} {data.split}: boxes not clipped right and below, size of the picture not known'
        ] += unknown
    if flat.any():
        data.dropped['joints without extent, so no box'] += int(flat.sum())

    keypoints, visible = convert_joints(data.keypoints, data.visible, data.joint_set, JOINT_SET)
    keypoints = keypoints.round(DECIMALS)
    num_ankles = (visible[:, ANKLES] > 0).sum(axis=1)
    heights = [ground_y(k, v, ANKLES, ground) for k, v in zip(keypoints, visible, strict=True)]
    lengths = scale_lengths(data.keypoints, data.visible, clipped[:, 3], data.joint_set)
    # A "head" of half a person or more is a rectangle drawn around something else.
    told = np.where(data.head_length < lengths['bbox'] / 2, data.head_length, np.nan)
    lengths['head'] = np.where(np.isnan(lengths['head']), told, lengths['head'])
    return Selection(
        data=data,
        keypoints=keypoints,
        visible=visible,
        bbox=clipped,
        usable=~data.crowd & ~flat & ~sliver,
        num_ankles=num_ankles,
        ground_y=np.array(heights, dtype=np.float64).round(DECIMALS + 1),
        lengths=lengths,
        min_gap_px=min_gap_px,
    )
