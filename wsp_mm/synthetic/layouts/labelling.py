# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""What a human annotator would have labelled of an image whose ground truth is known.

The ground truth of an image is complete; annotations are not. This module turns one into the other,
by the same rules for every data set, with each data set's own :class:`LabelSettings`. N persons, J
joints of the set ``world``, K of the data set.

The rules: a joint outside the image is never labelled. A visible joint is labelled with v = 2. A
hidden one is labelled by guess with v = 1, but not always; never on the face (annotators leave a
hidden eye out); never below the hip of somebody of whom little can be seen.
"""

import io
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wsp_mm.structures.keypoints import convert_joints, get_joint_set
from wsp_mm.utils.files import atomic_file, write_text_atomic

from ..ground_truth import PersonGT, SceneGT, ground_truth_rows

WORLD = get_joint_set('world')

_SALT = 20_170_607  # keeps the annotators' guesses apart from every other use of a scene's number
_FACE = np.array([c == 'nose' or c.endswith(('_eye', '_ear')) for c in WORLD.concepts])
_LEGS = np.array([c.endswith(('_knee', '_ankle')) for c in WORLD.concepts])


@dataclass(frozen=True)
class LabelSettings:
    """How one data set was annotated.

    Attributes:
        joint_set: the data set's.
        guesses: share of the hidden joints that are labelled all the same.
        min_area: persons with fewer visible px get no joints. It is given for an image of 640 x
            480 px and grows and shrinks with the image's area. COCO draws this line at 32 x 32.
        step: px to which labels are rounded.
        min_share: below this visible share of the body hidden knees and ankles are never guessed.
    """

    joint_set: str
    guesses: float
    min_area: float
    step: float = 1.0
    min_share: float = 0.35


class AnnotationWriter:
    """Writes the annotation files of one data set below ``out``, and the ground truth beside them.

    Attributes:
        paths: files written so far. annotated: split -> number of annotated persons.
    """

    def __init__(self, out: Path) -> None:
        self.out = out
        self.paths: list[Path] = []
        self.annotated: Counter[str] = Counter()
        self._rows: dict[tuple[str, str], list[dict[str, np.ndarray]]] = defaultdict(list)

    def json(self, name: str, content: object) -> None:
        """Write compact json.

        Raises:
            ValueError: ``content`` holds nan or infinity, which is no json.
        """
        text = json.dumps(content, allow_nan=False, separators=(',', ':'))
        write_text_atomic(self.out / name, text)
        self.paths.append(self.out / name)

    def bytes(self, name: str, content: bytes) -> None:
        """Write a file."""
        with atomic_file(self.out / name) as file:
            file.write(content)
        self.paths.append(self.out / name)

    def npz(self, name: str, arrays: dict[str, np.ndarray]) -> None:
        """Write a compressed archive of arrays."""
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **arrays)
        self.bytes(name, buffer.getvalue())

    def add_ground_truth(self, scene: SceneGT, rows: list[int], *labels: object) -> None:
        """Note the annotated persons ``scene.persons[rows]``; see :func:`ground_truth_rows`."""
        request = scene.request
        self.annotated[request.split] += len(rows)
        if rows:
            found = ground_truth_rows(scene, rows, *labels)
            self._rows[request.source, request.split].append(found)

    def write_ground_truth(self) -> None:
        """Write a table of the persons that were added, for each split."""
        for (source, split), parts in self._rows.items():
            table = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
            self.npz(f'ground_truth/{source}_{split}.npz', table)


def is_seen(person: PersonGT) -> bool:
    """Whether an annotator notices the person at all: some visible px with an outline."""
    return person.area > 0 and bool(person.polygons)


def label_scenes(
    scenes: Iterable[SceneGT], settings: LabelSettings
) -> Iterator[tuple[SceneGT, np.ndarray, np.ndarray, list[int]]]:
    """Scenes with the labels of their persons.

    Yields:
        the scene; xy (N, K, 2) px and v (N, K) of all its persons in the data set's joints; rows of
        those who are noticed.
    """
    for scene in scenes:
        xy, v = convert_joints(*label_joints(scene, settings), 'world', settings.joint_set)
        yield scene, xy, v, [i for i, person in enumerate(scene.persons) if is_seen(person)]


def label_joints(scene: SceneGT, settings: LabelSettings) -> tuple[np.ndarray, np.ndarray]:
    """Labels of everybody in the scene.

    Returns:
        xy (N, J, 2) px, inside the image and 0 where not labelled; v (N, J) int: 0 not labelled, 1
        labelled but hidden, 2 visible.
    """
    persons, request = scene.persons, scene.request
    xy = np.reshape([person.joints_px for person in persons], (-1, len(WORLD), 2))
    inside = np.reshape([person.inside for person in persons], (-1, len(WORLD))).astype(bool)
    visible = np.reshape([p.visible for p in persons], (-1, len(WORLD))).astype(bool) & inside
    share = np.array([person.visible_share for person in persons])
    area = np.array([person.area for person in persons])

    chance = np.random.default_rng((_SALT, request.scene_id)).random(inside.shape)
    guessed = inside & ~visible & (chance < settings.guesses) & ~_FACE
    guessed &= ~(_LEGS & (share < settings.min_share)[:, None])
    v = np.where(visible, 2, np.where(guessed, 1, 0))
    v[area < settings.min_area * (request.width * request.height) / (640 * 480)] = 0

    xy = np.round(np.nan_to_num(xy) / settings.step) * settings.step
    xy = np.clip(xy, 0, (request.width - 1, request.height - 1))
    return np.where((v > 0)[..., None], xy, 0.0), v


def flat_keypoints(xy: np.ndarray, v: np.ndarray) -> list[float]:
    """(K, 2) and (K,) to COCO's flat list x, y, v, ...; whole numbers are written as such."""
    return [
        int(value) if value == int(value) else round(value, 3)
        for value in np.c_[xy, v].ravel().tolist()
    ]


def coco_category(joint_set: str, **changes: object) -> dict:
    """The category 'person' of files in COCO's style."""
    joints = get_joint_set(joint_set)
    skeleton = [[i + 1, j + 1] for i, j in joints.link_indices]
    category = dict(supercategory='person', id=1, name='person', keypoints=list(joints.joints))
    return category | dict(skeleton=skeleton) | changes


def coco_annotation(
    xy: np.ndarray, v: np.ndarray, annotation_id: int, image_id: int, bbox: list[float],
    **more: object,
) -> dict:  # fmt: skip
    """What annotations of all files in COCO's style have: labels xy (K, 2) px and v (K,)."""
    keypoints = flat_keypoints(xy, v)
    return dict(
        num_keypoints=int((v > 0).sum()), iscrowd=0, keypoints=keypoints, image_id=image_id,
        bbox=bbox, category_id=1, id=annotation_id,
    ) | more  # fmt: skip
