# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Some frames to their records: find persons, estimate root depths and poses, or the order in depth.

Persons of all frames are put through the networks together, ``batch_size`` at a time; crops are made when their
batch is due, so that memory grows neither with the persons of a picture nor with the length of a video.

P persons of a frame, K joints.
"""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from wsp_mm.apis.inference.camera import CameraChoice, CameraError, FrameCamera
from wsp_mm.apis.inference.models import Network
from wsp_mm.apis.inference.persons import Detector, GivenBoxes, find_persons, raw_box
from wsp_mm.apis.inference.sources import Frame
from wsp_mm.structures.camera import PinholeCamera
from wsp_mm.structures.person_box import crop_box, to_corners
from wsp_mm.structures.root_depth import k_value

PRECISIONS = {'fp32': None, 'bf16': torch.bfloat16, 'fp16': torch.float16}

_PX, _MM, _SHARE = 2, 2, 4  # decimals that are kept: finer than any network is right


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


class FramePipeline:
    """Frames to records, see the module.

    Args:
        pose: a 3D network, or the pair network of a pre-training ('order').
        root: root-depth network; without one the root's depth is k (gamma = 1).
        detector, boxes: where persons come from.
        camera: the user's word on the camera.
        device, precision: where and in which precision to compute ('fp32', 'bf16', 'fp16').
        batch_size: persons (or pairs) a forward pass.

    Attributes:
        seconds: time spent by kind of work. counts: 'frames', 'persons', 'pairs' so far.
    """

    def __init__(
        self,
        pose: Network,
        root: Network | None,
        detector: Detector | None,
        boxes: GivenBoxes | None,
        camera: CameraChoice,
        device: torch.device,
        precision: str,
        batch_size: int,
    ) -> None:
        self.pose, self.root, self.detector, self.boxes = pose, root, detector, boxes
        self.camera, self.device, self.batch_size = camera, device, batch_size
        self.dtype = PRECISIONS[precision]
        self.seconds: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()

    def __call__(self, frames: Sequence[Frame]) -> list[dict]:
        """One record a frame, in order; frames without an answer have 'skipped', a sentence, and no persons."""
        records = [_empty_record(frame) for frame in frames]
        usable = [(frame, record) for frame, record in zip(frames, records, strict=True) if not frame.error]
        with self.timed('detector'):
            found = find_persons([frame for frame, _ in usable], self.detector, self.boxes)
        persons: list[Person] = []
        for (frame, record), answer in zip(usable, found, strict=True):
            if isinstance(answer, str):
                record['skipped'] = answer
            else:
                persons += self._persons(frame, record, *answer)
        if self.pose.kind == 'order':
            self._order(persons)
        else:
            self._poses(persons)
        self.counts['frames'] += len(usable)
        self.counts['persons'] += len(persons)
        return records

    @contextmanager
    def timed(self, what: str) -> Iterator[None]:
        began = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[what] += time.perf_counter() - began

    def _persons(self, frame: Frame, record: dict, boxes: np.ndarray, scores: np.ndarray) -> list[Person]:
        """Begin the records of a frame's persons; its camera is decided here."""
        height, width = frame.image.shape[:2]
        camera = None
        if self.pose.kind == 'pose':
            try:
                camera = self.camera.for_picture(frame.file_name, width, height)
            except CameraError as error:
                record['problems'] = [f'no camera-space result: {error}']
        record['camera'] = None if camera is None else camera.to_dict()
        extended = self.boxes is not None and self.boxes.extended
        persons = []
        for box, score in zip(boxes, scores, strict=True):
            fits = np.isfinite(box).all() and (extended or crop_box(box, (width, height)) is not None)
            if not fits or not (box[2:] > 0).all():
                problem = f'left out the box {np.round(box, _PX).tolist()}: no area within the picture'
                record.setdefault('problems', []).append(problem)
                continue
            entry = dict(
                id=len(persons),
                bbox=_numbers(raw_box(box, extended), _PX),
                bbox_score=round(float(score), _SHARE),
                keypoints_img=None,
                keypoint_scores=None,
                keypoints_rel=None,
                root_depth=None,
                keypoints_cam=None,
            )
            record['persons'].append(entry)
            persons.append(Person(frame, box, extended, camera, entry, record))
        return persons

    # ------------------------------------------------------------------ networks

    def _forward(self, network: Network, crops: list[dict], what: str) -> list:
        """A batch of packed crops through a network: its data samples with predictions."""
        data = dict(
            inputs=[crop['inputs'] for crop in crops], data_samples=[crop['data_samples'] for crop in crops]
        )
        enabled = self.dtype is not None
        with (
            self.timed(what),
            torch.inference_mode(),
            torch.autocast(self.device.type, self.dtype or torch.bfloat16, enabled=enabled),
        ):
            return network.model.test_step(data)

    def _crop(self, network: Network, person: Person, **more: Any) -> dict:
        box = to_corners(person.box)[None].astype(np.float32)
        sample = dict(
            network.crop_meta,
            img=person.frame.image,
            img_path=person.frame.file_name,
            bbox=box,
            bbox_score=np.array([person.record['bbox_score']], np.float32),
            bbox_extended=person.extended,
            **more,
        )
        if person.camera is not None:
            sample['camera_f'] = np.array(person.camera.f, np.float32)
            sample['camera_c'] = np.array(person.camera.c, np.float32)
        return network.pipeline(sample)

    def _poses(self, persons: list[Person]) -> None:
        """Fill the persons' records with poses, and where there is a camera with root depths."""
        for batch in _batches(persons, self.batch_size):
            depths = self._root_depths(batch)
            with self.timed('crops'):
                crops = [self._crop(self.pose, person) for person in batch]
            for person, depth, sample in zip(
                batch, depths, self._forward(self.pose, crops, 'pose'), strict=True
            ):
                pred = sample.pred_instances
                pixels = np.asarray(pred.keypoints[0, :, :2], np.float64)
                relative = np.asarray(pred.keypoints_depth[0], np.float64)
                record = person.record
                record['keypoints_img'] = _numbers(pixels, _PX)
                record['keypoint_scores'] = _numbers(pred.keypoint_scores[0], _SHARE)
                record['keypoints_rel'] = _numbers(relative, _MM)
                if depth is not None:
                    camera = PinholeCamera(f=np.array(person.camera.f), c=np.array(person.camera.c))
                    cam = camera.unproject(np.concatenate([pixels, (relative + depth)[:, None]], axis=-1))
                    record['root_depth'] = round(float(depth), _MM)
                    record['keypoints_cam'] = _numbers(cam, _MM)

    def _root_depths(self, batch: list[Person]) -> list[float | None]:
        """Depth of every person's root, mm; None where its picture has no camera."""
        depths: list[float | None] = [None] * len(batch)
        known = [i for i, person in enumerate(batch) if person.camera is not None]
        if not known:
            return depths
        if self.root is None:
            for i in known:
                box = batch[i].box if batch[i].extended else self._crop_box(batch[i])
                depths[i] = float(k_value(box[None], np.array(batch[i].camera.f))[0])
        else:
            with self.timed('crops'):
                crops = [self._crop(self.root, batch[i]) for i in known]
            for i, sample in zip(known, self._forward(self.root, crops, 'root'), strict=True):
                depths[i] = float(np.asarray(sample.pred_instances.root_depth).reshape(-1)[0])
        for i in known:  # a depth behind the camera is no depth
            if not (np.isfinite(depths[i]) and depths[i] > 0):
                depths[i] = None
        return depths

    @staticmethod
    def _crop_box(person: Person) -> np.ndarray:
        height, width = person.frame.image.shape[:2]
        return crop_box(person.box, (width, height))

    # ------------------------------------------------------------------ order in depth

    def _order(self, persons: list[Person]) -> None:
        """Who stands before whom, from all pairs of each picture's persons."""
        groups = [list(group) for _, group in itertools.groupby(persons, key=lambda p: p.frame.index)]
        answers = {}
        pairs = [(group, a, b) for group in groups for a, b in itertools.combinations(range(len(group)), 2)]
        for batch in _batches(pairs, self.batch_size):
            with self.timed('crops'):
                crops = [self._pair_crop(*pair) for pair in batch]
            for (group, a, b), sample in zip(batch, self._forward(self.pose, crops, 'order'), strict=True):
                pred = sample.pred_instances
                answers[id(group), a, b] = float(pred.pair_probs[0])
                for k, person in enumerate((group[a], group[b])):
                    _keep_better(person.record, pred.keypoints[0, k], pred.keypoint_scores[0, k])
        self.counts['pairs'] += len(pairs)
        for group in groups:
            probability = np.full((len(group), len(group)), 0.5)
            for a, b in itertools.combinations(range(len(group)), 2):
                probability[a, b] = answers[id(group), a, b]
                probability[b, a] = 1 - probability[a, b]
            ids = [person.record['id'] for person in group]
            order = dict(ids=[ids[i] for i in front_to_back(probability)], probability=_numbers(probability, 4))
            group[0].frame_record['order'] = order

    def _pair_crop(self, group: list[Person], a: int, b: int) -> dict:
        boxes = np.stack([to_corners(raw_box(group[i].box, group[i].extended)) for i in (a, b)])
        return self.pose.pipeline(
            dict(
                self.pose.crop_meta,
                img=group[a].frame.image,
                img_path=group[a].frame.file_name,
                bbox=boxes.astype(np.float32),
                pair=(0, 1),
            )
        )


