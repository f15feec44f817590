# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Frames to records: find persons, estimate root depths and poses, or the order in depth.

Persons of some frames go through the networks together, ``batch_size`` at a time. A crop is made
when its batch is due, so memory grows neither with the persons of an image nor with the length of a
video. P persons of a frame, K joints.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from wsp_mm.apis.boxes import GivenBoxes
from wsp_mm.apis.cameras import Cameras
from wsp_mm.apis.images import InputError
from wsp_mm.apis.models import Network, batched
from wsp_mm.apis.sources import Frame
from wsp_mm.structures.bbox import PADDING, crop_box, k_value
from wsp_mm.structures.camera import PinholeCamera

#: Decimals that are kept of px, mm and shares: finer than any network is right.
PX, MM, SHARE = 2, 2, 4
#: What the networks say of a person; None where it is not known.
_ANSWERS = (
    'order', 'keypoints_img', 'keypoint_scores', 'keypoints_rel', 'root_depth', 'keypoints_cam',
)  # fmt: skip
#: Persons of a frame, the largest, that a second network orders: pairs grow with their square.
MOST_ORDERED = 12
_NOT_FINITE = 'the network answered with nan or infinity; with bf16 or fp16, try fp32'


@dataclass
class FoundPerson:
    """A person on its way through the networks.

    Attributes:
        frame, frame_record: the image, and its record.
        record: of the person; it is filled in.
        crop: (4,) x, y, w, h px, the extended box.
        box, extended: (4,) px as found, and whether it is extended already.
        root_depth: mm, None where it is not known.
    """

    frame: Frame
    frame_record: dict
    record: dict
    crop: np.ndarray
    box: np.ndarray
    extended: bool
    root_depth: float | None = None

    def report(self, problem: str) -> None:
        """Record what is missing of this person's answer."""
        problems = self.frame_record.setdefault('problems', [])
        problems.append(f'person {self.record["id"]}: {problem}')


