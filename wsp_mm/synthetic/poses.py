# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Poses: the numbers that describe one, their limits, and how each action draws them.

A pose is a row of the columns in :data:`DOFS`. Angles are in degrees, zero is upright with hanging arms; lengths of the
legs' targets are shares of the leg's length, of the hands' targets metres for a person of 1.7 m. A leg is either
planted (the foot has a target, inverse kinematics finds the knee) or free (``leg_fk`` = 1, angles).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

# name: (lowest, highest, default). Beyond these limits a joint would be hurt.
_BODY = {
    'root_pitch': (-100, 100, 0), 'root_roll': (-90, 90, 0), 'root_twist': (-40, 40, 0),
    'hip_height': (0.05, 1.0, 0.985), 'airborne': (0, 0.6, 0),
    'spine_flex': (-25, 70, 3), 'spine_side': (-30, 30, 0), 'spine_twist': (-40, 40, 0),
    'neck_flex': (-45, 50, 4), 'neck_side': (-35, 35, 0), 'neck_twist': (-70, 70, 0),
}  # fmt: skip
_SIDED = {
    # planted foot: outwards, forwards, up; turned outwards, heel up; knee turned outwards
    'foot_x': (-0.25, 0.6, 0), 'foot_y': (-0.6, 0.95, 0), 'foot_z': (0, 0.7, 0),
    'foot_yaw': (-25, 60, 9), 'foot_pitch': (-25, 60, 0), 'knee_out': (-25, 70, 5),
    # free leg: hip forwards, outwards, turned outwards; knee bends backwards only; toes up
    'leg_fk': (0, 1, 0), 'hip_flex': (-25, 125, 0), 'hip_abd': (-20, 50, 4), 'hip_rot': (-40, 50, 5),
    'knee': (0, 150, 5), 'ankle': (-50, 35, 0),
    # arm: up from hanging, 0 sideways and 90 forwards, turned inwards; elbow bends forwards only
    'clavicle': (-8, 25, 0), 'arm_elev': (0, 175, 10), 'arm_azim': (-60, 130, 20), 'arm_twist': (-60, 100, 35),
    'elbow': (2, 148, 18), 'pronation': (-70, 80, 0), 'wrist': (-60, 70, 0), 'curl': (0, 80, 22),
    # hand on something: which (0 nothing), offset outwards, forwards, up; elbow raised sideways
    'hand_target': (0, 9, 0), 'hand_x': (-0.6, 0.6, 0), 'hand_y': (-0.6, 0.6, 0), 'hand_z': (-0.6, 0.6, 0),
    'elbow_out': (-20, 110, 35),
}  # fmt: skip

# What a hand may touch: name, bone that carries it, point from the bone's head in the reference pose for the left side
# (m for 1.7 m of height; x left, y back, z up).
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

DOFS: dict[str, tuple[float, float, float]] = dict(_BODY)
for _side in ('left', 'right'):
    DOFS |= {f'{_side}_{name}': limits for name, limits in _SIDED.items()}
_COLUMN = {name: i for i, name in enumerate(DOFS)}
LOWER, UPPER, REST = (np.array([limits[k] for limits in DOFS.values()], dtype=np.float64) for k in range(3))
# Switches: never jittered or interpolated.
SWITCHES = [i for i, name in enumerate(DOFS) if name.endswith(('leg_fk', 'hand_target'))]


def column(name: str) -> int:
    """Column of a degree of freedom.

    Raises:
        KeyError: unknown name.
    """
    return _COLUMN[name]


@dataclass(frozen=True)
class Pose:
    """One pose. ``values`` (len(DOFS),) within the limits; ``posture`` as in ``record.Person``."""

    action: str
    posture: str
    values: np.ndarray


