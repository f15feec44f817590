# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""What is under way from frames to records. P persons of a frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from wsp_mm.apis.inference.camera import FrameCamera
from wsp_mm.apis.inference.forward import Crops
from wsp_mm.apis.inference.sources import Frame

#: Decimals that are kept of px, mm and shares: finer than any network is right.
PX, MM, SHARE = 2, 2, 4


@dataclass
class Person:
    """A person on its way through the networks.

    Attributes:
        box: (4,) x, y, w, h px as found. extended: whether it is square and padded already.
        record, frame_record: what is filled in.
    """

    frame: Frame
    box: np.ndarray
    extended: bool
    camera: FrameCamera | None
    record: dict
    frame_record: dict

    def report(self, problem: str) -> None:
        """Say what is missing of this person's answer."""
        self.frame_record.setdefault('problems', []).append(
            f'person {self.record["id"]}: {problem}'
        )


@dataclass
class Work:
    """A chunk of frames whose persons were found.

    Attributes:
        pairs: of a pre-training network: (persons of a picture, number of one, number of another).
        answers: of it, by picture and numbers.
    """

    frames: Sequence[Frame]
    records: list[dict]
    persons: list[Person]
    pairs: list[tuple[list[Person], int, int]] = field(default_factory=list)
    answers: dict[tuple[int, int, int], float] = field(default_factory=dict)


@dataclass
class Batch:
    """A part of a chunk, cropped.

    Attributes:
        items: persons, or pairs.
        crops: of the pose (or order) network; None where there is nobody.
        with_camera, root_crops: numbers of the items whose root's depth is asked for, and their
        crops.
        last: of its chunk.
    """

    work: Work
    items: list
    crops: Crops | None = None
    with_camera: list[int] = field(default_factory=list)
    root_crops: Crops | None = None
    last: bool = False


def empty_record(frame: Frame) -> dict:
    """A record without persons; of a frame without image it says why."""
    height, width = frame.image.shape[:2] if frame.image is not None else (None, None)
    record = dict(
        frame=frame.index,
        time=frame.time,
        file_name=frame.file_name,
        width=width,
        height=height,
        camera=None,
        persons=[],
    )
    return dict(record, skipped=frame.error) if frame.error else record


def numbers(values: Any, decimals: int) -> list:
    """An array as nested lists of rounded Python floats; -0.0 becomes 0.0."""
    return (np.round(np.asarray(values, dtype=np.float64), decimals) + 0.0).tolist()