@dataclass
class FramePipeline:
    """Frames to records, see the module.

    Attributes:
        pose: a 3D network, or the pair network of a pre-training ('order').
        root: root-depth network; without one the root's depth is k (gamma = 1).
        detector, boxes: where persons come from: an object with the ``detect`` of
            :class:`~wsp_mm.apis.detector.PersonDetector`, or boxes, which go first.
        cameras: as the user gives them.
        batch_size: persons (or pairs) a forward pass.
        order: a pair network beside a 3D network.
    """

    pose: Network
    root: Network | None
    detector: Any
    boxes: GivenBoxes | None
    cameras: Cameras
    batch_size: int
    order: Network | None = None

    def __call__(self, frames: Sequence[Frame]) -> list[dict]:
        """Return one record a frame, in order.

        Frames without an answer have 'skipped', a sentence, and no persons.
        """
        records, persons = [_empty_record(frame) for frame in frames], []
        images = [frame.image for frame in frames if frame.image is not None]
        detected = iter(self.detector.detect(images) if self.boxes is None and images else ())
        for frame, record in zip(frames, records, strict=True):
            try:
                if frame.image is None:
                    raise InputError(frame.error)
                found = next(detected) if self.boxes is None else self.boxes.find(frame)
            except InputError as error:
                record['skipped'] = str(error)
            else:
                persons.append(self._begin(frame, record, *found))
        if self.boxes is not None:
            self.boxes.check()
        if self.pose.kind == 'order':
            self._answer_order(persons, persons)
            return records
        for batch in batched(itertools.chain(*persons), self.batch_size):
            self._answer_persons(batch)
        if self.order is not None:
            crowds = self.order.scores_persons
            self._answer_order(persons, persons if crowds else [_largest(g) for g in persons])
        return records

    def _begin(
        self, frame: Frame, record: dict, boxes: np.ndarray, scores: np.ndarray
    ) -> list[FoundPerson]:
        """Begin the records of a frame's persons; its camera is decided here."""
        if self.pose.kind == 'pose':
            try:
                record['camera'] = self.cameras.for_image(frame.file_name, frame.size)
            except InputError as error:
                record['problems'] = [f'no camera-space result: {error}']
        extended = self.boxes is not None and self.boxes.extended
        persons: list[FoundPerson] = []
        for box, score in zip(np.asarray(boxes, dtype=np.float64), scores, strict=True):
            crop = box if extended else crop_box(box, frame.size)
            if crop is None or not np.isfinite(crop).all() or not (crop[2:] > 0).all():
                problem = f'left out the box {np.round(box, PX).tolist()}: no area within the image'
                record.setdefault('problems', []).append(problem)
                continue
            entry = dict(id=len(persons), bbox=rounded(tight_box(box, extended), PX))
            entry |= dict(bbox_score=round(float(score), SHARE), **dict.fromkeys(_ANSWERS))
            record['persons'].append(entry)
            persons.append(FoundPerson(frame, record, entry, crop, box, extended))
        return persons

    # ------------------------------------------------------------------ 3D poses

    def _answer_persons(self, persons: list[FoundPerson]) -> None:
        """Fill the persons' records with poses and, where there is a camera, with root depths."""
        self._find_roots([p for p in persons if p.frame_record['camera'] is not None])
        for person, pred in zip(persons, self._predict(self.pose, persons), strict=True):
            pixels = np.asarray(pred.keypoints[0, :, :2], dtype=np.float64)
            relative = np.asarray(pred.keypoints_depth[0], dtype=np.float64)
            if not (np.isfinite(pixels).all() and np.isfinite(relative).all()):
                person.report(f'no pose: {_NOT_FINITE}')
                continue
            person.record.update(
                keypoints_img=rounded(pixels, PX),
                keypoint_scores=rounded(pred.keypoint_scores[0], SHARE),
                keypoints_rel=rounded(relative, MM),
            )
            depth = person.root_depth
            if depth is not None and (behind := int((relative + depth <= 0).sum())):
                what = f'{behind} joints are behind the camera, with the root at {depth:.0f} mm'
                person.report(f'no camera-space result: {what}')
            elif depth is not None:
                camera = person.frame_record['camera']
                camera = PinholeCamera(camera['f'], camera['c'])
                points = camera.unproject(np.column_stack([pixels, relative + depth]))
                person.record.update(root_depth=round(depth, MM), keypoints_cam=rounded(points, MM))

    def _find_roots(self, persons: list[FoundPerson]) -> None:
        """Set the root depths of persons whose camera is known."""
        if self.root is not None:
            depths = [pred.root_depth[0] for pred in self._predict(self.root, persons)]
        else:
            depths = [k_value(p.crop, np.array(p.frame_record['camera']['f'])) for p in persons]
        for person, depth in zip(persons, map(float, depths), strict=True):
            if np.isfinite(depth) and depth > 0:
                person.root_depth = depth
            else:
                what = f'a root depth of {depth:.0f} mm is not before the camera'
                person.report(f'no camera-space result: {what}')

    def _predict(self, network: Network, persons: list[FoundPerson]) -> list:
        crops = []
        for person in persons:
            frame, camera = person.frame, person.frame_record['camera']
            keys = dict(camera=camera, name=frame.file_name, bbox_extended=person.extended)
            crops.append(network.crop(frame.image, person.box[None], **keys))
        return network.predict(crops)

    # ------------------------------------------------------------------ order in depth

    def _answer_order(
        self, frames: list[list[FoundPerson]], groups: list[list[FoundPerson]]
    ) -> None:
        """Compare the persons of each frame's group; fill in the order and, where the pair network
        is the only one, the best joints.
        """
        matrices = [np.full((len(persons), len(persons)), 0.5) for persons in frames]
        network = self.order or self.pose
        answer = self._answer_crowds if network.scores_persons else self._answer_pairs
        orders = answer(network, groups, matrices)
        for persons, ids, matrix in zip(frames, orders, matrices, strict=True):
            for rank, identity in enumerate(ids, 1):
                persons[identity].record['order'] = rank
            if persons:
                order = dict(ids=ids, probability=rounded(matrix, SHARE))
                persons[0].frame_record['order'] = order

    def _answer_pairs(
        self, network: Network, groups: list[list[FoundPerson]], matrices: list[np.ndarray]
    ) -> list[list[int]]:
        """Compare all pairs within each group. Fill in the probabilities (P, P) of its frame, and
        return its ids from the nearest.
        """
        pairs = [
            (matrix, *pair)
            for matrix, group in zip(matrices, groups, strict=True)
            for pair in itertools.combinations(group, 2)
        ]
        for batch in batched(pairs, self.batch_size):
            crops = [_joint_crop(network, pair) for _, *pair in batch]
            for (matrix, *pair), pred in zip(batch, network.predict(crops), strict=True):
                answer = float(pred.get('pair_probs_averaged', pred.pair_probs)[0])
                sums = [answer, pred.keypoints.sum(), pred.keypoint_scores.sum()]
                a, b = (person.record['id'] for person in pair)
                if not np.isfinite(sums).all():
                    pair[0].report(f'not compared with person {b}: {_NOT_FINITE}')
                    continue
                matrix[a, b], matrix[b, a] = answer, 1 - answer
                for k, person in enumerate(pair if network is self.pose else ()):
                    _keep_better(person.record, pred.keypoints[0, k], pred.keypoint_scores[0, k])
        orders = []
        for group, matrix in zip(groups, matrices, strict=True):
            ids = np.array([person.record['id'] for person in group], dtype=int)
            orders.append(ids[front_to_back(matrix[np.ix_(ids, ids)])].tolist())
        return orders

    def _answer_crowds(
        self, network: Network, groups: list[list[FoundPerson]], matrices: list[np.ndarray]
    ) -> list[list[int]]:
        """Do what :meth:`_answer_pairs` does with a network that scores persons.

        One crop around the whole group gives everybody's score; nobody is compared pair by pair.
        In a crop around a large crowd persons are small, smaller than in training: there is one
        pass all the same.
        """
        orders = [[person.record['id'] for person in group] for group in groups]
        crowds = [i for i, group in enumerate(groups) if len(group) > 1]
        for batch in batched(crowds, self.batch_size):
            most = max(len(groups[i]) for i in batch)
            # All of a batch have as many boxes: the last one fills up, and is not read.
            filled = [groups[i] + groups[i][-1:] * (most - len(groups[i])) for i in batch]
            crops = [_joint_crop(network, persons) for persons in filled]
            for i, pred in zip(batch, network.predict(crops), strict=True):
                group, ids = groups[i], np.array(orders[i])
                scores = pred.get('depth_scores_averaged', pred.depth_scores)[0, : len(group)]
                keypoints, shown = pred.keypoints[0], pred.keypoint_scores[0]
                if not np.isfinite([scores.sum(), keypoints.sum(), shown.sum()]).all():
                    group[0].report(f'not compared with anybody: {_NOT_FINITE}')
                    continue
                head = network.model.head
                with torch.no_grad():
                    device = head.log_temperature.device
                    probs = head.crowd_probs(torch.from_numpy(scores).to(device)).cpu().numpy()
                matrices[i][np.ix_(ids, ids)] = probs
                mean = scores[:, head.pair_joints].mean(1)
                orders[i] = ids[np.argsort(mean, kind='stable')].tolist()
                for k, person in enumerate(group if network is self.pose else ()):
                    _keep_better(person.record, keypoints[k], shown[k])
        return orders


