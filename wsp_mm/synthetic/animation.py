# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Poses in time, for videos: walkers walk, everybody else moves smoothly between variations of their pose."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .poses import LOWER, SWITCHES, UPPER, WALKS, Pose, column, walk

# Steps a second, of one leg.
_CADENCE = {'Running': 1.35}
_KEY_SECONDS = 0.9
# How far the variations stray, degrees or shares, for what moves while somebody acts on the spot.
_ARM = {'arm_elev': 14, 'arm_azim': 12, 'arm_twist': 10, 'elbow': 16, 'wrist': 12, 'pronation': 14}
_HAND = {'hand_x': 0.015, 'hand_y': 0.02, 'hand_z': 0.02}
_TRUNK = {'spine_flex': 3, 'spine_side': 2.5, 'spine_twist': 6, 'neck_flex': 6, 'neck_side': 4, 'neck_twist': 16, 'root_roll': 1}


def _spread() -> np.ndarray:
    spread = np.zeros(len(LOWER))
    for name, value in _TRUNK.items():
        spread[column(name)] = value
    for side in ('left', 'right'):
        for name, value in (_ARM | _HAND).items():
            spread[column(f'{side}_{name}')] = value
    return spread


_SPREAD = _spread()
assert not _SPREAD[SWITCHES].any()


def _gait(pose: Pose, rng: np.random.Generator) -> tuple[float, float, float, float]:
    """Phase at the start, stride, lift and swing of a walker."""
    if pose.action == 'Running':
        return rng.uniform(0, 2 * np.pi), rng.uniform(0.36, 0.48), 0.4, 38.0
    return rng.uniform(0, 2 * np.pi), rng.uniform(0.22, 0.34), 0.12, 22.0


def walking_speed(pose: Pose) -> float:
    """m/s over the ground; 0 for who does not walk."""
    if pose.action not in WALKS:
        return 0.0
    return 2.6 if pose.action == 'Running' else 1.0


def pose_at(pose: Pose, time: float, rng: np.random.Generator) -> Pose:
    """The pose ``time`` seconds later. ``rng`` must be fresh and the same for every time of one person.

    At time 0 it is the pose itself.
    """
    if time == 0:
        return pose
    values = pose.values.copy()
    k = time / _KEY_SECONDS
    keys = rng.normal(0, 1, (int(k) + 2, len(values))) * _SPREAD
    keys[0] = 0
    i, f = int(k), k - int(k)
    f = f * f * (3 - 2 * f)
    values += (1 - f) * keys[i] + f * keys[i + 1]
    return replace(pose, values=np.clip(values, LOWER, UPPER))
