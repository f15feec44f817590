# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""What a human annotator would have labelled of a picture whose truth is known.

The truth of a picture is complete; annotations are not. This module turns one into the other, by
the same rules for every data set, with each data set's own :class:`Habits`. N persons, J joints of
the set ``world``.

The rules: a joint outside the picture is never labelled. A joint in sight is labelled with v = 2. A
    hidden one is labelled by guess with v = 1, but not always; never on the face (annotators leave
    a hidden eye out); never below the knee of somebody of whom little is to be seen.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wsp_mm.structures.keypoints import get_joint_set
from wsp_mm.synthetic.record import Person, Scene

WORLD = get_joint_set('world')

_SALT = 20_170_607  # keeps the annotators' dice apart from every other use of the scene's number
_FACE = np.array([c == 'nose' or c.endswith(('_eye', '_ear')) for c in WORLD.concepts])
_LEGS = np.array([c.endswith(('_knee', '_ankle')) for c in WORLD.concepts])


@dataclass(frozen=True)
class Habits:
    """How one data set was annotated.

    Attributes:
        guesses: share of the hidden joints that are labelled all the same.
        step: px to which labels are rounded.
        min_share: below this visible share of the body hidden knees and ankles are never guessed.
        min_area: persons with fewer visible px get no joints. It is given for a picture of 640 x
            480 px and grows and shrinks with the picture's area. COCO draws this line at 32 x 32.
    """

    guesses: float
    step: float
    min_share: float = 0.35
    min_area: float = 0.0


def polygons_of(person: Person) -> list[list[float]]:
    """The person's outlines that are polygons: at least three corners."""
    return [polygon for polygon in person.polygons if len(polygon) >= 6]


def is_seen(person: Person) -> bool:
    """Whether an annotator notices the person at all: some visible px with an outline."""
    return person.area > 0 and bool(polygons_of(person))


def label_joints(scene: Scene, habits: Habits) -> tuple[np.ndarray, np.ndarray]:
    """Labels of everybody in the picture.

    Returns:
        xy (N, J, 2) px, inside the picture and 0 where not labelled; v (N, J) int: 0 not labelled,
        1 labelled but hidden, 2 labelled and in sight.
    """
    persons = scene.persons
    if not persons:
        return np.zeros((0, len(WORLD), 2)), np.zeros((0, len(WORLD)), dtype=int)
    xy = np.stack([person.joints_px for person in persons])
    in_picture = np.stack([person.in_picture for person in persons])
    visible = np.stack([person.visible for person in persons]) & in_picture
    share = np.array([person.visible_share for person in persons])
    area = np.array([person.area for person in persons])

    dice = np.random.default_rng((_SALT, scene.scene_id)).random(in_picture.shape)
    guessed = in_picture & ~visible & (dice < habits.guesses) & ~_FACE
    guessed &= ~(_LEGS & (share < habits.min_share)[:, None])
    v = np.where(visible, 2, np.where(guessed, 1, 0))
    v[area < habits.min_area * (scene.width * scene.height) / (640 * 480)] = 0

    xy = np.round(np.nan_to_num(xy) / habits.step) * habits.step
    xy = np.clip(xy, 0, (scene.width - 1, scene.height - 1))
    return np.where((v > 0)[..., None], xy, 0.0), v


def flat_keypoints(xy: np.ndarray, v: np.ndarray) -> list[float]:
    """(K, 2) and (K,) to COCO's flat list x, y, v, ...; whole numbers are written as such."""
    return [
        int(value) if value == int(value) else round(value, 3)
        for x, y, seen in zip(xy[:, 0].tolist(), xy[:, 1].tolist(), v.tolist(), strict=True)
        for value in (x, y, seen)
    ]
