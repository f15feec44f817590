# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Poses in time, for videos: walkers walk, everybody else moves smoothly between variations of
their pose.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .poses import DOFS, LOWER, UPPER, Pose, column

_KEY_SECONDS = 0.9
# How far the variations stray, degrees or m; what is not named here stays as it is.
_TRUNK = {
    'spine_flex': 3,
    'spine_side': 2.5,
    'spine_twist': 6,
    'neck_flex': 6,
    'neck_side': 4,
    'neck_twist': 16,
}
_ARM = {
    'arm_elev': 14, 'arm_azim': 12, 'arm_twist': 10, 'elbow': 16, 'wrist': 12, 'pronation': 14, 'hand_x': 0.015,
    'hand_y': 0.02, 'hand_z': 0.02,
}  # fmt: skip
_SPREAD = np.zeros(len(DOFS))
for _name, _value in _TRUNK.items():
    _SPREAD[column(_name)] = _value
for _side in ('left', 'right'):
    for _name, _value in _ARM.items():
        _SPREAD[column(f'{_side}_{_name}')] = _value


def pose_at(pose: Pose, time: float, rng: np.random.Generator) -> Pose:
    """The pose ``time`` seconds later; the pose itself at 0.

    Args:
        pose: at the start. time: s, not negative. rng: fresh, and the same for every time of one
            person.

    Raises:
        ValueError: negative time.
    """
    if time < 0:
        raise ValueError(f'time must not be negative, got {time} s')
    if time == 0:
        return pose
    k = time / _KEY_SECONDS
    keys = rng.normal(0, 1, (int(k) + 2, len(DOFS))) * _SPREAD
    keys[0] = 0
    i, f = int(k), k - int(k)
    f = f * f * (3 - 2 * f)
    strayed = (1 - f) * keys[i] + f * keys[i + 1]
    values = pose.values + strayed * (0.3 if pose.gait else 1.0)
    gait = pose.gait
    if gait is not None:
        gait = replace(gait, phase=gait.phase + 2 * np.pi * gait.cadence * time)
        # What the gait moves goes on from where it was: the pose may have been drawn with more than
        # the gait.
        before, after = pose.gait.values(), gait.values()
        for name, value in after.items():
            c = column(name)
            values[c] = (
                value
                if name.endswith(('foot_y', 'foot_z', 'foot_pitch'))
                else values[c] + value - before[name]
            )
    return replace(pose, values=np.clip(values, LOWER, UPPER), gait=gait)


def walking_speed(pose: Pose, stature: float) -> float:
    """m/s over the ground of somebody of that height (m); 0 for who does not walk."""
    return pose.gait.speed(stature) if pose.gait else 0.0
