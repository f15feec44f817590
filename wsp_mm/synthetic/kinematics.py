# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""From a pose's numbers to the rotation of every bone.

Spine and free limbs are set by angles; planted feet and hands that touch something by two-bone
inverse kinematics. B bodies, N bones. Frames and units as in :mod:`wsp_mm.synthetic.body`; the
orientation of a bone is its rotation from the reference pose to the posed body, in the body frame.
"""

from typing import NamedTuple

import numpy as np

from .body import BodyModel, Shapes
from .motion import COLUMN, HAND_TARGETS, SIDES

_DOWN, _FORWARD, _LEFT = np.array([0, 0, -1.0]), np.array([0, -1.0, 0]), np.array([1.0, 0, 0])
_X, _Y, _Z = np.eye(3)
MAX_DORSIFLEXION = 35.0  # degrees
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
    """Vectors (..., 3) of length 1."""
    return v / np.maximum(np.linalg.norm(v, axis=-1, keepdims=True), 1e-12)


def _apply(m: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.einsum('...ij,...j->...i', m, v)


def _across(v: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """The part of vectors that is orthogonal to a unit direction."""
    return v - (v * direction).sum(-1, keepdims=True) * direction


def _frame(direction: np.ndarray, hinge: np.ndarray) -> np.ndarray:
    """Rotation with columns (hinge, direction, hinge x direction); the hinge is made orthogonal."""
    direction = unit(direction)
    hinge = unit(_across(hinge, direction))
    return np.stack([hinge, direction, np.cross(hinge, direction)], axis=-1)


def _align(direction, hinge, ref_direction, ref_hinge) -> np.ndarray:
    """Rotation that takes a bone and its hinge from the reference pose to where they should be."""
    return _frame(direction, hinge) @ np.swapaxes(_frame(ref_direction, ref_hinge), -1, -2)


def _two_bones(
    vector: np.ndarray, first: np.ndarray, second: np.ndarray, pole: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Directions (B, 3) of two bones that span ``vector`` and bend towards ``pole``.

    Targets out of reach are approached, too near ones kept off.

    Args:
        vector: (B, 3). first, second: (B,) lengths. pole: (B, 3) unit, orthogonal to ``vector``.
    """
    # The nearest target leaves 150 degrees of bend.
    nearest = np.sqrt(first**2 + second**2 + 2 * first * second * np.cos(np.deg2rad(150)))
    distance = np.linalg.norm(vector, axis=-1)
    distance = np.clip(distance, nearest, _MAX_REACH * (first + second))
    cosine = (first**2 + distance**2 - second**2) / (2 * first * distance)
    angle = np.arccos(np.clip(cosine, -1, 1))[:, None]
    u = unit(vector)
    upper = np.cos(angle) * u + np.sin(angle) * pole
    return upper, unit(distance[:, None] * u - first[:, None] * upper)


class _Leg(NamedTuple):
    """A leg in the reference pose.

    Attributes:
        hip, knee, ankle, ball: (B, 3) m. thigh, shin: (B, 3) bones in the plane that the knee
            bends in. hinge: (B, 3) axis of the knee. length: (B,) m.
    """

    hip: np.ndarray
    knee: np.ndarray
    ankle: np.ndarray
    ball: np.ndarray
    thigh: np.ndarray
    shin: np.ndarray
    hinge: np.ndarray
    length: np.ndarray


