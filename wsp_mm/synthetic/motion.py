# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Poses: the numbers that describe one, their limits, the gait, and how a pose moves in time.

A pose is a row of the columns in :data:`DOFS`. Angles are in degrees, zero is upright with hanging
arms; lengths of the legs' targets are shares of the leg's length, of the hands' targets metres for
a person of 1.7 m. A leg is either planted (the foot has a target, inverse kinematics finds the
knee) or free (``leg_fk`` = 1, angles). :mod:`wsp_mm.synthetic.actions` samples poses.
"""

from dataclasses import dataclass, replace

import numpy as np

# name: (lower limit, upper limit, default)
_BODY = {
    'root_pitch': (-100, 100, 0), 'root_roll': (-90, 90, 0), 'root_twist': (-40, 40, 0),
    'hip_height': (0.05, 1.0, 0.995), 'airborne': (0, 0.6, 0),
    'spine_flex': (-25, 70, 3), 'spine_side': (-30, 30, 0), 'spine_twist': (-40, 40, 0),
    'neck_flex': (-45, 50, 4), 'neck_side': (-35, 35, 0), 'neck_twist': (-70, 70, 0),
}  # fmt: skip
_SIDED = {
    # planted foot: outwards, forwards, up; turned outwards, heel up; knee turned outwards
    'foot_x': (-0.25, 0.6, 0), 'foot_y': (-0.6, 0.95, 0), 'foot_z': (0, 0.7, 0),
    'foot_yaw': (-25, 60, 9), 'foot_pitch': (-25, 60, 0), 'knee_out': (-25, 70, 5),
    # free leg: hip forwards, outwards, turned outwards; knee bends backwards only; toes up
    'leg_fk': (0, 1, 0), 'hip_flex': (-25, 125, 0), 'hip_abd': (-20, 50, 4),
    'hip_rot': (-40, 50, 5), 'knee': (0, 150, 5), 'ankle': (-50, 35, 0),
    # arm: up from hanging, 0 sideways and 90 forwards, turned inwards; elbow bends forwards only
    'clavicle': (-8, 25, 0), 'arm_elev': (0, 175, 10), 'arm_azim': (-60, 130, 20),
    'arm_twist': (-60, 100, 35), 'elbow': (2, 148, 18), 'pronation': (-70, 80, 0),
    'wrist': (-60, 70, 0), 'curl': (0, 80, 22),
    # hand on something: which (0 nothing), offset outwards, forwards, up; elbow raised sideways
    'hand_target': (0, 9, 0), 'hand_x': (-0.6, 0.6, 0), 'hand_y': (-0.6, 0.6, 0),
    'hand_z': (-0.6, 0.6, 0), 'elbow_out': (-20, 110, 35),
}  # fmt: skip

# What a hand may touch: name, bone that carries it, point from the bone's head in the reference
# pose for the left side (m for 1.7 m of height; x left, y back, z up).
HAND_TARGETS = (
    ('ear', 'head', (0.115, -0.05, -0.03)),
    ('mouth', 'head', (0.045, -0.19, -0.08)),
    ('brow', 'head', (0.085, -0.16, 0.07)),
    ('hip', 'root', (0.215, 0.02, 0.06)),
    ('thigh', 'lowerleg01.*', (0.0, -0.09, 0.12)),
    ('chest', 'spine01', (0.12, -0.33, -0.03)),
    ('pocket', 'root', (0.215, -0.04, -0.11)),
    ('belly', 'spine03', (0.10, -0.29, 0.02)),
    ('back', 'root', (0.05, 0.19, 0.03)),
)
TARGET_INDEX = {name: i for i, (name, _, _) in enumerate(HAND_TARGETS, start=1)}

SIDES = ('left', 'right')
DOFS: dict[str, tuple[float, float, float]] = _BODY | {
    f'{side}_{name}': limits for side in SIDES for name, limits in _SIDED.items()
}
COLUMN = {name: i for i, name in enumerate(DOFS)}
LOWER, UPPER, REST = np.array(list(DOFS.values()), dtype=np.float64).T


@dataclass(frozen=True)
class Gait:
    """How somebody walks.

    Attributes:
        phase: radians; the left foot is foremost at 0 and in the air over (pi, 2 pi).
        stride: half the step, share of the leg. lift: of the free foot, share of the leg.
        swing: of the arms, degrees. cadence: double steps a second.
    """

    phase: float
    stride: float
    lift: float
    swing: float
    cadence: float

    def values(self) -> dict[str, float]:
        """Legs, arms and trunk at this phase, all continuous in it."""
        values = {
            'root_twist': -6 * np.cos(self.phase),
            'spine_twist': 9 * np.cos(self.phase),
        }
        for side, p in zip(SIDES, (self.phase, self.phase + np.pi), strict=True):
            # The heel leaves the ground before the foot does, and comes down before the toes.
            up, down = np.maximum(0, np.cos([p - 1.2 * np.pi, p - 1.85 * np.pi]))
            forward = -np.cos(p)  # arms go against the legs
            angle = self.swing * forward
            values |= {
                f'{side}_foot_x': -0.015, f'{side}_foot_y': self.stride * np.cos(p),
                f'{side}_foot_z': self.lift * max(0.0, -np.sin(p)),
                f'{side}_foot_pitch': 38 * up**2 - 10 * down**6,
                f'{side}_arm_elev': np.hypot(angle, 7),
                f'{side}_arm_azim': np.rad2deg(np.arctan2(angle, 7)),
                f'{side}_elbow': 14 + self.swing * 0.5 * (1 + forward),
            }  # fmt: skip
        return values

    def speed(self, stature: float) -> float:
        """m/s over the ground of somebody of that height (m).

        A cycle has two steps of 2 strides; legs are 0.47 of the height.
        """
        return 4 * self.stride * 0.47 * stature * self.cadence


@dataclass(frozen=True)
class Pose:
    """One pose.

    Attributes:
        action: name of the action that it was sampled from. values: (len(DOFS),), within the
            limits.
        posture: 'standing', 'sitting', 'crouching', 'kneeling', 'lying' or 'airborne'.
        gait: of walkers.
    """

    action: str
    posture: str
    values: np.ndarray
    gait: Gait | None = None


# Variations in time: standard deviation in degrees or m; what is not named here does not move.
_KEY_SECONDS = 0.9
_TRUNK_SPREAD = {
    'spine_flex': 3, 'spine_side': 2.5, 'spine_twist': 6, 'neck_flex': 6, 'neck_side': 4,
    'neck_twist': 16,
}  # fmt: skip
_ARM_SPREAD = {
    'arm_elev': 14, 'arm_azim': 12, 'arm_twist': 10, 'elbow': 16, 'wrist': 12, 'pronation': 14,
    'hand_x': 0.015, 'hand_y': 0.02, 'hand_z': 0.02,
}  # fmt: skip
_SPREAD = np.array(
    [_TRUNK_SPREAD.get(name, _ARM_SPREAD.get(name.partition('_')[2], 0)) for name in DOFS]
)


def pose_at(pose: Pose, time: float, rng: np.random.Generator) -> Pose:
    """The pose ``time`` seconds later; the pose itself at 0.

    Walkers walk, everybody moves smoothly between random variations of the pose.

    Args:
        pose: at the start. time: s, not negative. rng: fresh, and the same for every time of one
            person.
    """
    if time == 0:
        return pose
    i, f = divmod(time / _KEY_SECONDS, 1)
    keys = rng.normal(0, 1, (int(i) + 2, len(DOFS))) * _SPREAD
    keys[0] = 0
    f = f * f * (3 - 2 * f)
    variation = (1 - f) * keys[int(i)] + f * keys[int(i) + 1]
    values = pose.values + variation * (0.3 if pose.gait else 1.0)
    gait = pose.gait
    if gait is not None:
        gait = replace(gait, phase=gait.phase + 2 * np.pi * gait.cadence * time)
        before, after = pose.gait.values(), gait.values()
        for name, value in after.items():
            # Feet are where the gait has them; all else may have been sampled apart from it.
            planted = name.endswith(('foot_y', 'foot_z', 'foot_pitch'))
            c = COLUMN[name]
            values[c] = value if planted else values[c] + value - before[name]
    return replace(pose, values=np.clip(values, LOWER, UPPER), gait=gait)


def walking_speed(pose: Pose, stature: float) -> float:
    """m/s over the ground of somebody of that height (m); 0 for who does not walk."""
    return pose.gait.speed(stature) if pose.gait else 0.0
