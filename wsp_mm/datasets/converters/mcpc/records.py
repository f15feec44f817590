# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""What the readers hand to the builder, and how they say that something is wrong.

N persons, K joints of the source's own joint set.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from wsp_mm.datasets.annotations import AnnotationError as BadDataError  # noqa: F401
from wsp_mm.datasets.annotations import Findings  # noqa: F401

#: Order in which pictures are numbered, and which copy of a picture is kept when two sources share
#: it.
SOURCES = ('coco', 'mpii', 'posetrack18', 'crowdpose')
SPLITS = ('train', 'test')


@dataclass
class Picture:
    """A picture as its source lists it.

    Attributes:
        file_name: relative to the source's folder. source_id: its id in the source.
        file: the annotation file that lists it.
        width, height: px, None where the annotation file does not say.
    """

    file_name: str
    source_id: int | str
    file: str
    width: int | None = None
    height: int | None = None


@dataclass
class SourceData:
    """One split of one source, every person with at least one labelled joint.

    Attributes:
        source, split: names in :data:`SOURCES` and :data:`SPLITS`.
        joint_set: the order of ``keypoints``.
        files: annotation files that it was read from.
        pictures: all that the files list.
        picture: (N,) index into ``pictures``.
        source_ids: (N,) ids of the persons in the source.
        keypoints: (N, K, 2) px. visible: (N, K) 0 not labelled, 1 labelled but hidden or not said,
            2 labelled and visible.
        bbox: (N, 4) x, y, w, h px as labelled, not clipped; nan where the source has none.
        area: (N,) px^2, nan where the source has none.
        head_length: (N,) px, length of the head (Eq. 13) where the source tells it apart from the
            joints, else nan.
        crowd: (N,) whether the record stands for a group.
        dropped: why records are not among the persons -> how many.
    """

    source: str
    split: str
    joint_set: str
    files: list[str]
    pictures: list[Picture]
    picture: np.ndarray
    source_ids: list[int | str]
    keypoints: np.ndarray
    visible: np.ndarray
    bbox: np.ndarray
    area: np.ndarray
    head_length: np.ndarray
    crowd: np.ndarray
    dropped: Counter = field(default_factory=Counter)

    def __len__(self) -> int:
        return len(self.picture)

    def keep(self, persons: np.ndarray) -> SourceData:
        """The same with a subset of the persons, ``persons`` being a boolean mask (N,) or
        indices.
        """
        index = np.arange(len(self))[persons]
        return SourceData(
            self.source, self.split, self.joint_set, self.files, self.pictures, self.picture[index],
            [self.source_ids[i] for i in index], self.keypoints[index], self.visible[index], self.bbox[index],
            self.area[index], self.head_length[index], self.crowd[index], self.dropped,
        )  # fmt: skip


def merge(parts: Sequence[SourceData]) -> SourceData:
    """Several files of one source and split as one (videos of PoseTrack18, train and val of
    CrowdPose).
    """
    if len(parts) == 1:
        return parts[0]
    first = parts[0]
    offsets = np.cumsum([0] + [len(part.pictures) for part in parts[:-1]])
    arrays = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in ('keypoints', 'visible', 'bbox', 'area', 'head_length', 'crowd')
    }
    return SourceData(
        source=first.source,
        split=first.split,
        joint_set=first.joint_set,
        files=[file for part in parts for file in part.files],
        pictures=[picture for part in parts for picture in part.pictures],
        picture=np.concatenate(
            [part.picture + offset for part, offset in zip(parts, offsets, strict=True)]
        ),
        source_ids=[i for part in parts for i in part.source_ids],
        dropped=sum((part.dropped for part in parts), Counter()),
        **arrays,
    )
