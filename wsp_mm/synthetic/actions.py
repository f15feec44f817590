# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""How each action draws a pose: the 15 actions of Human3.6M, and what only wild pictures show."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .poses import LOWER, REST, TARGET_INDEX, UPPER, Gait, Pose, column


class Draft:
    """A pose being drawn: defaults, then what the action sets."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.values = REST.copy()
        self.posture = 'standing'
        self.gait: Gait | None = None

    def walk(self, gait: Gait) -> None:
        self.gait = gait
        self.set(**gait.values())

    def set(self, **values: float) -> None:
        for name, value in values.items():
            self.values[column(name)] = value

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

    def touch(
        self, side: str, what: str, x: float = 0, y: float = 0, z: float = 0, **more: float
    ) -> None:
        n = self.rng.normal(0, 0.012, 3)
        self.side(
            side,
            hand_target=TARGET_INDEX[what],
            hand_x=x + n[0],
            hand_y=y + n[1],
            hand_z=z + n[2],
            **more,
        )


# ------------------------------------------------------------------ building blocks
def _stand(d: Draft) -> None:
    """Weight on both feet or mostly on one, arms hanging in some way, head turned somewhere."""
    d.set(
        root_pitch=d.n(2, 3), root_roll=d.n(0, 2), root_twist=d.n(0, 4), hip_height=0.998 - abs(d.n(0, 0.007)),
        spine_flex=d.n(4, 6), spine_side=d.n(0, 4), spine_twist=d.n(0, 8),
        neck_flex=d.n(5, 10), neck_side=d.n(0, 6), neck_twist=d.n(0, 22),
    )  # fmt: skip
    width = d.u(-0.03, 0.12)
    ahead = d.n(0, 0.05)
    for side, sign in (('left', 1), ('right', -1)):
        d.side(
            side, foot_x=width + d.n(0, 0.02), foot_y=sign * ahead, foot_yaw=d.n(12, 8), knee_out=d.n(8, 6),
            arm_elev=abs(d.n(9, 6)), arm_azim=d.n(25, 30), arm_twist=d.n(25, 18), elbow=abs(d.n(18, 12)) + 3,
            pronation=d.n(10, 20), wrist=d.n(0, 10), curl=d.u(8, 45), clavicle=d.n(0, 3),
        )  # fmt: skip


def _gesture(d: Draft, side: str) -> None:
    """A hand that talks: forearm up before the body."""
    d.side(
        side, arm_elev=d.u(15, 65), arm_azim=d.u(10, 85), arm_twist=d.u(10, 75), elbow=d.u(45, 120),
        pronation=d.u(-50, 50), wrist=d.n(0, 18), curl=d.u(0, 40),
    )  # fmt: skip


def _idle_arm(d: Draft, side: str) -> None:
    """An arm that the action does not need: hanging, on the hip, in the pocket, across the
    belly.
    """
    k = d.rng.random()
    if k < 0.12:
        d.touch(side, 'hip', elbow_out=d.u(70, 100), curl=d.u(10, 50))
    elif k < 0.24:
        d.touch(side, 'pocket', elbow_out=d.u(25, 60), curl=20)
    elif k < 0.32:
        d.touch(side, 'belly', x=d.u(-0.1, 0.03), elbow_out=d.u(10, 40))


def _seat(d: Draft, low: float = 0.46, high: float = 0.56) -> None:
    """On a chair: hips at the height of the knees, feet before them."""
    d.posture = 'sitting'
    d.set(
        hip_height=d.u(low, high),
        root_pitch=d.n(-8, 6),
        spine_flex=d.n(12, 10),
        root_roll=d.n(0, 2),
    )
    spread, reach = d.u(-0.02, 0.14), d.u(0.42, 0.58)
    for side in ('left', 'right'):
        d.side(
            side,
            foot_x=spread,
            foot_y=reach + d.n(0, 0.05),
            foot_yaw=d.n(10, 8),
            knee_out=d.n(8, 8),
        )
        if d.chance(0.5):
            d.touch(side, 'thigh', z=d.u(-0.03, 0.12), elbow_out=d.u(15, 55), curl=d.u(10, 35))
    if d.chance(0.2):  # legs stretched
        d.both(foot_y=d.u(0.7, 0.85), foot_pitch=-10)


def _floor(d: Draft) -> None:
    """On the ground: knees drawn up, legs stretched, or cross-legged."""
    d.posture = 'sitting'
    d.set(root_pitch=d.n(-14, 6), spine_flex=d.n(24, 8), root_roll=d.n(0, 2))
    kind = d.rng.choice(['knees_up', 'stretched', 'crossed', 'half'])
    if kind in ('knees_up', 'half'):
        d.both(
            leg_fk=1,
            hip_flex=d.u(95, 112),
            hip_abd=d.u(0, 14),
            knee=d.u(88, 115),
            ankle=d.u(-25, -5),
        )
    if kind == 'stretched':
        d.both(
            leg_fk=1, hip_flex=d.u(70, 76), hip_abd=d.u(2, 18), knee=d.u(2, 12), ankle=d.u(-20, 5)
        )
    if kind == 'half':
        side = d.sides()[0]
        d.side(side, hip_flex=d.u(70, 76), knee=d.u(3, 14), ankle=d.u(-20, 5))
    if kind == 'crossed':
        for side, more in (('left', 0), ('right', 6)):
            d.side(
                side, leg_fk=1, hip_flex=96 + more, hip_abd=d.u(38, 44), hip_rot=d.u(40, 50),
                knee=d.u(112, 128), ankle=-25,
            )  # fmt: skip
    for side in ('left', 'right'):
        if d.chance(0.75):
            d.touch(side, 'thigh', z=d.u(-0.02, 0.1), elbow_out=d.u(15, 55))
        else:  # leaning on the hand
            d.side(
                side,
                arm_elev=d.u(28, 42),
                arm_azim=d.u(-55, -30),
                elbow=d.u(3, 14),
                arm_twist=d.u(-20, 10),
                wrist=-45,
            )


# ------------------------------------------------------------------ actions
def _directions(d: Draft) -> None:
    busy, idle = d.sides()
    d.side(
        busy,
        arm_elev=d.u(55, 115),
        arm_azim=d.u(-5, 100),
        arm_twist=d.u(0, 60),
        elbow=d.u(4, 40),
        curl=d.u(15, 60),
    )
    d.set(neck_twist=d.n(20 if busy == 'left' else -20, 25))
    _idle_arm(d, idle)


def _discussion(d: Draft) -> None:
    for side in ('left', 'right'):
        if d.chance(0.75):
            _gesture(d, side)
        else:
            _idle_arm(d, side)


def _eating(d: Draft) -> None:
    if d.chance(0.5):
        _seat(d)
    busy, idle = d.sides()
    d.touch(busy, 'mouth', y=d.u(0, 0.14), z=d.u(-0.16, -0.03), elbow_out=d.u(15, 60), curl=45)
    if d.chance(0.5):
        d.touch(idle, 'belly', y=d.u(0, 0.08), elbow_out=d.u(15, 40), curl=40)
    d.set(neck_flex=d.u(5, 28), neck_twist=d.n(0, 10))


def _greeting(d: Draft) -> None:
    busy, idle = d.sides()
    k = d.rng.random()
    if k < 0.55:  # waving
        d.side(
            busy,
            arm_elev=d.u(75, 150),
            arm_azim=d.u(0, 50),
            arm_twist=d.u(-50, 0),
            elbow=d.u(25, 95),
            curl=d.u(0, 15),
        )
    elif k < 0.8:  # shaking hands
        d.side(
            busy,
            arm_elev=d.u(35, 60),
            arm_azim=d.u(75, 95),
            arm_twist=d.u(0, 20),
            elbow=d.u(15, 50),
            curl=d.u(15, 35),
        )
    else:  # both arms
        d.both(
            arm_elev=d.u(70, 130), arm_azim=d.u(15, 75), arm_twist=d.u(-30, 20), elbow=d.u(15, 70)
        )
        return
    _idle_arm(d, idle)


def _phoning(d: Draft) -> None:
    if d.chance(0.25):
        _seat(d)
    busy, idle = d.sides()
    sign = 1 if busy == 'left' else -1
    d.touch(busy, 'ear', z=d.u(-0.09, -0.03), elbow_out=d.u(15, 75), curl=55)
    d.set(neck_side=sign * d.u(0, 14), neck_twist=d.n(0, 18), neck_flex=d.n(8, 8))
    _idle_arm(d, idle)


def _posing(d: Draft) -> None:
    kind = d.rng.integers(5)
    if kind == 0:
        for side in ('left', 'right'):
            d.touch(side, 'hip', elbow_out=d.u(80, 105), curl=d.u(15, 50))
    elif kind == 1:  # arms folded
        d.touch('left', 'belly', x=-0.2, y=-0.03, z=0.13, elbow_out=d.u(20, 45))
        d.touch('right', 'belly', x=-0.2, y=0.02, z=0.17, elbow_out=d.u(20, 45))
    elif kind == 2:  # flexing
        d.both(
            arm_elev=d.u(75, 100),
            arm_azim=d.u(0, 25),
            arm_twist=d.u(-60, -40),
            elbow=d.u(85, 125),
            curl=75,
        )
    elif kind == 3:
        d.both(arm_elev=d.u(60, 165), arm_azim=d.u(0, 40), arm_twist=d.u(-20, 40), elbow=d.u(3, 45))
    else:
        busy, idle = d.sides()
        d.touch(busy, 'brow', x=0.03, elbow_out=d.u(50, 95))
        d.touch(idle, 'hip', elbow_out=d.u(70, 100))
    d.both(foot_x=d.u(-0.02, 0.22))
    d.set(spine_side=d.n(0, 9), neck_side=d.n(0, 9), spine_twist=d.n(0, 14))


def _purchases(d: Draft) -> None:
    busy, idle = d.sides()
    if d.chance(0.5):  # reaching to a shelf
        d.side(
            busy,
            arm_elev=d.u(50, 150),
            arm_azim=d.u(55, 100),
            arm_twist=d.u(0, 50),
            elbow=d.u(5, 50),
            curl=45,
        )
        d.set(neck_flex=d.n(-8, 12))
    else:  # looking through a bag
        d.set(
            root_pitch=d.u(8, 30),
            spine_flex=d.u(20, 45),
            neck_flex=d.u(10, 35),
            hip_height=d.u(0.82, 0.95),
        )
        d.side(busy, arm_elev=d.u(25, 50), arm_azim=d.u(60, 100), elbow=d.u(20, 60), curl=45)
    d.side(idle, elbow=d.u(60, 100), arm_elev=d.u(8, 25), arm_azim=d.u(50, 90), curl=65)


def _sitting(d: Draft) -> None:
    _seat(d)
    for side in ('left', 'right'):
        if d.chance(0.25):
            _gesture(d, side)
            d.side(side, hand_target=0)


def _sitting_down(d: Draft) -> None:
    k = d.rng.random()
    if k < 0.55:
        _floor(d)
    elif k < 0.75:
        _seat(d, 0.34, 0.46)
    else:  # half-way down
        d.posture = 'crouching'
        d.set(
            hip_height=d.u(0.55, 0.8),
            root_pitch=d.u(15, 35),
            spine_flex=d.u(15, 35),
            neck_flex=d.u(-25, 5),
        )
        d.both(
            foot_y=d.u(0.12, 0.25),
            foot_x=d.u(0.0, 0.12),
            arm_elev=d.u(20, 60),
            arm_azim=d.u(40, 95),
        )


def _smoking(d: Draft) -> None:
    if d.chance(0.25):
        _seat(d)
    busy, idle = d.sides()
    if d.chance(0.65):
        d.touch(
            busy,
            'mouth',
            x=d.u(0, 0.05),
            y=d.u(0, 0.1),
            z=d.u(-0.12, -0.04),
            elbow_out=d.u(15, 60),
            curl=30,
        )
    else:
        _gesture(d, busy)
    _idle_arm(d, idle)


def _photo(d: Draft) -> None:
    if d.chance(0.25):
        d.posture = 'crouching'
        d.set(hip_height=d.u(0.55, 0.8), root_pitch=d.u(5, 20), spine_flex=d.u(10, 25))
        d.both(foot_y=d.u(0.05, 0.15), foot_x=d.u(0.02, 0.12))
    d.touch('left', 'brow', y=d.u(0.05, 0.2), z=-0.1, elbow_out=d.u(10, 45), curl=50)
    d.touch('right', 'brow', y=d.u(0.05, 0.2), z=-0.1, elbow_out=d.u(10, 45), curl=50)
    d.set(neck_flex=d.n(2, 6), neck_twist=d.n(0, 6))


def _waiting(d: Draft) -> None:
    for side in ('left', 'right'):
        _idle_arm(d, side)
    d.set(root_roll=d.n(0, 3.5), spine_side=d.n(0, 5), neck_twist=d.n(0, 30))


def _walking(d: Draft) -> None:
    d.walk(Gait(d.u(0, 2 * np.pi), d.u(0.20, 0.38), d.u(0.08, 0.16), d.u(10, 30), d.u(0.75, 1.0)))
    d.set(hip_height=0.99, root_pitch=d.u(2, 7), neck_twist=d.n(0, 14), neck_flex=d.n(4, 8))
    d.both(foot_yaw=d.u(0, 12), knee_out=d.u(0, 6), arm_twist=d.u(0, 25))


def _walk_dog(d: Draft) -> None:
    _walking(d)
    busy, _ = d.sides()
    d.side(busy, arm_elev=d.u(18, 55), arm_azim=d.u(40, 95), elbow=d.u(10, 45), curl=70)
    d.set(neck_flex=d.u(0, 30))


def _running(d: Draft) -> None:
    d.walk(Gait(d.u(0, 2 * np.pi), d.u(0.34, 0.5), d.u(0.28, 0.5), d.u(25, 50), d.u(1.2, 1.5)))
    d.set(
        root_pitch=d.u(8, 16),
        hip_height=d.u(0.91, 0.97),
        spine_flex=d.n(6, 5),
        neck_flex=d.n(-4, 6),
    )
    d.both(elbow=d.u(75, 105), foot_yaw=d.u(0, 8), curl=60, arm_twist=d.u(5, 35))


def _jumping(d: Draft) -> None:
    d.posture = 'airborne'
    d.set(airborne=d.u(0.08, 0.45), root_pitch=d.n(4, 8), spine_flex=d.n(4, 10))
    for side in ('left', 'right'):
        d.side(
            side, leg_fk=1, hip_flex=d.u(-5, 75), hip_abd=d.u(2, 28), knee=d.u(5, 100), ankle=d.u(-40, -5),
            arm_elev=d.u(30, 165), arm_azim=d.u(0, 70), arm_twist=d.u(-30, 40), elbow=d.u(5, 70),
        )  # fmt: skip


def _crouching(d: Draft) -> None:
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


def _kneeling(d: Draft) -> None:
    d.posture = 'kneeling'
    d.set(root_pitch=d.n(4, 6), spine_flex=d.n(8, 8))
    down, other = d.sides()
    both = d.chance(0.4)
    tilt = d.n(2, 4)
    d.side(
        down, leg_fk=1, hip_flex=tilt, hip_abd=d.u(2, 10), hip_rot=0, knee=d.u(92, 100), ankle=-45
    )
    if both:
        d.side(
            other,
            leg_fk=1,
            hip_flex=tilt,
            hip_abd=d.u(2, 10),
            hip_rot=0,
            knee=d.u(92, 100),
            ankle=-45,
        )
    else:
        d.side(other, foot_y=d.u(0.38, 0.52), foot_x=d.u(0, 0.08), foot_yaw=d.u(0, 12))
    for side in ('left', 'right'):
        if d.chance(0.5):
            _gesture(d, side)


def _stepping(d: Draft) -> None:
    """One foot up, as on stairs or in dancing."""
    up, _ = d.sides()
    d.side(
        up,
        foot_y=d.u(0.1, 0.35),
        foot_z=d.u(0.1, 0.38),
        foot_pitch=d.u(-5, 25),
        knee_out=d.u(0, 18),
    )
    d.set(root_pitch=d.u(2, 12), hip_height=0.99)
    for side in ('left', 'right'):
        if d.chance(0.5):
            _gesture(d, side)


def _lying(d: Draft) -> None:
    d.posture = 'lying'
    face = d.u(-1, 1)
    d.set(
        root_pitch=-88 if face < 0.6 else 88,
        spine_flex=d.n(2, 3),
        neck_flex=5 if face < 0.6 else -10,
    )
    for side in ('left', 'right'):
        bent = d.chance(0.4) and face < 0.6
        d.side(
            side, leg_fk=1, hip_flex=d.u(35, 48) if bent else d.u(0, 5), knee=d.u(70, 95) if bent else d.u(2,
            10),
            hip_abd=d.u(2, 16), ankle=-35, arm_elev=d.u(15, 80), arm_azim=d.u(-10, 5), elbow=d.u(4, 40),
            arm_twist=d.u(-20, 20),
        )  # fmt: skip


# The 15 actions of Human3.6M, then those that only wild pictures show.
H36M_ACTIONS: dict[str, Callable[[Draft], None]] = {
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
    draft = Draft(rng)
    _stand(draft)
    ACTIONS[action](draft)
    return Pose(action, draft.posture, np.clip(draft.values, LOWER, UPPER), draft.gait)
