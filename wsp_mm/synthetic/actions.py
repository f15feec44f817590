# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""How each action samples a pose: the 15 actions of Human3.6M, and what only wild images show."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from .motion import COLUMN, LOWER, REST, SIDES, TARGET_INDEX, UPPER, Gait, Pose


class N(NamedTuple):
    """A normally distributed value."""

    mean: float
    sd: float


Value = float | tuple[float, float] | N


class PoseBuilder:
    """A pose that an action fills in; what it does not set stays at the default.

    A value is a number, a tuple (low, high) to sample from uniformly, or :class:`N`.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.values = REST.copy()
        self.posture = 'standing'
        self.gait: Gait | None = None

    def sample(self, value: Value) -> float:
        if isinstance(value, N):
            return float(self.rng.normal(*value))
        return float(self.rng.uniform(*value)) if isinstance(value, tuple) else value

    def chance(self, p: float) -> bool:
        return bool(self.rng.random() < p)

    def set(self, **values: Value) -> None:
        for name, value in values.items():
            self.values[COLUMN[name]] = self.sample(value)

    def side(self, side: str, **values: Value) -> None:
        self.set(**{f'{side}_{name}': value for name, value in values.items()})

    def each(self, **values: Value) -> None:
        """Set both sides, each to a sample of its own."""
        for side in SIDES:
            self.side(side, **values)

    def both(self, **values: Value) -> None:
        """Set both sides to one sample."""
        self.each(**{name: self.sample(value) for name, value in values.items()})

    def sides(self) -> tuple[str, str]:
        """The dominant side (right for most people) and the other."""
        return SIDES if self.chance(0.25) else SIDES[::-1]

    def touch(
        self, side: str, what: str, x: Value = 0, y: Value = 0, z: Value = 0, **more: Value
    ) -> None:
        """Put a hand on one of ``HAND_TARGETS``, off it by x, y, z m (outwards, forwards, up)."""
        at = [self.sample(v) + self.sample(N(0, 0.012)) for v in (x, y, z)]
        self.side(side, hand_target=TARGET_INDEX[what], **more)
        self.side(side, **dict(zip(('hand_x', 'hand_y', 'hand_z'), at, strict=True)))

    def walk(self, **gait: Value) -> None:
        phase = self.sample((0, 2 * np.pi))
        self.gait = Gait(phase, **{name: self.sample(value) for name, value in gait.items()})
        self.set(**self.gait.values())


# ------------------------------------------------------------------ building blocks
def _stand(b: PoseBuilder) -> None:
    """Weight on both feet or mostly on one, arms hanging in some way, head turned somewhere."""
    b.set(
        root_pitch=N(2, 3), root_roll=N(0, 2), root_twist=N(0, 4),
        hip_height=0.998 - abs(b.sample(N(0, 0.007))),
        spine_flex=N(4, 6), spine_side=N(0, 4), spine_twist=N(0, 8),
        neck_flex=N(5, 10), neck_side=N(0, 6), neck_twist=N(0, 22),
    )  # fmt: skip
    width, ahead = b.sample((-0.03, 0.12)), b.sample(N(0, 0.05))
    for side, sign in zip(SIDES, (1, -1), strict=True):
        b.side(
            side, foot_x=N(width, 0.02), foot_y=sign * ahead, foot_yaw=N(12, 8), knee_out=N(8, 6),
            arm_elev=abs(b.sample(N(9, 6))), arm_azim=N(25, 30), arm_twist=N(25, 18),
            elbow=abs(b.sample(N(18, 12))) + 3, pronation=N(10, 20), wrist=N(0, 10), curl=(8, 45),
            clavicle=N(0, 3),
        )  # fmt: skip


def _gesture(b: PoseBuilder, side: str) -> None:
    """A hand that talks: forearm up before the body."""
    b.side(
        side, arm_elev=(15, 65), arm_azim=(10, 85), arm_twist=(10, 75), elbow=(45, 120),
        pronation=(-50, 50), wrist=N(0, 18), curl=(0, 40), hand_target=0,
    )  # fmt: skip


def _idle_arm(b: PoseBuilder, side: str) -> None:
    """An arm without a task: hanging, on the hip, in the pocket, across the belly."""
    k = b.rng.random()
    if k < 0.12:
        b.touch(side, 'hip', elbow_out=(70, 100), curl=(10, 50))
    elif k < 0.24:
        b.touch(side, 'pocket', elbow_out=(25, 60), curl=20)
    elif k < 0.32:
        b.touch(side, 'belly', x=(-0.1, 0.03), elbow_out=(10, 40))


def _seat(b: PoseBuilder, low: float = 0.46, high: float = 0.56) -> None:
    """On a chair: hips at the height of the knees, feet before them."""
    b.posture = 'sitting'
    b.set(hip_height=(low, high), root_pitch=N(-8, 6), spine_flex=N(12, 10), root_roll=N(0, 2))
    b.both(foot_x=(-0.02, 0.14))
    b.each(foot_y=N(b.sample((0.42, 0.58)), 0.05), foot_yaw=N(10, 8), knee_out=N(8, 8))
    for side in SIDES:
        if b.chance(0.5):
            b.touch(side, 'thigh', z=(-0.03, 0.12), elbow_out=(15, 55), curl=(10, 35))
    if b.chance(0.2):  # legs stretched
        b.both(foot_y=(0.7, 0.85), foot_pitch=-10)


def _floor(b: PoseBuilder) -> None:
    """On the ground: knees drawn up, legs stretched, or cross-legged."""
    b.posture = 'sitting'
    b.set(root_pitch=N(-14, 6), spine_flex=N(24, 8), root_roll=N(0, 2))
    b.both(leg_fk=1)
    kind = b.rng.choice(['knees_up', 'stretched', 'crossed', 'half'])
    if kind == 'stretched':
        b.both(hip_flex=(70, 76), hip_abd=(2, 18), knee=(2, 12), ankle=(-20, 5))
    elif kind == 'crossed':
        b.each(hip_abd=(38, 44), hip_rot=(40, 50), knee=(112, 128), ankle=-25)
        b.set(left_hip_flex=96, right_hip_flex=102)
    else:
        b.both(hip_flex=(95, 112), hip_abd=(0, 14), knee=(88, 115), ankle=(-25, -5))
        if kind == 'half':
            b.side(b.sides()[0], hip_flex=(70, 76), knee=(3, 14), ankle=(-20, 5))
    for side in SIDES:
        if b.chance(0.75):
            b.touch(side, 'thigh', z=(-0.02, 0.1), elbow_out=(15, 55))
        else:  # leaning on the hand
            arm = dict(arm_elev=(28, 42), arm_azim=(-55, -30), elbow=(3, 14), arm_twist=(-20, 10))
            b.side(side, **arm, wrist=-45)


# ------------------------------------------------------------------ actions
def _directions(b: PoseBuilder) -> None:
    side, idle = b.sides()
    b.side(side, arm_elev=(55, 115), arm_azim=(-5, 100), arm_twist=(0, 60), elbow=(4, 40))
    b.side(side, curl=(15, 60))
    b.set(neck_twist=N(20 if side == 'left' else -20, 25))
    _idle_arm(b, idle)


def _discussion(b: PoseBuilder) -> None:
    for side in SIDES:
        _gesture(b, side) if b.chance(0.75) else _idle_arm(b, side)


def _eating(b: PoseBuilder) -> None:
    if b.chance(0.5):
        _seat(b)
    side, idle = b.sides()
    b.touch(side, 'mouth', y=(0, 0.14), z=(-0.16, -0.03), elbow_out=(15, 60), curl=45)
    if b.chance(0.5):
        b.touch(idle, 'belly', y=(0, 0.08), elbow_out=(15, 40), curl=40)
    b.set(neck_flex=(5, 28), neck_twist=N(0, 10))


def _greeting(b: PoseBuilder) -> None:
    side, idle = b.sides()
    k = b.rng.random()
    if k < 0.55:  # waving
        b.side(side, arm_elev=(75, 150), arm_azim=(0, 50), arm_twist=(-50, 0), elbow=(25, 95))
        b.side(side, curl=(0, 15))
    elif k < 0.8:  # shaking hands
        b.side(side, arm_elev=(35, 60), arm_azim=(75, 95), arm_twist=(0, 20), elbow=(15, 50))
        b.side(side, curl=(15, 35))
    else:  # both arms
        b.both(arm_elev=(70, 130), arm_azim=(15, 75), arm_twist=(-30, 20), elbow=(15, 70))
        return
    _idle_arm(b, idle)


def _phoning(b: PoseBuilder) -> None:
    if b.chance(0.25):
        _seat(b)
    side, idle = b.sides()
    b.touch(side, 'ear', z=(-0.09, -0.03), elbow_out=(15, 75), curl=55)
    tilt = (0, 14) if side == 'left' else (-14, 0)
    b.set(neck_side=tilt, neck_twist=N(0, 18), neck_flex=N(8, 8))
    _idle_arm(b, idle)


def _posing(b: PoseBuilder) -> None:
    kind = b.rng.integers(5)
    if kind == 0:
        for side in SIDES:
            b.touch(side, 'hip', elbow_out=(80, 105), curl=(15, 50))
    elif kind == 1:  # arms folded
        b.touch('left', 'belly', x=-0.2, y=-0.03, z=0.13, elbow_out=(20, 45))
        b.touch('right', 'belly', x=-0.2, y=0.02, z=0.17, elbow_out=(20, 45))
    elif kind == 2:  # flexing
        b.both(arm_elev=(75, 100), arm_azim=(0, 25), arm_twist=(-60, -40), elbow=(85, 125), curl=75)
    elif kind == 3:
        b.both(arm_elev=(60, 165), arm_azim=(0, 40), arm_twist=(-20, 40), elbow=(3, 45))
    else:
        side, idle = b.sides()
        b.touch(side, 'brow', x=0.03, elbow_out=(50, 95))
        b.touch(idle, 'hip', elbow_out=(70, 100))
    b.both(foot_x=(-0.02, 0.22))
    b.set(spine_side=N(0, 9), neck_side=N(0, 9), spine_twist=N(0, 14))


def _purchases(b: PoseBuilder) -> None:
    side, idle = b.sides()
    if b.chance(0.5):  # reaching to a shelf
        b.side(side, arm_elev=(50, 150), arm_azim=(55, 100), arm_twist=(0, 50), elbow=(5, 50))
        b.set(neck_flex=N(-8, 12))
    else:  # looking through a bag
        b.set(root_pitch=(8, 30), spine_flex=(20, 45), neck_flex=(10, 35), hip_height=(0.82, 0.95))
        b.side(side, arm_elev=(25, 50), arm_azim=(60, 100), elbow=(20, 60))
    b.side(side, curl=45)
    b.side(idle, elbow=(60, 100), arm_elev=(8, 25), arm_azim=(50, 90), curl=65)


def _sitting(b: PoseBuilder) -> None:
    _seat(b)
    for side in SIDES:
        if b.chance(0.25):
            _gesture(b, side)


def _sitting_down(b: PoseBuilder) -> None:
    k = b.rng.random()
    if k < 0.55:
        _floor(b)
    elif k < 0.75:
        _seat(b, 0.34, 0.46)
    else:  # half-way down
        b.posture = 'crouching'
        b.set(hip_height=(0.55, 0.8), root_pitch=(15, 35), spine_flex=(15, 35), neck_flex=(-25, 5))
        b.both(foot_y=(0.12, 0.25), foot_x=(0.0, 0.12), arm_elev=(20, 60), arm_azim=(40, 95))


def _smoking(b: PoseBuilder) -> None:
    if b.chance(0.25):
        _seat(b)
    side, idle = b.sides()
    if b.chance(0.65):
        b.touch(side, 'mouth', (0, 0.05), (0, 0.1), (-0.12, -0.04), elbow_out=(15, 60), curl=30)
    else:
        _gesture(b, side)
    _idle_arm(b, idle)


def _photo(b: PoseBuilder) -> None:
    if b.chance(0.25):
        b.posture = 'crouching'
        b.set(hip_height=(0.55, 0.8), root_pitch=(5, 20), spine_flex=(10, 25))
        b.both(foot_y=(0.05, 0.15), foot_x=(0.02, 0.12))
    for side in SIDES:
        b.touch(side, 'brow', y=(0.05, 0.2), z=-0.1, elbow_out=(10, 45), curl=50)
    b.set(neck_flex=N(2, 6), neck_twist=N(0, 6))


def _waiting(b: PoseBuilder) -> None:
    for side in SIDES:
        _idle_arm(b, side)
    b.set(root_roll=N(0, 3.5), spine_side=N(0, 5), neck_twist=N(0, 30))


def _walking(b: PoseBuilder) -> None:
    b.walk(stride=(0.20, 0.38), lift=(0.08, 0.16), swing=(10, 30), cadence=(0.75, 1.0))
    b.set(hip_height=0.99, root_pitch=(2, 7), neck_twist=N(0, 14), neck_flex=N(4, 8))
    b.both(foot_yaw=(0, 12), knee_out=(0, 6), arm_twist=(0, 25))


def _walk_dog(b: PoseBuilder) -> None:
    _walking(b)
    b.side(b.sides()[0], arm_elev=(18, 55), arm_azim=(40, 95), elbow=(10, 45), curl=70)
    b.set(neck_flex=(0, 30))


def _running(b: PoseBuilder) -> None:
    b.walk(stride=(0.34, 0.5), lift=(0.28, 0.5), swing=(25, 50), cadence=(1.2, 1.5))
    b.set(root_pitch=(8, 16), hip_height=(0.91, 0.97), spine_flex=N(6, 5), neck_flex=N(-4, 6))
    b.both(elbow=(75, 105), foot_yaw=(0, 8), curl=60, arm_twist=(5, 35))


def _jumping(b: PoseBuilder) -> None:
    b.posture = 'airborne'
    b.set(airborne=(0.08, 0.45), root_pitch=N(4, 8), spine_flex=N(4, 10))
    b.each(leg_fk=1, hip_flex=(-5, 75), hip_abd=(2, 28), knee=(5, 100), ankle=(-40, -5))
    b.each(arm_elev=(30, 165), arm_azim=(0, 70), arm_twist=(-30, 40), elbow=(5, 70))


def _crouching(b: PoseBuilder) -> None:
    b.posture = 'crouching'
    b.set(hip_height=(0.32, 0.62), root_pitch=(12, 38), spine_flex=(15, 45), neck_flex=(-30, 15))
    b.set(root_roll=N(0, 2))
    b.both(foot_y=(0.08, 0.2), foot_x=(0.02, 0.15), foot_yaw=(8, 25), knee_out=(5, 25))
    for side in SIDES:
        if b.chance(0.6):
            b.side(side, arm_elev=(20, 80), arm_azim=(55, 100), elbow=(10, 70))
        else:
            b.touch(side, 'thigh', z=0.02, elbow_out=(20, 60))


def _kneeling(b: PoseBuilder) -> None:
    b.posture = 'kneeling'
    b.set(root_pitch=N(4, 6), spine_flex=N(8, 8))
    down, other = b.sides()
    knee = dict(leg_fk=1, hip_flex=b.sample(N(2, 4)), hip_abd=(2, 10), hip_rot=0, knee=(92, 100))
    b.side(down, **knee, ankle=-45)
    if b.chance(0.4):
        b.side(other, **knee, ankle=-45)
    else:
        b.side(other, foot_y=(0.38, 0.52), foot_x=(0, 0.08), foot_yaw=(0, 12))
    for side in SIDES:
        if b.chance(0.5):
            _gesture(b, side)


def _stepping(b: PoseBuilder) -> None:
    """One foot up, as on stairs or in dancing."""
    foot = dict(foot_y=(0.1, 0.35), foot_z=(0.1, 0.38), foot_pitch=(-5, 25), knee_out=(0, 18))
    b.side(b.sides()[0], **foot)
    b.set(root_pitch=(2, 12), hip_height=0.99)
    for side in SIDES:
        if b.chance(0.5):
            _gesture(b, side)


def _lying(b: PoseBuilder) -> None:
    b.posture = 'lying'
    on_back = b.chance(0.8)
    pitch, neck = (-88, 5) if on_back else (88, -10)
    b.set(root_pitch=pitch, spine_flex=N(2, 3), neck_flex=neck)
    b.each(leg_fk=1, hip_abd=(2, 16), ankle=-35, hip_flex=(0, 5), knee=(2, 10))
    b.each(arm_elev=(15, 80), arm_azim=(-10, 5), elbow=(4, 40), arm_twist=(-20, 20))
    for side in SIDES:
        if on_back and b.chance(0.4):
            b.side(side, hip_flex=(35, 48), knee=(70, 95))


# The 15 actions of Human3.6M, then those that only wild images show.
H36M_ACTIONS: dict[str, Callable[[PoseBuilder], None]] = {
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
    builder = PoseBuilder(rng)
    _stand(builder)
    ACTIONS[action](builder)
    values = np.clip(builder.values, LOWER, UPPER)
    return Pose(action, builder.posture, values, builder.gait)
