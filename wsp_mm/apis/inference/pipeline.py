# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Some frames to their records: find persons, estimate root depths and poses, or the order in
depth.

Persons of a chunk of frames are put through the networks together, ``batch_size`` at a time. It is
a stream of stages: find the persons, crop a batch of them, ask the networks. They run one after the
other, or each in a thread (:mod:`wsp_mm.apis.inference.stages`); what they compute is the same. A
crop is made when its batch is due or the one before is being answered, so that memory grows neither
with the persons of a picture nor with the length of a video.

P persons of a frame, K joints.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import torch

from wsp_mm.apis.inference.camera import CameraChoice, CameraError
from wsp_mm.apis.inference.forward import Crops, pack, predict, thread_context
from wsp_mm.apis.inference.models import Network
from wsp_mm.apis.inference.order import fill_order, keep_better
from wsp_mm.apis.inference.persons import Detector, GivenBoxes, find_persons, raw_box
from wsp_mm.apis.inference.sources import Frame
from wsp_mm.apis.inference.stages import Stages
from wsp_mm.apis.inference.work import MM, PX, SHARE, Batch, Person, Work, empty_record, numbers
from wsp_mm.structures.bbox import crop_box, k_value, to_corners
from wsp_mm.structures.camera import PinholeCamera

#: Stages of a stream, and so the most chunks that are under way when they overlap.
STAGES = 4