class PoseSolver:
    """Solves B poses (B, len(DOFS)) for B shapes: :meth:`solve` returns what ``BodyModel.skin``
    takes.
    """

    def __init__(self, body: BodyModel, shapes: Shapes, poses: np.ndarray) -> None:
        self.body, self.shapes, self.poses = body, shapes, np.asarray(poses, dtype=np.float64)
        self.turn = np.tile(np.eye(3), (len(shapes), len(body.bones), 1, 1))
        self.at = shapes.heads.copy()
        self.size = (shapes.height / 1.7)[:, None]
        self.legs = {side: self._reference_leg(tag) for side, tag in zip(SIDES, 'LR', strict=True)}

    def _p(self, name: str) -> np.ndarray:
        return self.poses[:, COLUMN[name]]

    def _ref(self, bone: str) -> np.ndarray:
        return self.shapes.heads[:, self.body.index[bone]]

    def _reference_leg(self, tag: str) -> _Leg:
        """The knee's axis is level and across the line from hip to ankle; bones are taken in the
        plane that it is normal to. What they stick out of that plane is opposite and equal, so that
        hip and ankle stay where they are.
        """
        bones = ('upperleg01', 'lowerleg01', 'foot', 'toe2-1')
        hip, knee, ankle, ball = (self._ref(f'{bone}.{tag}') for bone in bones)
        hinge = unit(_across(_LEFT, unit(ankle - hip)))
        length = np.linalg.norm(knee - hip, axis=1) + np.linalg.norm(ankle - knee, axis=1)
        thigh, shin = _across(knee - hip, hinge), _across(ankle - knee, hinge)
        return _Leg(hip, knee, ankle, ball, thigh, shin, hinge, length)

    def _place(self, bone: str, turn: np.ndarray) -> None:
        """Set a bone's orientation (B, 3, 3); its head follows its parent."""
        i = self.body.index[bone]
        p = self.body.parents[i]
        if p >= 0:
            offset = self.shapes.heads[:, i] - self.shapes.heads[:, p]
            self.at[:, i] = self.at[:, p] + _apply(self.turn[:, p], offset)
        self.turn[:, i] = turn

    def _turn(self, bone: str) -> np.ndarray:
        return self.turn[:, self.body.index[bone]]

    def _parent_turn(self, bone: str) -> np.ndarray:
        return self.turn[:, self.body.parents[self.body.index[bone]]]

    def _follow(self, *bones: str) -> None:
        for bone in bones:
            self._place(bone, self._parent_turn(bone))

    def solve(self) -> np.ndarray:
        """Rotations (B, N, 3, 3) of every bone relative to its parent, in the reference pose's
        axes.
        """
        self._place('root', self._bend('root_twist', 'root_pitch', 'root_roll'))
        self._follow('pelvis.L', 'pelvis.R')
        for part, bones in (
            ('spine', ('spine05', 'spine04', 'spine03', 'spine02', 'spine01')),
            ('neck', ('neck01', 'neck02', 'neck03', 'head')),
        ):
            names = (f'{part}_twist', f'{part}_flex', f'{part}_side')
            step = self._bend(*names, share=1 / len(bones))
            for bone in bones:
                self._place(bone, self._parent_turn(bone) @ step)
        self._follow('eye.L', 'eye.R')
        for side, tag, sign in zip(SIDES, 'LR', (1.0, -1.0), strict=True):
            self._leg(side, tag, sign)
            self._arm(side, tag, sign)
        relative = self.turn.copy()
        child = np.flatnonzero(self.body.parents >= 0)
        parent = self.turn[:, self.body.parents[child]]
        relative[:, child] = np.swapaxes(parent, -1, -2) @ self.turn[:, child]
        return relative

    def _bend(self, twist: str, flex: str, side: str, share: float = 1.0) -> np.ndarray:
        axes = ((_Z, twist), (_X, flex), (_Y, side))
        z, x, y = (rotation(axis, self._p(name) * share) for axis, name in axes)
        return z @ x @ y

    # ---------------------------------------------------------------- legs
    def _leg(self, side: str, tag: str, sign: float) -> None:
        thigh, shin, foot = f'upperleg01.{tag}', f'lowerleg01.{tag}', f'foot.{tag}'
        leg = self.legs[side]
        first, second = np.linalg.norm(leg.thigh, axis=1), np.linalg.norm(leg.shin, axis=1)
        self._follow(f'pelvis.{tag}', thigh)
        hip = self.at[:, self.body.index[thigh]]
        fk = (self._p(f'{side}_leg_fk') > 0.5)[:, None]

        # By angles, relative to the pelvis.
        swing = self._swing(side, sign)
        fk_upper, fk_hinge = _apply(swing, _DOWN), _apply(swing, _LEFT)
        fk_lower = _apply(rotation(unit(fk_hinge), self._p(f'{side}_knee')), fk_upper)

        # Planted: the ball of the foot has a target, the ankle follows from the foot, the knee from
        # both.
        yaw = sign * self._p(f'{side}_foot_yaw')
        ball = self._ball_target(side, sign)
        ball[:, 2] += self._sink()
        pitch = self._p(f'{side}_foot_pitch')
        knee_out = sign * self._p(f'{side}_knee_out')
        for _ in range(3):
            ik_foot = rotation(_Z, yaw) @ rotation(_X, pitch)
            vector = ball - _apply(ik_foot, leg.ball - leg.ankle) - hip
            u = unit(vector)
            hinge = unit(_across(_apply(rotation(_Z, yaw * 0.5), _LEFT), u))
            hinge = _apply(rotation(u, -knee_out), hinge)
            ik_upper, ik_lower = _two_bones(vector, first, second, np.cross(u, hinge))
            # A shin that leans further over the foot than an ankle allows lifts the heel.
            forward = (ik_lower * _apply(rotation(_Z, yaw), _FORWARD)).sum(1)
            excess = np.rad2deg(np.arctan2(-forward, -ik_lower[:, 2])) - pitch - MAX_DORSIFLEXION
            if (excess <= 0.1).all():
                break
            pitch = pitch + np.maximum(excess, 0)

        upper, lower = np.where(fk, fk_upper, ik_upper), np.where(fk, fk_lower, ik_lower)
        hinge = np.where(fk, fk_hinge, hinge)
        self.turn[:, self.body.index[thigh]] = _align(upper, hinge, leg.thigh, leg.hinge)
        self._follow(f'upperleg02.{tag}')
        self._place(shin, _align(lower, hinge, leg.shin, leg.hinge))
        self._follow(f'lowerleg02.{tag}')
        fk_foot = self._turn(shin) @ rotation(_X, -self._p(f'{side}_ankle'))
        self._place(foot, np.where(fk[..., None], fk_foot, ik_foot))
        # Toes stay on the ground when the heel is up.
        toes = self._turn(foot) @ rotation(_X, np.where(fk[:, 0], 0, -np.clip(pitch, 0, 55)))
        for bone in self.body.bones:
            if bone.startswith('toe') and bone.endswith(tag):
                self._place(bone, toes)

    def _swing(self, side: str, sign: float) -> np.ndarray:
        """Orientation (B, 3, 3) of a free leg's thigh."""
        return (
            self._turn('root')
            @ rotation(_X, -self._p(f'{side}_hip_flex'))
            @ rotation(_Y, -sign * self._p(f'{side}_hip_abd'))
            @ rotation(_Z, sign * self._p(f'{side}_hip_rot'))
        )

    def _ball_target(self, side: str, sign: float) -> np.ndarray:
        """Where the ball of the foot should be, (B, 3)."""
        leg, sole = self.legs[side], self.shapes.sole
        # A straight leg of reference feet is 1; the reference pose's own legs are a little apart.
        hip_height = self._p('hip_height') * (leg.length + leg.ankle[:, 2] - sole)
        # Beside a knee that kneels, the ground is where that knee is.
        other = 'right' if side == 'left' else 'left'
        thigh = np.linalg.norm(leg.knee - leg.hip, axis=1)
        knee_height = thigh * _apply(self._swing(other, -sign), _DOWN)[:, 2]
        kneeling = knee_height - _KNEE_RADIUS * self.size[:, 0]
        ground = leg.hip[:, 2] + np.where(self._p(f'{other}_leg_fk') > 0.5, kneeling, -hip_height)
        # The ball is the pivot of a lifted heel; toes that are up turn about the heel instead.
        toes_up = np.sin(np.deg2rad(np.maximum(-self._p(f'{side}_foot_pitch'), 0)))
        ground += toes_up * (np.abs(leg.ball - leg.ankle)[:, 1] + _HEEL * self.size[:, 0])
        x, y, z = (self._p(f'{side}_foot_{axis}') * leg.length for axis in 'xyz')
        across, up = leg.ball[:, 0] * 0.6 + sign * x, ground + leg.ball[:, 2] - sole + z
        return np.stack([across, leg.ball[:, 1] - y, up], axis=1)

    def _sink(self) -> np.ndarray:
        """How far (B,) the hips must come down for both planted feet to reach the ground, m."""
        needed = np.zeros(len(self.poses))
        for side, tag, sign in zip(SIDES, 'LR', (1.0, -1.0), strict=True):
            leg = self.legs[side]
            yaw, pitch = sign * self._p(f'{side}_foot_yaw'), self._p(f'{side}_foot_pitch')
            turn = rotation(_Z, yaw) @ rotation(_X, pitch)
            parent = self.body.parents[self.body.index[f'upperleg01.{tag}']]
            offset = leg.hip - self.shapes.heads[:, parent]
            hip = self.at[:, parent] + _apply(self.turn[:, parent], offset)
            vector = self._ball_target(side, sign) - _apply(turn, leg.ball - leg.ankle) - hip
            reach = np.linalg.norm(leg.thigh, axis=1) + np.linalg.norm(leg.shin, axis=1)
            reach = _MAX_REACH * reach
            drop = np.sqrt(np.maximum(reach**2 - (vector[:, :2] ** 2).sum(1), (0.3 * reach) ** 2))
            planted = self._p(f'{side}_leg_fk') < 0.5
            needed = np.maximum(needed, np.where(planted, -vector[:, 2] - drop, 0))
        return needed

    # ---------------------------------------------------------------- arms
    def _arm(self, side: str, tag: str, sign: float) -> None:
        upper_bone, fore_bone, hand = f'upperarm01.{tag}', f'lowerarm01.{tag}', f'wrist.{tag}'
        ref_upper = self._ref(fore_bone) - self._ref(upper_bone)
        ref_fore = self._ref(hand) - self._ref(fore_bone)
        chest = self._turn('spine01')
        elevation, azimuth = self._p(f'{side}_arm_elev'), np.deg2rad(self._p(f'{side}_arm_azim'))
        # The collar bone gives a quarter of what the arm rises beyond 60 degrees.
        lift = self._p(f'{side}_clavicle') + np.clip(elevation - 60, 0, 120) * 0.25
        self._place(f'clavicle.{tag}', chest @ rotation(_Y, -sign * lift))
        self._follow(f'shoulder01.{tag}', upper_bone)

        polar = np.deg2rad(elevation)
        out, ahead = np.sin(polar) * np.cos(azimuth), np.sin(polar) * np.sin(azimuth)
        local = np.stack([sign * out, -ahead, -np.cos(polar)], axis=1)
        axis = np.cross(_DOWN, local)
        axis = np.where(np.linalg.norm(axis, axis=1, keepdims=True) < 1e-6, _LEFT, unit(axis))
        bend = _apply(rotation(axis, elevation), _FORWARD)
        bend = _apply(rotation(local, sign * self._p(f'{side}_arm_twist')), bend)
        upper, pole = _apply(chest, local), _apply(chest, bend)
        flex = np.deg2rad(self._p(f'{side}_elbow'))[:, None]
        lower = np.cos(flex) * upper + np.sin(flex) * pole

        target, used = self._hand_target(side, tag, sign)
        if used.any():
            vector = target - self.at[:, self.body.index[upper_bone]]
            swivel = np.deg2rad(self._p(f'{side}_elbow_out'))[:, None]
            want = np.cos(swivel) * _DOWN + np.sin(swivel) * sign * _LEFT + 0.25 * _Y
            ik_pole = unit(_across(_apply(chest, want), unit(vector)))
            lengths = (np.linalg.norm(bone, axis=1) for bone in (ref_upper, ref_fore))
            ik_upper, ik_lower = _two_bones(vector, *lengths, ik_pole)
            upper = np.where(used[:, None], ik_upper, upper)
            lower = np.where(used[:, None], ik_lower, lower)
        hinge = np.cross(upper, lower)
        straight = np.linalg.norm(hinge, axis=1, keepdims=True) < 1e-3
        hinge = np.where(straight, np.cross(upper, pole), hinge)

        ref_hinge = np.cross(ref_upper, ref_fore)
        self.turn[:, self.body.index[upper_bone]] = _align(upper, hinge, ref_upper, ref_hinge)
        self._follow(f'upperarm02.{tag}')
        fore = _align(lower, hinge, ref_fore, ref_hinge)
        self._place(fore_bone, fore)
        half = rotation(unit(lower), -sign * self._p(f'{side}_pronation') * 0.5)
        self._place(f'lowerarm02.{tag}', half @ fore)
        wrist_axis = self._finger_axis(f'finger3-1.{tag}')
        self._place(hand, half @ half @ fore @ rotation(wrist_axis, self._p(f'{side}_wrist')))
        curl = self._p(f'{side}_curl')
        for bone in self.body.bones:
            if bone.endswith(tag) and bone.startswith('metacarpal'):
                self._follow(bone)
            elif bone.endswith(tag) and bone.startswith('finger'):
                share = 0.35 if bone.startswith('finger1') else 1.0
                bend = rotation(self._finger_axis(bone), curl * share)
                self._place(bone, self._parent_turn(bone) @ bend)

    def _finger_axis(self, bone: str) -> np.ndarray:
        return self.body.orientations[self.body.index[bone]][:, 0]

    def _hand_target(self, side: str, tag: str, sign: float) -> tuple[np.ndarray, np.ndarray]:
        """Wrist position (B, 3) wanted in the body frame, and (B,) whether there is one."""
        kind = np.rint(self._p(f'{side}_hand_target')).astype(int)
        x, y, z = (self._p(f'{side}_hand_{axis}') for axis in 'xyz')
        offset = np.stack([sign * x, -y, z], axis=1)
        target = np.zeros((len(self.poses), 3))
        for k, (_, bone, anchor) in enumerate(HAND_TARGETS, start=1):
            i, chosen = self.body.index[bone.replace('*', tag)], kind == k
            local = (np.asarray(anchor) * (sign, 1, 1) + offset[chosen]) * self.size[chosen]
            target[chosen] = self.at[chosen, i] + _apply(self.turn[chosen, i], local)
        return target, kind > 0