class _Draft:
    """A pose being drawn: defaults, then what the action sets."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.values = REST.copy()
        self.posture = 'standing'

    def set(self, **values: float) -> None:
        for name, value in values.items():
            self.values[_COLUMN[name]] = value

    def both(self, **values: float) -> None:
        for name, value in values.items():
            self.set(**{f'left_{name}': value, f'right_{name}': value})

    def side(self, side: str, **values: float) -> None:
        self.set(**{f'{side}_{name}': value for name, value in values.items()})

    def n(self, mean: float, sd: float) -> float:
        return float(self.rng.normal(mean, sd))

    def u(self, low: float, high: float) -> float:
        return float(self.rng.uniform(low, high))

    def chance(self, p: float) -> bool:
        return bool(self.rng.random() < p)

    def sides(self) -> tuple[str, str]:
        """The busy side (right for most people) and the other."""
        return ('left', 'right') if self.chance(0.25) else ('right', 'left')

    def touch(self, side: str, what: str, x: float = 0, y: float = 0, z: float = 0, **more: float) -> None:
        n = self.rng.normal(0, 0.012, 3)
        self.side(side, hand_target=TARGET_INDEX[what], hand_x=x + n[0], hand_y=y + n[1], hand_z=z + n[2], **more)


# ------------------------------------------------------------------ building blocks
def _stand(d: _Draft) -> None:
    """Weight on both feet or mostly on one, arms hanging in some way, head turned somewhere."""
    d.set(
        root_pitch=d.n(2, 3), root_roll=d.n(0, 2), root_twist=d.n(0, 4), hip_height=min(0.995, d.n(0.975, 0.012)),
        spine_flex=d.n(4, 6), spine_side=d.n(0, 4), spine_twist=d.n(0, 8),
        neck_flex=d.n(5, 10), neck_side=d.n(0, 6), neck_twist=d.n(0, 22),
    )  # fmt: skip
    width = d.u(-0.03, 0.12)
    ahead = d.n(0, 0.05)
    for side, sign in (('left', 1), ('right', -1)):
        d.side(
            side, foot_x=width + d.n(0, 0.02), foot_y=sign * ahead, foot_yaw=d.n(12, 8), knee_out=d.n(8, 6),
            arm_elev=abs(d.n(9, 6)), arm_azim=d.n(25, 30), arm_twist=d.n(35, 18), elbow=abs(d.n(18, 12)) + 3,
            pronation=d.n(10, 20), wrist=d.n(0, 10), curl=d.u(8, 45), clavicle=d.n(0, 3),
        )  # fmt: skip


def _gesture(d: _Draft, side: str) -> None:
    """A hand that talks: forearm up before the body."""
    d.side(
        side, arm_elev=d.u(15, 65), arm_azim=d.u(10, 85), arm_twist=d.u(10, 75), elbow=d.u(45, 120),
        pronation=d.u(-50, 50), wrist=d.n(0, 18), curl=d.u(0, 40),
    )  # fmt: skip


def _idle_arm(d: _Draft, side: str) -> None:
    """An arm that the action does not need: hanging, on the hip, in the pocket, across the belly."""
    k = d.rng.random()
    if k < 0.12:
        d.touch(side, 'hip', elbow_out=d.u(70, 100), curl=d.u(10, 50))
    elif k < 0.24:
        d.touch(side, 'pocket', elbow_out=d.u(25, 60), curl=20)
    elif k < 0.32:
        d.touch(side, 'belly', x=d.u(-0.1, 0.03), elbow_out=d.u(10, 40))


def _seat(d: _Draft, low: float = 0.50, high: float = 0.60) -> None:
    """On a chair: hips at the height of the knees, feet before them."""
    d.posture = 'sitting'
    d.set(hip_height=d.u(low, high), root_pitch=d.n(-8, 6), spine_flex=d.n(12, 10), root_roll=d.n(0, 2))
    spread, reach = d.u(-0.02, 0.14), d.u(0.42, 0.58)
    for side in ('left', 'right'):
        d.side(side, foot_x=spread, foot_y=reach + d.n(0, 0.05), foot_yaw=d.n(10, 8), knee_out=d.n(8, 8))
        if d.chance(0.5):
            d.touch(side, 'thigh', z=d.u(-0.03, 0.12), elbow_out=d.u(15, 55), curl=d.u(10, 35))
    if d.chance(0.2):  # legs stretched
        d.both(foot_y=d.u(0.7, 0.85), foot_pitch=-10)


def _floor(d: _Draft) -> None:
    """On the ground: knees drawn up, legs stretched, or cross-legged."""
    d.posture = 'sitting'
    d.set(root_pitch=d.n(-14, 6), spine_flex=d.n(24, 8), root_roll=d.n(0, 2))
    kind = d.rng.choice(['knees_up', 'stretched', 'crossed', 'half'])
    if kind in ('knees_up', 'half'):
        d.both(leg_fk=1, hip_flex=d.u(95, 112), hip_abd=d.u(0, 14), knee=d.u(88, 115), ankle=d.u(-25, -5))
    if kind == 'stretched':
        d.both(leg_fk=1, hip_flex=d.u(70, 76), hip_abd=d.u(2, 18), knee=d.u(2, 12), ankle=d.u(-20, 5))
    if kind == 'half':
        side = d.sides()[0]
        d.side(side, hip_flex=d.u(70, 76), knee=d.u(3, 14), ankle=d.u(-20, 5))
    if kind == 'crossed':
        for side, more in (('left', 0), ('right', 6)):
            d.side(
                side, leg_fk=1, hip_flex=82 + more, hip_abd=d.u(34, 42), hip_rot=d.u(38, 48),
                knee=d.u(108, 124), ankle=-20,
            )  # fmt: skip
    for side in ('left', 'right'):
        if d.chance(0.6):
            d.touch(side, 'thigh', z=d.u(-0.02, 0.1), elbow_out=d.u(15, 55))
        else:  # leaning on the hand
            d.side(side, arm_elev=d.u(28, 42), arm_azim=d.u(-55, -30), elbow=d.u(3, 14), arm_twist=d.u(-20, 10), wrist=-45)  # fmt: skip


def walk(phase: float, stride: float, lift: float, swing: float) -> dict[str, float]:
    """The legs and arms of a walk.

    Args:
        phase: radians; the left foot is foremost at 0 and lifted over (pi, 2 pi).
        stride: half the step, share of the leg. lift: of the free foot. swing: of the arms, degrees.
    """
    values = {}
    for side, shift in (('left', 0.0), ('right', np.pi)):
        p = phase + shift
        forward, up = np.cos(p), max(0.0, -np.sin(p))
        # The heel leaves the ground before the foot does, and comes down first.
        heel = 38 * max(0.0, np.cos(p + 0.8 * np.pi)) ** 2 * (np.sin(p) > -0.95)
        values |= {
            f'{side}_foot_y': stride * forward, f'{side}_foot_z': lift * up, f'{side}_foot_x': -0.015,
            f'{side}_foot_pitch': heel * (forward < 0.4) - 10 * (forward > 0.85),
        }  # fmt: skip
        back = -forward  # arms go against the legs
        values |= {
            f'{side}_arm_elev': abs(swing * back) + 6,
            f'{side}_arm_azim': 80.0 if back > 0 else -58.0,
            f'{side}_elbow': 14 + swing * 0.5 * (1 + back),
        }
    values |= {'root_twist': -6 * np.cos(phase), 'spine_twist': 9 * np.cos(phase), 'hip_height': 0.975}
    return values


# ------------------------------------------------------------------ actions
def _directions(d: _Draft) -> None:
    busy, idle = d.sides()
    d.side(busy, arm_elev=d.u(55, 115), arm_azim=d.u(-5, 100), arm_twist=d.u(0, 60), elbow=d.u(4, 40), curl=d.u(15, 60))  # fmt: skip
    d.set(neck_twist=d.n(20 if busy == 'left' else -20, 25))
    _idle_arm(d, idle)


def _discussion(d: _Draft) -> None:
    for side in ('left', 'right'):
        if d.chance(0.75):
            _gesture(d, side)
        else:
            _idle_arm(d, side)


def _eating(d: _Draft) -> None:
    if d.chance(0.5):
        _seat(d)
    busy, idle = d.sides()
    d.touch(busy, 'mouth', y=d.u(0, 0.14), z=d.u(-0.16, -0.03), elbow_out=d.u(15, 60), curl=45)
    if d.chance(0.5):
        d.touch(idle, 'belly', y=d.u(0, 0.08), elbow_out=d.u(15, 40), curl=40)
    d.set(neck_flex=d.u(5, 28), neck_twist=d.n(0, 10))


def _greeting(d: _Draft) -> None:
    busy, idle = d.sides()
    k = d.rng.random()
    if k < 0.55:  # waving
        d.side(busy, arm_elev=d.u(75, 150), arm_azim=d.u(0, 50), arm_twist=d.u(-50, 0), elbow=d.u(25, 95), curl=d.u(0, 15))  # fmt: skip
    elif k < 0.8:  # shaking hands
        d.side(busy, arm_elev=d.u(35, 60), arm_azim=d.u(75, 95), arm_twist=d.u(0, 20), elbow=d.u(15, 50), curl=d.u(15, 35))  # fmt: skip
    else:  # both arms
        d.both(arm_elev=d.u(70, 130), arm_azim=d.u(15, 75), arm_twist=d.u(-30, 20), elbow=d.u(15, 70))
        return
    _idle_arm(d, idle)


def _phoning(d: _Draft) -> None:
    if d.chance(0.25):
        _seat(d)
    busy, idle = d.sides()
    sign = 1 if busy == 'left' else -1
    d.touch(busy, 'ear', z=d.u(-0.09, -0.03), elbow_out=d.u(15, 75), curl=55)
    d.set(neck_side=sign * d.u(0, 14), neck_twist=d.n(0, 18), neck_flex=d.n(8, 8))
    _idle_arm(d, idle)


def _posing(d: _Draft) -> None:
    kind = d.rng.integers(5)
    if kind == 0:
        for side in ('left', 'right'):
            d.touch(side, 'hip', elbow_out=d.u(80, 105), curl=d.u(15, 50))
    elif kind == 1:  # arms folded
        d.touch('left', 'belly', x=-0.2, y=-0.03, z=0.13, elbow_out=d.u(20, 45))
        d.touch('right', 'belly', x=-0.2, y=0.02, z=0.17, elbow_out=d.u(20, 45))
    elif kind == 2:  # flexing
        d.both(arm_elev=d.u(75, 100), arm_azim=d.u(0, 25), arm_twist=d.u(-60, -40), elbow=d.u(85, 125), curl=75)
    elif kind == 3:
        d.both(arm_elev=d.u(60, 165), arm_azim=d.u(0, 40), arm_twist=d.u(-20, 40), elbow=d.u(3, 45))
    else:
        busy, idle = d.sides()
        d.touch(busy, 'brow', x=0.03, elbow_out=d.u(50, 95))
        d.touch(idle, 'hip', elbow_out=d.u(70, 100))
    d.both(foot_x=d.u(-0.02, 0.22))
    d.set(spine_side=d.n(0, 9), neck_side=d.n(0, 9), spine_twist=d.n(0, 14))


def _purchases(d: _Draft) -> None:
    busy, idle = d.sides()
    if d.chance(0.5):  # reaching to a shelf
        d.side(busy, arm_elev=d.u(50, 150), arm_azim=d.u(55, 100), arm_twist=d.u(0, 50), elbow=d.u(5, 50), curl=45)
        d.set(neck_flex=d.n(-8, 12))
    else:  # looking through a bag
        d.set(root_pitch=d.u(8, 30), spine_flex=d.u(20, 45), neck_flex=d.u(10, 35), hip_height=d.u(0.82, 0.95))
        d.side(busy, arm_elev=d.u(25, 50), arm_azim=d.u(60, 100), elbow=d.u(20, 60), curl=45)
    d.side(idle, elbow=d.u(60, 100), arm_elev=d.u(8, 25), arm_azim=d.u(50, 90), curl=65)


def _sitting(d: _Draft) -> None:
    _seat(d)
    for side in ('left', 'right'):
        if d.chance(0.25):
            _gesture(d, side)
            d.side(side, hand_target=0)


def _sitting_down(d: _Draft) -> None:
    k = d.rng.random()
    if k < 0.55:
        _floor(d)
    elif k < 0.75:
        _seat(d, 0.36, 0.50)
    else:  # half-way down
        d.posture = 'crouching'
        d.set(hip_height=d.u(0.55, 0.8), root_pitch=d.u(15, 35), spine_flex=d.u(15, 35), neck_flex=d.u(-25, 5))
        d.both(foot_y=d.u(0.12, 0.25), foot_x=d.u(0.0, 0.12), arm_elev=d.u(20, 60), arm_azim=d.u(40, 95))


def _smoking(d: _Draft) -> None:
    if d.chance(0.25):
        _seat(d)
    busy, idle = d.sides()
    if d.chance(0.65):
        d.touch(busy, 'mouth', x=d.u(0, 0.05), y=d.u(0, 0.1), z=d.u(-0.12, -0.04), elbow_out=d.u(15, 60), curl=30)
    else:
        _gesture(d, busy)
    _idle_arm(d, idle)


def _photo(d: _Draft) -> None:
    if d.chance(0.25):
        d.posture = 'crouching'
        d.set(hip_height=d.u(0.55, 0.8), root_pitch=d.u(5, 20), spine_flex=d.u(10, 25))
        d.both(foot_y=d.u(0.05, 0.15), foot_x=d.u(0.02, 0.12))
    d.touch('left', 'brow', y=d.u(0.05, 0.2), z=-0.1, elbow_out=d.u(10, 45), curl=50)
    d.touch('right', 'brow', y=d.u(0.05, 0.2), z=-0.1, elbow_out=d.u(10, 45), curl=50)
    d.set(neck_flex=d.n(2, 6), neck_twist=d.n(0, 6))


def _waiting(d: _Draft) -> None:
    for side in ('left', 'right'):
        _idle_arm(d, side)
    d.set(root_roll=d.n(0, 3.5), spine_side=d.n(0, 5), neck_twist=d.n(0, 30))


def _walking(d: _Draft) -> None:
    values = walk(d.u(0, 2 * np.pi), d.u(0.20, 0.38), d.u(0.08, 0.16), d.u(10, 30))
    d.set(**values)
    d.set(root_pitch=d.u(2, 7), neck_twist=d.n(0, 14), neck_flex=d.n(4, 8))
    d.both(foot_yaw=d.u(0, 12), knee_out=d.u(0, 6))


def _walk_dog(d: _Draft) -> None:
    _walking(d)
    busy, _ = d.sides()
    d.side(busy, arm_elev=d.u(18, 55), arm_azim=d.u(40, 95), elbow=d.u(10, 45), curl=70)
    d.set(neck_flex=d.u(0, 30))


def _running(d: _Draft) -> None:
    values = walk(d.u(0, 2 * np.pi), d.u(0.34, 0.5), d.u(0.28, 0.5), d.u(25, 50))
    d.set(**values)
    d.set(root_pitch=d.u(8, 16), hip_height=d.u(0.88, 0.95), spine_flex=d.n(6, 5), neck_flex=d.n(-4, 6))
    d.both(elbow=d.u(75, 105), foot_yaw=d.u(0, 8), curl=60)


def _jumping(d: _Draft) -> None:
    d.posture = 'airborne'
    d.set(airborne=d.u(0.08, 0.45), root_pitch=d.n(4, 8), spine_flex=d.n(4, 10))
    for side in ('left', 'right'):
        d.side(
            side, leg_fk=1, hip_flex=d.u(-5, 75), hip_abd=d.u(2, 28), knee=d.u(5, 100), ankle=d.u(-40, -5),
            arm_elev=d.u(30, 165), arm_azim=d.u(0, 70), arm_twist=d.u(-30, 40), elbow=d.u(5, 70),
        )  # fmt: skip


def _crouching(d: _Draft) -> None:
    d.posture = 'crouching'
    d.set(
        hip_height=d.u(0.32, 0.62), root_pitch=d.u(12, 38), spine_flex=d.u(15, 45), neck_flex=d.u(-30, 15),
        root_roll=d.n(0, 2),
    )  # fmt: skip
    d.both(foot_y=d.u(0.08, 0.2), foot_x=d.u(0.02, 0.15), foot_yaw=d.u(8, 25), knee_out=d.u(5, 25))
    for side in ('left', 'right'):
        if d.chance(0.6):
            d.side(side, arm_elev=d.u(20, 80), arm_azim=d.u(55, 100), elbow=d.u(10, 70))
        else:
            d.touch(side, 'thigh', z=0.02, elbow_out=d.u(20, 60))


def _kneeling(d: _Draft) -> None:
    d.posture = 'kneeling'
    d.set(root_pitch=d.n(4, 6), spine_flex=d.n(8, 8))
    down, other = d.sides()
    both = d.chance(0.4)
    tilt = d.n(2, 4)
    d.side(down, leg_fk=1, hip_flex=tilt, hip_abd=d.u(2, 10), hip_rot=0, knee=d.u(92, 100), ankle=-45)
    if both:
        d.side(other, leg_fk=1, hip_flex=tilt, hip_abd=d.u(2, 10), hip_rot=0, knee=d.u(92, 100), ankle=-45)
    else:
        d.side(other, leg_fk=1, hip_flex=d.u(82, 90), hip_abd=d.u(4, 14), knee=d.u(84, 90), ankle=d.u(-3, 3))
    for side in ('left', 'right'):
        if d.chance(0.5):
            _gesture(d, side)


def _stepping(d: _Draft) -> None:
    """One foot up, as on stairs or in dancing."""
    up, _ = d.sides()
    d.side(up, foot_y=d.u(0.1, 0.35), foot_z=d.u(0.1, 0.38), foot_pitch=d.u(-5, 25), knee_out=d.u(0, 18))
    d.set(root_pitch=d.u(2, 12), hip_height=0.97)
    for side in ('left', 'right'):
        if d.chance(0.5):
            _gesture(d, side)


def _lying(d: _Draft) -> None:
    d.posture = 'lying'
    face = d.u(-1, 1)
    d.set(root_pitch=-88 if face < 0.6 else 88, spine_flex=d.n(2, 3), neck_flex=5 if face < 0.6 else -10)
    for side in ('left', 'right'):
        bent = d.chance(0.4) and face < 0.6
        d.side(
            side, leg_fk=1, hip_flex=d.u(35, 48) if bent else d.u(0, 5), knee=d.u(70, 95) if bent else d.u(2, 10),
            hip_abd=d.u(2, 16), ankle=-35, arm_elev=d.u(15, 80), arm_azim=d.u(-10, 5), elbow=d.u(4, 40),
            arm_twist=d.u(-20, 20),
        )  # fmt: skip


# The 15 actions of Human3.6M, then those that only wild pictures show.
H36M_ACTIONS: dict[str, Callable[[_Draft], None]] = {
    'Directions': _directions, 'Discussion': _discussion, 'Eating': _eating, 'Greeting': _greeting,
    'Phoning': _phoning, 'Posing': _posing, 'Purchases': _purchases, 'Sitting': _sitting,
    'SittingDown': _sitting_down, 'Smoking': _smoking, 'Photo': _photo, 'Waiting': _waiting,
    'Walking': _walking, 'WalkDog': _walk_dog, 'WalkTogether': _walking,
}  # fmt: skip
ACTIONS = H36M_ACTIONS | {
    'Running': _running, 'Jumping': _jumping, 'Crouching': _crouching, 'Kneeling': _kneeling,
    'Stepping': _stepping, 'Lying': _lying,
}  # fmt: skip
WALKS = ('Walking', 'WalkDog', 'WalkTogether', 'Running')


def sample_pose(action: str, rng: np.random.Generator) -> Pose:
    """A pose of an action.

    Raises:
        KeyError: unknown action.
    """
    if action not in ACTIONS:
        raise KeyError(f'unknown action {action!r}; known: {sorted(ACTIONS)}')
    draft = _Draft(rng)
    _stand(draft)
    ACTIONS[action](draft)
    return Pose(action, draft.posture, np.clip(draft.values, LOWER, UPPER))