PRECISIONS = {'fp32': None, 'bf16': torch.bfloat16, 'fp16': torch.float16}


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
        seconds: s spent by kind of work, which may be at the same time. waiting: s that each stage
            waited, where they overlap. counts: 'frames', 'persons', 'pairs' so far.
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
        self.waiting: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()
        # Streams may run beside each other; a network answers one at a time.
        self._clock, self._detecting, self._answering = (threading.Lock() for _ in range(3))

    def __call__(self, frames: Sequence[Frame]) -> list[dict]:
        """One record a frame, in order; frames without an answer have 'skipped', a sentence, and no
        persons.
        """
        (_, records), *_ = self.stream(iter([frames]))
        return records

    def stream(
        self, chunks: Iterator[Sequence[Frame]], overlap: bool = False
    ) -> Iterator[tuple[Sequence[Frame], list[dict]]]:
        """Chunks with their records, in order.

        Args:
            chunks: read one chunk at a time.
            overlap: every stage in a thread of its own, reading included: up to :data:`STAGES`
                chunks are in memory beside the one that was handed out. Closing the iterator ends
                the threads.
        """

        def context() -> Any:
            return thread_context(self.device) if overlap else nullcontext

        with Stages(overlap, self.waiting, taker='drawing') as stages:
            read = stages.add('reading', chunks)
            found = stages.add('detector', self._find_all(read), context())
            cropped = stages.add('crops', self._crop_all(found))
            for work in stages.add('networks', self._answer_all(cropped), context()):
                self._count(work)
                yield work.frames, work.records

    def _count(self, work: Work) -> None:
        self.counts['frames'] += sum(not frame.error for frame in work.frames)
        self.counts['persons'] += len(work.persons)
        self.counts['pairs'] += len(work.pairs)

    # ------------------------------------------------------------------ stages

    def _find_all(self, chunks: Iterator[Sequence[Frame]]) -> Iterator[Work]:
        """Find the persons of every chunk, and begin its records."""
        for frames in chunks:
            records = [empty_record(frame) for frame in frames]
            usable = [
                (frame, record)
                for frame, record in zip(frames, records, strict=True)
                if not frame.error
            ]
            with self._detecting, self.timed('detector'):
                found = find_persons([frame for frame, _ in usable], self.detector, self.boxes)
            persons: list[Person] = []
            for (frame, record), answer in zip(usable, found, strict=True):
                if isinstance(answer, str):
                    record['skipped'] = answer
                else:
                    persons += self._persons(frame, record, *answer)
            work = Work(frames, records, persons)
            if self.pose.kind == 'order':
                for _, group in itertools.groupby(persons, key=lambda person: person.frame.index):
                    group = list(group)
                    work.pairs += [
                        (group, a, b) for a, b in itertools.combinations(range(len(group)), 2)
                    ]
            yield work

    def _crop_all(self, found: Iterator[Work]) -> Iterator[Batch]:
        """Crop the persons or pairs of every chunk, a batch at a time; one without any is one empty
        batch.
        """
        for work in found:
            items = work.pairs if self.pose.kind == 'order' else work.persons
            for start in range(0, max(len(items), 1), self.batch_size):
                batch = Batch(work, list(items[start : start + self.batch_size]))
                batch.last = start + self.batch_size >= len(items)
                if batch.items:
                    with self.timed('crops'):
                        self._crop_batch(batch)
                yield batch

    def _answer_all(self, cropped: Iterator[Batch]) -> Iterator[Work]:
        """Ask the networks about every batch; a chunk comes out with its last one."""
        is_order = self.pose.kind == 'order'
        for batch in cropped:
            if batch.items:
                with self._answering:
                    self._answer_pairs(batch) if is_order else self._answer_persons(batch)
            if batch.last:
                if is_order:
                    fill_order(batch.work)
                yield batch.work

    @contextmanager
    def timed(self, what: str) -> Iterator[None]:
        began = time.perf_counter()
        try:
            yield
        finally:
            with self._clock:
                self.seconds[what] += time.perf_counter() - began

    def _persons(
        self, frame: Frame, record: dict, boxes: np.ndarray, scores: np.ndarray
    ) -> list[Person]:
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
            fits = np.isfinite(box).all() and (
                extended or crop_box(box, (width, height)) is not None
            )
            if not fits or not (box[2:] > 0).all():
                problem = (
                    f'left out the box {np.round(box, PX).tolist()}: no area within the picture'
                )
                record.setdefault('problems', []).append(problem)
                continue
            entry = dict(
                id=len(persons),
                bbox=numbers(raw_box(box, extended), PX),
                bbox_score=round(float(score), SHARE),
                keypoints_img=None,
                keypoint_scores=None,
                keypoints_rel=None,
                root_depth=None,
                keypoints_cam=None,
            )
            record['persons'].append(entry)
            persons.append(Person(frame, box, extended, camera, entry, record))
        return persons

    # ------------------------------------------------------------------ crops

    def _crop_batch(self, batch: Batch) -> None:
        if self.pose.kind == 'order':
            batch.crops = pack([self._pair_crop(*pair) for pair in batch.items], self.device)
            return
        batch.crops = pack([self._crop(self.pose, person) for person in batch.items], self.device)
        batch.with_camera = [i for i, person in enumerate(batch.items) if person.camera is not None]
        if self.root is not None and batch.with_camera:
            crops = [self._crop(self.root, batch.items[i]) for i in batch.with_camera]
            batch.root_crops = pack(crops, self.device)

    def _crop(self, network: Network, person: Person) -> dict:
        box = to_corners(person.box)[None].astype(np.float32)
        sample = dict(
            network.crop_meta,
            img=person.frame.image,
            img_path=person.frame.file_name,
            bbox=box,
            bbox_score=np.array([person.record['bbox_score']], np.float32),
            bbox_extended=person.extended,
        )
        if person.camera is not None:
            sample['camera_f'] = np.array(person.camera.f, np.float32)
            sample['camera_c'] = np.array(person.camera.c, np.float32)
        return network.pipeline(sample)

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

    # ------------------------------------------------------------------ networks

    def _ask(self, network: Network, crops: Crops, what: str) -> list:
        with self.timed(what):
            return predict(network, crops, self.device, self.dtype)

    @property
    def _not_finite(self) -> str:
        hint = '' if self.dtype is None else '; fp32 may do'
        return f'the network answered with nan or infinity{hint}'

    def _answer_persons(self, batch: Batch) -> None:
        """Fill the persons' records with poses, and where there is a camera with root depths."""
        depths = self._root_depths(batch)
        samples = self._ask(self.pose, batch.crops, 'pose')
        for person, depth, sample in zip(batch.items, depths, samples, strict=True):
            pred = sample.pred_instances
            pixels = np.asarray(pred.keypoints[0, :, :2], np.float64)
            relative = np.asarray(pred.keypoints_depth[0], np.float64)
            record = person.record
            if not (np.isfinite(pixels).all() and np.isfinite(relative).all()):
                person.report(f'no pose: {self._not_finite}')
                continue
            record['keypoints_img'] = numbers(pixels, PX)
            record['keypoint_scores'] = numbers(pred.keypoint_scores[0], SHARE)
            record['keypoints_rel'] = numbers(relative, MM)
            if depth is not None:
                camera = PinholeCamera(f=np.array(person.camera.f), c=np.array(person.camera.c))
                cam = camera.unproject(
                    np.concatenate([pixels, (relative + depth)[:, None]], axis=-1)
                )
                record['root_depth'] = round(float(depth), MM)
                record['keypoints_cam'] = numbers(cam, MM)

    def _root_depths(self, batch: Batch) -> list[float | None]:
        """Depth of every person's root, mm; None where its picture has no camera."""
        persons, known = batch.items, batch.with_camera
        depths: list[float | None] = [None] * len(persons)
        if batch.root_crops is not None:
            for i, sample in zip(
                known, self._ask(self.root, batch.root_crops, 'root'), strict=True
            ):
                depths[i] = float(np.asarray(sample.pred_instances.root_depth).reshape(-1)[0])
        else:
            for i in known:
                box = persons[i].box if persons[i].extended else self._crop_box(persons[i])
                depths[i] = float(k_value(box[None], np.array(persons[i].camera.f))[0])
        for i in known:
            if not (np.isfinite(depths[i]) and depths[i] > 0):
                what = f'a root depth of {depths[i]:.0f} mm is not before the camera'
                persons[i].report(f'no camera-space result: {what}')
                depths[i] = None
        return depths

    @staticmethod
    def _crop_box(person: Person) -> np.ndarray:
        height, width = person.frame.image.shape[:2]
        return crop_box(person.box, (width, height))

    def _answer_pairs(self, batch: Batch) -> None:
        """Keep what the network says of every pair, and the better ones of its joints."""
        samples = self._ask(self.pose, batch.crops, 'order')
        for (group, a, b), sample in zip(batch.items, samples, strict=True):
            pred = sample.pred_instances
            probability = float(pred.pair_probs[0])
            if not np.isfinite(
                [probability, pred.keypoints.sum(), pred.keypoint_scores.sum()]
            ).all():
                group[a].report(
                    f'not compared with person {group[b].record["id"]}: {self._not_finite}'
                )
                batch.work.answers[group[0].frame.index, a, b] = 0.5
                continue
            batch.work.answers[group[0].frame.index, a, b] = probability
            for k, person in enumerate((group[a], group[b])):
                keep_better(person.record, pred.keypoints[0, k], pred.keypoint_scores[0, k])