def front_to_back(probability: np.ndarray) -> list[int]:
    """Order persons by how probably they stand before the others, on the average.

    Pairwise answers may contradict each other (A before B before C before A); the mean over the others, as in a
    tournament, always gives an order, and the one that the answers agree on where they do agree.

    Args:
        probability: (P, P), that the row's person stands before the column's.

    Returns:
        Indices from the nearest to the farthest; equals keep their order.
    """
    others = ~np.eye(len(probability), dtype=bool)
    mean = np.where(others, probability, 0).sum(axis=1)
    return np.argsort(-mean, kind='stable').tolist()


def _keep_better(record: dict, keypoints: np.ndarray, scores: np.ndarray) -> None:
    """A person is in several pairs; the pair whose crop shows it best gives its joints."""
    if record['keypoint_scores'] is None or np.mean(scores) > np.mean(record['keypoint_scores']):
        record['keypoints_img'] = _numbers(keypoints, _PX)
        record['keypoint_scores'] = _numbers(scores, _SHARE)


def _empty_record(frame: Frame) -> dict:
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


def _numbers(values: Any, decimals: int) -> list:
    """An array as nested lists of rounded Python floats; -0.0 becomes 0.0."""
    return (np.round(np.asarray(values, dtype=np.float64), decimals) + 0.0).tolist()


def _batches(items: Sequence, size: int) -> Iterable[list]:
    for start in range(0, len(items), size):
        yield list(items[start : start + size])