def _joint_crop(network: Network, persons: Sequence[FoundPerson]) -> dict:
    boxes = np.stack([tight_box(person.box, person.extended) for person in persons])
    return network.crop(persons[0].frame.image, boxes, name=persons[0].frame.file_name)


def _largest(persons: list[FoundPerson]) -> list[FoundPerson]:
    """Return the persons with the largest crops, at most :data:`MOST_ORDERED`, in their order."""
    largest = sorted(persons, key=lambda person: -person.crop[2] * person.crop[3])[:MOST_ORDERED]
    return sorted(largest, key=lambda person: person.record['id'])


def front_to_back(probability: np.ndarray) -> list[int]:
    """Order persons by how probably they stand before the others, on average.

    Pairwise answers may contradict each other (A before B before C before A). The mean over the
    others, as in a tournament, always gives an order; where the answers agree on one, it is that.

    Args:
        probability: (P, P), that the row's person stands before the column's.

    Returns:
        Indices from the nearest to the farthest; equals keep their order.
    """
    mean = (probability - np.diag(np.diag(probability))).sum(axis=1)
    return np.argsort(-mean, kind='stable').tolist()


def tight_box(box: np.ndarray, extended: bool) -> np.ndarray:
    """Return the box (4,) px to report: of an extended one the square before it was padded."""
    side = box[2:] / PADDING
    return np.concatenate([box[:2] + (box[2:] - side) / 2, side]) if extended else box


def rounded(values: Any, decimals: int) -> list:
    """Return an array as nested lists of rounded Python floats; -0.0 becomes 0.0."""
    return (np.round(np.asarray(values, dtype=np.float64), decimals) + 0.0).tolist()


def _empty_record(frame: Frame) -> dict:
    width, height = (None, None) if frame.image is None else frame.size
    record = dict(frame=frame.index, time=frame.time, file_name=frame.file_name)
    record |= dict(width=width, height=height, camera=None, persons=[])
    return record | (dict(notes=frame.notes) if frame.notes else {})


def _keep_better(record: dict, keypoints: np.ndarray, scores: np.ndarray) -> None:
    """Take a person's joints from the pair whose crop shows it best."""
    if record['keypoint_scores'] is None or np.mean(scores) > np.mean(record['keypoint_scores']):
        record.update(keypoints_img=rounded(keypoints, PX), keypoint_scores=rounded(scores, SHARE))
