# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Where persons come from: a detector or a file of boxes, never "the whole picture" for want of
both.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from wsp_mm.apis.inference.sources import Frame
from wsp_mm.structures.bbox import PADDING


class Detector(Protocol):
    """Finds persons: :class:`wsp_mm.apis.detection.PersonDetector`, or anything that answers like
    it.
    """

    def detect(self, images: list[np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
        """BGR pictures to boxes (M, 4) x, y, w, h px and scores (M,) of each."""


class BoxesError(ValueError):
    """A picture that the boxes' file does not list."""


class GivenBoxes:
    """Boxes of a file, found by the picture's name.

    A picture is looked up by its name within the folder, then by its bare name where only one
    picture has it and one of the two paths is the end of the other. Entries that name no file, as
    in COCO's result lists, are found by the number that a picture's name is (``000000000785.jpg``),
    or a video's frame has. Frames of a video are named ``NAME#INDEX``.

    Args:
        path: as :func:`wsp_mm.datasets.box_files.read_boxes` reads.
        score_thr: boxes with a lower score are left out; None keeps all.
    """

    def __init__(self, path: str | Path, score_thr: float | None = None) -> None:
        from wsp_mm.datasets.box_files import read_boxes

        self.path, self.score_thr = Path(path), score_thr
        self.file = read_boxes(path)
        self.extended = self.file.extended
        self._nameless = {image_id for image_id, name in self.file.images.items() if not name}
        named = {i: Path(name).as_posix() for i, name in self.file.images.items() if name}
        self._ids = {name: image_id for image_id, name in named.items()}
        bare = {name: Path(name).name for name in named.values()}
        times = Counter(bare.values())
        # Of two that are called alike neither.
        self._by_bare = {last: name for name, last in bare.items() if times[last] == 1}

    def of(self, frame: Frame) -> tuple[np.ndarray, np.ndarray]:
        """Boxes (M, 4) px and scores (M,) of a frame.

        Raises:
            BoxesError: the file does not list the picture. (One that it lists without boxes has no
                persons.)
        """
        image_id = self._find(frame)
        if image_id is None:
            raise BoxesError(f'{self.path} does not list it')
        boxes = np.asarray(
            self.file.boxes.get(image_id, np.zeros((0, 4))), dtype=np.float64
        ).reshape(-1, 4)
        scores = np.asarray(
            self.file.scores.get(image_id, np.ones(len(boxes))), dtype=np.float64
        ).reshape(-1)
        keep = scores >= (-np.inf if self.score_thr is None else self.score_thr)
        return boxes[keep], scores[keep]

    def _find(self, frame: Frame) -> int | None:
        if frame.file_name in self._ids:
            return self._ids[frame.file_name]
        # One may be told from a folder farther up than the other; other folders hold other
        # pictures.
        listed = self._by_bare.get(Path(frame.file_name).name)
        if listed is not None and any(
            f'/{long}'.endswith(f'/{short}')
            for long, short in ((listed, frame.file_name), (frame.file_name, listed))
        ):
            return self._ids[listed]
        _, mark, index = frame.file_name.rpartition('#')
        number = index if mark and index == str(frame.index) else Path(frame.file_name).stem
        return int(number) if number.isdecimal() and int(number) in self._nameless else None


def raw_box(box: np.ndarray, extended: bool) -> np.ndarray:
    """The box to report, (4,) px: of an extended one the square that was padded, for what it was is
    lost.
    """
    if not extended:
        return box
    side = box[2:] / PADDING
    return np.concatenate([box[:2] + (box[2:] - side) / 2, side])


def find_persons(
    frames: Sequence[Frame], detector: Detector | None, boxes: GivenBoxes | None
) -> list[tuple[np.ndarray, np.ndarray] | str]:
    """Persons of each frame, best first, or why there is no answer.

    Args:
        frames: with an image each.
        detector, boxes: boxes go first where both are given.

    Returns:
        For each frame (boxes (M, 4) px, scores (M,)), or a sentence.
    """
    found: list[Any]
    if boxes is not None:
        found = []
        for frame in frames:
            try:
                found.append(boxes.of(frame))
            except BoxesError as error:
                found.append(str(error))
    else:
        found = list(detector.detect([frame.image for frame in frames])) if frames else []
    return [answer if isinstance(answer, str) else _best_first(*answer) for answer in found]


def _best_first(boxes: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    boxes, scores = (
        np.asarray(boxes, dtype=np.float64).reshape(-1, 4),
        np.asarray(scores, dtype=np.float64),
    )
    order = np.argsort(-scores, kind='stable')
    return boxes[order], scores[order]
