# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""From a pose's numbers to the rotation of every bone: spine and free limbs by angles, planted feet
and hands that touch something by two-bone inverse kinematics.

B bodies, N bones. Frames and units as in :mod:`wsp_mm.synthetic.body`; G of a bone is its rotation
from the reference pose to the posed body, in the body frame.
"""

from __future__ import annotations

import numpy as np

from .body import BodyModel, Shapes
from .poses import HAND_TARGETS, column

_DOWN, _FORWARD, _LEFT = np.array([0, 0, -1.0]), np.array([0, -1.0, 0]), np.array([1.0, 0, 0])
_X, _Y, _Z = np.eye(3)
MAX_DORSIFLEXION = 35.0
_HEEL = 0.045  # m for 1.7 m of height, from the ankle back to where the heel rolls
_KNEE_RADIUS = 0.062  # m for 1.7 m of height, with trousers
# A leg or an arm is never quite straight: the knee's direction would be undefined.
_MAX_REACH = 0.9985


def rotation(axis: np.ndarray, degrees: np.ndarray) -> np.ndarray:
    """Rotation matrices (..., 3, 3) about unit axes (..., 3) or (3,) by angles (...,) in
    degrees.
    """
    degrees = np.asarray(degrees, dtype=np.float64)
    axis = np.broadcast_to(axis, (*degrees.shape, 3))
    angle = np.deg2rad(degrees)[..., None, None]
    x, y, z = axis[..., 0], axis[..., 1], axis[..., 2]
    zero = np.zeros_like(x)
    k = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=-1).reshape(*degrees.shape, 3, 3)
    return np.eye(3) + np.sin(angle) * k + (1 - np.cos(angle)) * (k @ k)


def unit(v: np.ndarray) -> np.ndarray:
    return v / np.maximum(np.linalg.norm(v, axis=-1, keepdims=True), 1e-12)


def _apply(m: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.einsum('...ij,...j->...i', m, v)


def _frame(direction: np.ndarray, hinge: np.ndarray) -> np.ndarray:
    """Rotation with columns (hinge, direction, hinge x direction); the hinge is made orthogonal
    first.
    """
    direction = unit(direction)
    hinge = unit(hinge - (hinge * direction).sum(-1, keepdims=True) * direction)
    return np.stack([hinge, direction, np.cross(hinge, direction)], axis=-1)


def _two_bones(vector: np.ndarray, first: np.ndarray, second: np.ndarray, pole: np.ndarray):
    """Directions of two bones that span ``vector`` and bend towards ``pole`` (a unit vector
    orthogonal to it).

    Returns the directions (B, 3) of both bones. Targets out of reach are approached, too near ones
    kept off.
    """
    distance = np.linalg.norm(vector, axis=-1)
    reach = first + second
    # The nearest target leaves 150 degrees of bend.
    nearest = np.sqrt(first**2 + second**2 + 2 * first * second * np.cos(np.deg2rad(150)))
    distance = np.clip(distance, nearest, _MAX_REACH * reach)
    cosine = (first**2 + distance**2 - second**2) / (2 * first * distance)
    angle = np.arccos(np.clip(cosine, -1, 1))[:, None]
    u = unit(vector)
    upper = np.cos(angle) * u + np.sin(angle) * pole
    lower = unit(distance[:, None] * u - first[:, None] * upper)
    return upper, lower


class PoseSolver:
    """Solves B poses for B shapes. One object per batch; :meth:`solve` returns the rotations for
    ``BodyModel.skin``.
    """

    def __init__(self, body: BodyModel, shapes: Shapes, poses: np.ndarray) -> None:
        self.body, self.shapes, self.poses = body, shapes, np.asarray(poses, dtype=np.float64)
        self.G = np.tile(np.eye(3), (len(shapes), len(body.bones), 1, 1))
        self.at = shapes.heads.copy()
        self.size = (shapes.height / 1.7)[:, None]
        self.twist: dict[int, np.ndarray] = {}

    def _p(self, name: str) -> np.ndarray:
        return self.poses[:, column(name)]

    def _ref(self, bone: str) -> np.ndarray:
        return self.shapes.heads[:, self.body.index[bone]]

    def _place(self, bone: str, rotation: np.ndarray) -> None:
        """Set a bone's G, its head following its parent."""
        i = self.body.index[bone]
        p = self.body.parents[i]
        if p >= 0:
            offset = self.shapes.heads[:, i] - self.shapes.heads[:, p]
            self.at[:, i] = self.at[:, p] + _apply(self.G[:, p], offset)
        self.G[:, i] = rotation

    def _parent_rotation(self, bone: str) -> np.ndarray:
        return self.G[:, self.body.parents[self.body.index[bone]]]

    def solve(self) -> np.ndarray:
        """Rotations (B, N, 3, 3) of every bone relative to its parent, in the reference pose's
        axes.
        """
        self._trunk()
        for side in ('left', 'right'):
            self._leg(side)
            self._arm(side)
        return self._relative()

    def _relative(self) -> np.ndarray:
        out = self.G.copy()
        for i, p in enumerate(self.body.parents):
            if p >= 0:
                out[:, i] = np.swapaxes(self.G[:, p], -1, -2) @ self.G[:, i]
        return out

    def _follow(self, *bones: str) -> None:
        for bone in bones:
            self._place(bone, self._parent_rotation(bone))

    def _trunk(self) -> None:
        root = (
            rotation(_Z, self._p('root_twist'))
            @ rotation(_X, self._p('root_pitch'))
            @ rotation(_Y, self._p('root_roll'))
        )
        self._place('root', root)
        self._follow('pelvis.L', 'pelvis.R')
        self._bend(('spine05', 'spine04', 'spine03', 'spine02', 'spine01'), 'spine')
        self._bend(('neck01', 'neck02', 'neck03', 'head'), 'neck')
        self._follow('eye.L', 'eye.R')

    def _bend(self, bones: tuple[str, ...], part: str) -> None:
        n = len(bones)
        step = (
            rotation(_Z, self._p(f'{part}_twist') / n)
            @ rotation(_X, self._p(f'{part}_flex') / n)
            @ rotation(_Y, self._p(f'{part}_side') / n)
        )
        for bone in bones:
            self._place(bone, self._parent_rotation(bone) @ step)

    # ---------------------------------------------------------------- legs
    def _leg(self, side: str) -> None:
        tag, sign = ('L', 1.0) if side == 'left' else ('R', -1.0)
        thigh, shin, foot = f'upperleg01.{tag}', f'lowerleg01.{tag}', f'foot.{tag}'
        ref_thigh, ref_shin, ref_hinge = self._leg_reference(tag)
        first, second = np.linalg.norm(ref_thigh, axis=1), np.linalg.norm(ref_shin, axis=1)
        self._follow(f'pelvis.{tag}', thigh)
        hip = self.at[:, self.body.index[thigh]]
        fk = self._p(f'{side}_leg_fk') > 0.5

        # By angles, relative to the pelvis.
        swing = self._swing(side)
        fk_upper, fk_hinge = _apply(swing, _DOWN), _apply(swing, _LEFT)
        fk_lower = _apply(rotation(unit(fk_hinge), self._p(f'{side}_knee')), fk_upper)

        # Planted: the ball of the foot is put somewhere, the ankle follows from the foot, the knee
        # from both.
        yaw = sign * self._p(f'{side}_foot_yaw')
        ball, ball_offset = self._ball(side)
        ball[:, 2] += self._sink()
        pitch = self._p(f'{side}_foot_pitch').copy()
        knee_out = sign * self._p(f'{side}_knee_out')
        for _ in range(3):
            ik_foot = rotation(_Z, yaw) @ rotation(_X, pitch)
            vector = ball - _apply(ik_foot, ball_offset) - hip
            u = unit(vector)
            lateral_axis = np.broadcast_to(_apply(rotation(_Z, yaw * 0.5), _LEFT), u.shape)
            hinge = unit(lateral_axis - (lateral_axis * u).sum(-1, keepdims=True) * u)
            hinge = _apply(rotation(u, -knee_out), hinge)
            ik_upper, ik_lower = _two_bones(vector, first, second, np.cross(u, hinge))
            # A shin that leans further over the foot than an ankle allows lifts the heel.
            lean = np.rad2deg(
                np.arctan2(
                    -(ik_lower * _apply(rotation(_Z, yaw), _FORWARD)).sum(1), -ik_lower[:, 2]
                )
            )
            excess = lean - pitch - MAX_DORSIFLEXION
            if (excess <= 0.1).all():
                break
            pitch = pitch + np.maximum(excess, 0)

        upper = np.where(fk[:, None], fk_upper, ik_upper)
        lower = np.where(fk[:, None], fk_lower, ik_lower)
        hinge = np.where(fk[:, None], fk_hinge, hinge)
        self.G[:, self.body.index[thigh]] = _frame(upper, hinge) @ np.swapaxes(
            _frame(ref_thigh, ref_hinge), 1, 2
        )
        self._follow(f'upperleg02.{tag}')
        self._place(shin, _frame(lower, hinge) @ np.swapaxes(_frame(ref_shin, ref_hinge), 1, 2))
        self._follow(f'lowerleg02.{tag}')
        fk_foot = self.G[:, self.body.index[shin]] @ rotation(_X, -self._p(f'{side}_ankle'))
        self._place(foot, np.where(fk[:, None, None], fk_foot, ik_foot))
        # Toes stay on the ground when the heel is up.
        toe_bend = np.where(fk, 0, -np.clip(pitch, 0, 55))
        toes = self.G[:, self.body.index[foot]] @ rotation(_X, toe_bend)
        for bone in self.body.bones:
            if bone.startswith('toe') and bone.endswith(tag):
                self._place(bone, toes)

    def _leg_reference(self, tag: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Thigh, shin and the knee's axis in the reference pose, each (B, 3).

        The axis is level across the line from hip to ankle, and the bones are taken in the plane
        that it is normal to. What they stick out of that plane is opposite and equal: hip and ankle
        stay where they are.
        """
        hip, knee, ankle = (
            self._ref(f'{bone}.{tag}') for bone in ('upperleg01', 'lowerleg01', 'foot')
        )
        line = unit(ankle - hip)
        hinge = unit(_LEFT - line[:, :1] * line)
        bones = (
            bone - (bone * hinge).sum(1, keepdims=True) * hinge
            for bone in (knee - hip, ankle - knee)
        )
        return *bones, hinge

    def _swing(self, side: str) -> np.ndarray:
        """Orientation (B, 3, 3) of a free leg's thigh."""
        sign = 1.0 if side == 'left' else -1.0
        return (
            self.G[:, self.body.index['root']]
            @ rotation(_X, -self._p(f'{side}_hip_flex'))
            @ rotation(_Y, -sign * self._p(f'{side}_hip_abd'))
            @ rotation(_Z, sign * self._p(f'{side}_hip_rot'))
        )

    def _ball(self, side: str) -> tuple[np.ndarray, np.ndarray]:
        """Where the ball of the foot is wanted (B, 3), and its offset from the ankle in the
        reference pose (B, 3).
        """
        tag, sign = ('L', 1.0) if side == 'left' else ('R', -1.0)
        hip, knee, ankle = (
            self._ref(f'{bone}.{tag}') for bone in ('upperleg01', 'lowerleg01', 'foot')
        )
        ref_ball = self._ref(f'toe2-1.{tag}')
        length = np.linalg.norm(knee - hip, axis=1) + np.linalg.norm(ankle - knee, axis=1)
        # A straight leg of reference feet is 1; the reference pose's own legs are a little apart.
        ground = hip[:, 2] - self._p('hip_height') * (length + ankle[:, 2] - self.shapes.sole)
        # Beside a knee that kneels, the ground is where that knee is.
        other = 'right' if side == 'left' else 'left'
        thigh = np.linalg.norm(knee - hip, axis=1)
        kneeling = (
            hip[:, 2]
            + thigh * _apply(self._swing(other), _DOWN)[:, 2]
            - _KNEE_RADIUS * self.size[:, 0]
        )
        ground = np.where(self._p(f'{other}_leg_fk') > 0.5, kneeling, ground)
        # The ball is the pivot of a lifted heel; toes that are up turn about the heel instead.
        toes_up = np.sin(np.deg2rad(np.maximum(-self._p(f'{side}_foot_pitch'), 0)))
        ground = ground + toes_up * (np.abs(ref_ball - ankle)[:, 1] + _HEEL * self.size[:, 0])
        ball = np.stack(
            [
                ref_ball[:, 0] * 0.6 + sign * self._p(f'{side}_foot_x') * length,
                ref_ball[:, 1] - self._p(f'{side}_foot_y') * length,
                ground + (ref_ball[:, 2] - self.shapes.sole) + self._p(f'{side}_foot_z') * length,
            ],
            axis=1,
        )
        return ball, ref_ball - ankle

    def _sink(self) -> np.ndarray:
        """How far (B,) the hips must come down for both planted feet to reach the ground, m."""
        needed = np.zeros(len(self.poses))
        for side, tag, sign in (('left', 'L', 1.0), ('right', 'R', -1.0)):
            ball, offset = self._ball(side)
            turn = rotation(_Z, sign * self._p(f'{side}_foot_yaw')) @ rotation(
                _X, self._p(f'{side}_foot_pitch')
            )
            hip_bone = self.body.index[f'upperleg01.{tag}']
            parent = self.body.parents[hip_bone]
            hip = self.at[:, parent] + _apply(
                self.G[:, parent], self.shapes.heads[:, hip_bone] - self.shapes.heads[:, parent]
            )
            vector = ball - _apply(turn, offset) - hip
            thigh, shin, _ = self._leg_reference(tag)
            reach = _MAX_REACH * (np.linalg.norm(thigh, axis=1) + np.linalg.norm(shin, axis=1))
            drop = np.sqrt(np.maximum(reach**2 - (vector[:, :2] ** 2).sum(1), (0.3 * reach) ** 2))
            planted = self._p(f'{side}_leg_fk') < 0.5
            needed = np.maximum(needed, np.where(planted, -vector[:, 2] - drop, 0))
        return needed

    # ---------------------------------------------------------------- arms
    def _arm(self, side: str) -> None:
        tag, sign = ('L', 1.0) if side == 'left' else ('R', -1.0)
        upper_bone, fore_bone, hand = f'upperarm01.{tag}', f'lowerarm01.{tag}', f'wrist.{tag}'
        ref_upper, ref_fore = (
            self._ref(fore_bone) - self._ref(upper_bone),
            self._ref(hand) - self._ref(fore_bone),
        )
        first, second = np.linalg.norm(ref_upper, axis=1), np.linalg.norm(ref_fore, axis=1)
        chest = self.G[:, self.body.index['spine01']]
        elevation, azimuth = self._p(f'{side}_arm_elev'), np.deg2rad(self._p(f'{side}_arm_azim'))
        # The collar bone gives a third of what the arm rises beyond 60 degrees.
        lift = self._p(f'{side}_clavicle') + np.clip(elevation - 60, 0, 120) * 0.25
        self._place(f'clavicle.{tag}', chest @ rotation(_Y, -sign * lift))
        self._follow(f'shoulder01.{tag}', upper_bone)
        shoulder = self.at[:, self.body.index[upper_bone]]

        polar = np.deg2rad(elevation)
        local = np.stack(
            [
                sign * np.sin(polar) * np.cos(azimuth),
                -np.sin(polar) * np.sin(azimuth),
                -np.cos(polar),
            ],
            axis=1,
        )
        axis = np.cross(_DOWN, local)
        axis = np.where(np.linalg.norm(axis, axis=1, keepdims=True) < 1e-6, _LEFT, unit(axis))
        bend = _apply(rotation(axis, elevation), _FORWARD)
        bend = _apply(rotation(local, sign * self._p(f'{side}_arm_twist')), bend)
        upper, pole = _apply(chest, local), _apply(chest, bend)
        flex = np.deg2rad(self._p(f'{side}_elbow'))[:, None]
        lower = np.cos(flex) * upper + np.sin(flex) * pole

        target, used = self._hand_target(side, sign)
        if used.any():
            vector = target - shoulder
            u = unit(vector)
            swivel = np.deg2rad(self._p(f'{side}_elbow_out'))[:, None]
            want = _apply(chest, np.cos(swivel) * _DOWN + np.sin(swivel) * sign * _LEFT + 0.25 * _Y)
            ik_pole = unit(want - (want * u).sum(-1, keepdims=True) * u)
            ik_upper, ik_lower = _two_bones(vector, first, second, ik_pole)
            upper, lower = (
                np.where(used[:, None], ik_upper, upper),
                np.where(used[:, None], ik_lower, lower),
            )
        hinge = np.cross(upper, lower)
        straight = np.linalg.norm(hinge, axis=1, keepdims=True) < 1e-3
        hinge = np.where(straight, np.cross(upper, pole), hinge)

        ref_hinge = np.cross(ref_upper, ref_fore)
        self.G[:, self.body.index[upper_bone]] = _frame(upper, hinge) @ np.swapaxes(
            _frame(ref_upper, ref_hinge), 1, 2
        )
        self._follow(f'upperarm02.{tag}')
        fore = _frame(lower, hinge) @ np.swapaxes(_frame(ref_fore, ref_hinge), 1, 2)
        self._place(fore_bone, fore)
        turn = rotation(unit(lower), -sign * self._p(f'{side}_pronation') * 0.5)
        self._place(f'lowerarm02.{tag}', turn @ fore)
        palm = turn @ turn @ fore
        wrist_hinge = self.body.orientations[self.body.index[f'finger3-1.{tag}']][:, 0]
        self._place(hand, palm @ rotation(wrist_hinge, self._p(f'{side}_wrist')))
        self._fingers(tag, self._p(f'{side}_curl'))

    def _hand_target(self, side: str, sign: float) -> tuple[np.ndarray, np.ndarray]:
        """Wrist position (B, 3) wanted in the body frame, and (B,) whether there is one."""
        kind = np.rint(self._p(f'{side}_hand_target')).astype(int)
        offset = np.stack(
            [
                sign * self._p(f'{side}_hand_x'),
                -self._p(f'{side}_hand_y'),
                self._p(f'{side}_hand_z'),
            ],
            axis=1,
        )
        target = np.zeros((len(self.poses), 3))
        for k, (_, bone, anchor) in enumerate(HAND_TARGETS, start=1):
            chosen = kind == k
            if chosen.any():
                i = self.body.index[bone.replace('*', 'L' if sign > 0 else 'R')]
                local = (np.asarray(anchor) * (sign, 1, 1) + offset) * self.size
                target = np.where(
                    chosen[:, None], self.at[:, i] + _apply(self.G[:, i], local), target
                )
        return target, kind > 0

    def _fingers(self, tag: str, curl: np.ndarray) -> None:
        for i, bone in enumerate(self.body.bones):
            if not (bone.endswith(tag) and bone.startswith(('finger', 'metacarpal'))):
                continue
            bend = np.eye(3)
            if bone.startswith('finger'):
                share = 0.35 if bone.startswith('finger1') else 1.0
                bend = rotation(self.body.orientations[i][:, 0], curl * share)
            self._place(bone, self._parent_rotation(bone) @ bend)
