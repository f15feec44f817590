# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""From what the renderer saw to the record of a scene: boxes, outlines, and which joints are
visible.

The rule of visibility. A joint lies inside the body, so some surface is always before it. It is
*visible* when the first surface at the pixel that it projects to is

* of its own body, of a part that the joint lies in (``joints.ALLOWED_PARTS``), and no further
before the joint than that part
  is thick there (``joints.DEPTHS``, for 1.7 m, scaled with stature), or
* not of a person, and behind the joint or at most 2 cm before it: the joint stands out over the
outline by less than a
  pixel, or rests on the ground or a seat.

Everything else hides it: another person, a seat, or another part of the own body, such as an arm
before the hip.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from .body import body_model
from .joints import ALLOWED_PARTS, DEPTHS
from .record import Person, Scene
from .render import Rendering, project_m

if TYPE_CHECKING:
    from .scene import Setting

# m: how far a joint may lie behind the surface of a thing that it touches.
TOUCH = 0.02


NEIGHBOURS = [(x, y) for y in (-1, 0, 1) for x in (-1, 0, 1) if x or y]


def joint_pixels(projected: np.ndarray, width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    """Nearest pixels (J, 2) int, clipped, and (J,) whether a projection (J, 3) falls into the
    picture.
    """
    px = projected[:, :2]
    good = np.isfinite(px).all(axis=1)
    inside = good & (px >= -0.5).all(axis=1) & (px[:, 0] < width - 0.5) & (px[:, 1] < height - 0.5)
    pixel = np.rint(np.where(good[:, None], px, 0)).astype(int)
    return np.clip(pixel, 0, [width - 1, height - 1]), inside


def visible_joints(
    index: int,
    projected: np.ndarray,
    stature: float,
    depth: np.ndarray,
    owner: np.ndarray,
    face: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Which joints of body ``index`` are in the picture (J,), and which are visible (J,), by the
    rule above.

    Args:
        projected: (J, 3) px, px, m. stature: m. depth, owner, face: the renderer's buffers.
    """
    height, width = depth.shape
    pixel, inside = joint_pixels(projected, width, height)
    limit = DEPTHS * stature / 1.7

    def own_surface(
        offset: tuple[int, int],
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Off the joints' pixels: owner, gap to the joint, is it an own part, and thin enough."""
        x, y = np.clip(pixel + np.array(offset), 0, [width - 1, height - 1]).T
        who = owner[y, x]
        gap = projected[:, 2] - depth[y, x]
        part = face_part[np.where(who == index, face[y, x], 0)]
        allowed = (who == index) & ALLOWED_PARTS[np.arange(len(projected)), part]
        return who, gap, allowed, allowed & (gap <= limit)

    face_part = body_model().face_part
    who, gap, _, by_own = own_surface((0, 0))
    around = [own_surface(offset) for offset in NEIGHBOURS]
    beside = np.any([allowed for _, _, allowed, _ in around], axis=0)
    thin_beside = np.any([thin for _, _, _, thin in around], axis=0)
    by_nothing = (who < 0) & (gap <= TOUCH) & (thin_beside | ~beside)
    return inside, inside & (by_own | by_nothing)


def _polygons(mask: np.ndarray, x0: int, y0: int) -> list[list[float]]:
    contours, _ = cv2.findContours(
        mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_TC89_L1
    )
    out = []
    for contour in contours:
        if len(contour) >= 3 and (cv2.contourArea(contour) >= 4 or len(contours) == 1):
            out.append((contour[:, 0] + np.array([x0, y0])).astype(float).reshape(-1).tolist())
    return out


def observe(setting: Setting, surfaces: np.ndarray, seen: Rendering) -> Scene:
    """The record of a rendered setting.

    Args:
        setting: who stands where. surfaces: (B, V, 3) m in the world. seen: with ``alone`` filled
            in.
    """
    request, view = setting.request, setting.view
    scene = Scene(
        request.scene_id, request.source, request.split, request.file_name, request.width, request.height,
        view.camera,
        view.height, view.pitch, view.roll, request.sequence, request.frame,
    )  # fmt: skip
    joints = setting.joints
    for i in range(len(surfaces)):
        projected = project_m(view.camera, joints[i])
        stature = float(setting.bodies.height[i])
        inside, visible = visible_joints(i, projected, stature, seen.depth, seen.owner, seen.face)
        if not inside.any():
            continue
        low, high = seen.extent[i, :2], seen.extent[i, 2:]
        if np.isnan(
            low
        ).any():  # the camera stands in the body's reach: what it sees of it is all there is
            low, high = np.zeros(2), np.array([request.width, request.height], dtype=np.float64)
        x0, y0, alone = seen.alone[i]
        mask = seen.owner[y0 : y0 + alone.shape[0], x0 : x0 + alone.shape[1]] == i
        area = int(mask.sum())
        bbox, polygons = np.zeros(4), []
        if area:
            ys, xs = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
            bbox = np.array(
                [x0 + xs[0], y0 + ys[0], xs[-1] - xs[0] + 1, ys[-1] - ys[0] + 1], dtype=np.float64
            )
            polygons = _polygons(mask, x0, y0)
        identity, pose = setting.bodies.identities[i], setting.bodies.poses[i]
        scene.persons.append(
            Person(
                person_id=i, action=pose.action, posture=pose.posture, age=round(identity.age, 2),
                height=round(stature * 1000, 1), joints_world=joints[i] * 1000, joints_px=projected[:, :2],
                in_picture=inside, visible=visible, bbox=bbox, full_bbox=np.concatenate([low, high - low]),
                area=area,
                visible_share=round(area / max(1, int(alone.sum())), 4), polygons=polygons,
                lowest_mm=float(surfaces[i][body_model().on_surface, 2].min() * 1000),
            )
        )  # fmt: skip
    return scene
