# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""All persons of a frame in one 3D scene, from the camera's side and from above, with OpenCV alone.

A video of an hour has a hundred thousand frames, so a frame must cost milliseconds. Projections are
parallel: equal lengths are equal on the picture, and depth between persons can be read off. P
persons, K joints; x right, y down, z forward, mm.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np

from wsp_mm.visualization.overlay import FONT, SHIFT, draw_text, fixed, person_color, side_color
from wsp_mm.visualization.placement import Scene, Skeleton, place_persons, read_skeleton

BACKGROUND, GRID, INK = (255, 255, 255), (222, 222, 222), (70, 70, 70)
HEADER = 24  # px, the line that says what the coordinates are
MARGIN = 34  # px, for the axes' numbers
SNAP_MM = 500.0  # the scene's box grows in these steps, so that a video's scene does not tremble
RAISED = 22.0  # degrees, how far the first view looks down


@dataclass(frozen=True)
class View:
    """A parallel projection of a box of space into a rectangle of the picture.

    Attributes:
        low, high: (3,) corners of the box, mm. rect: x, y, w, h px.
        elevation: degrees that the view looks down: 0 along z, 90 from above (z up, the camera at
            the bottom).
    """

    low: np.ndarray
    high: np.ndarray
    rect: tuple[int, int, int, int]
    elevation: float

    def flat(self, points: np.ndarray) -> np.ndarray:
        """(..., 3) mm to (..., 2) mm in the view's plane, right and down."""
        angle = np.deg2rad(self.elevation)
        down = points[..., 1] * np.cos(angle) - points[..., 2] * np.sin(angle)
        return np.stack([points[..., 0], down], axis=-1)

    def distance(self, points: np.ndarray) -> np.ndarray:
        """(..., 3) mm to how far behind each other they are, mm: what is larger is covered."""
        angle = np.deg2rad(self.elevation)
        return points[..., 1] * np.sin(angle) + points[..., 2] * np.cos(angle)

    @property
    def scale(self) -> float:
        """px a mm."""
        extent = np.ptp(self._corners(), axis=0)
        return float(min(self.rect[2] / max(extent[0], 1.0), self.rect[3] / max(extent[1], 1.0)))

    def project(self, points: np.ndarray) -> np.ndarray:
        """(..., 3) mm to (..., 2) px."""
        corners = self._corners()
        middle = np.array([self.rect[0] + self.rect[2] / 2, self.rect[1] + self.rect[3] / 2])
        return (
            self.flat(np.asarray(points)) - (corners.min(0) + corners.max(0)) / 2
        ) * self.scale + middle

    def _corners(self) -> np.ndarray:
        ends = np.stack([self.low, self.high])
        return self.flat(
            np.array([ends[[i, j, k], [0, 1, 2]] for i in (0, 1) for j in (0, 1) for k in (0, 1)])
        )


def scene_views(scene: Scene, size: tuple[int, int]) -> tuple[View, View]:
    """The view from the camera's side (raised) and the one from above, side by side in a picture of
    that size.

    From above the camera itself is in the box wherever there is one, so that the distance to it can
    be seen.
    """
    points = scene.poses[np.isfinite(scene.poses).all(axis=-1)].reshape(-1, 3)
    if not len(points):
        points = np.array([[-1000.0, -1000, 0], [1000, 1000, 2000]])
    low = np.floor(points.min(axis=0) / SNAP_MM) * SNAP_MM
    high = np.ceil(points.max(axis=0) / SNAP_MM) * SNAP_MM
    high = np.maximum(high, low + SNAP_MM)
    half, top = size[0] // 2, HEADER + 30
    rect = (MARGIN, top, half - 2 * MARGIN, size[1] - top - MARGIN)
    side = View(low, high, rect, RAISED)
    if scene.in_camera:
        low, high = np.minimum(low, [low[0], low[1], 0]), np.maximum(high, [high[0], high[1], 0])
        low[0], high[0] = min(low[0], 0), max(high[0], 0)
    return side, View(low, high, (half + MARGIN, *rect[1:]), 90.0)


def draw_scene(record: Mapping, info: Mapping, size: tuple[int, int] = (960, 480)) -> np.ndarray:
    """One frame's persons in one space, seen from the camera's side (left half) and from above
    (right half).

    With a camera both are camera space in mm with true distances, and the camera stands at the
    bottom of the right half. Without one, persons stand side by side, each relative to the own
    root, and the picture says so.

    Args:
        record: one frame. info: of the document. size: width, height px, at least 320 x 160.

    Returns:
        (height, width, 3) uint8 BGR.

    Raises:
        ValueError: too small a size; a record that does not fit ``info``.
    """
    if size[0] < 320 or size[1] < 160:
        raise ValueError(f'a scene needs at least 320 x 160 px, got {size[0]} x {size[1]}')
    skeleton = read_skeleton(info)
    scene = place_persons(record, skeleton)
    picture = np.full((size[1], size[0], 3), 255, np.uint8)
    side, above = scene_views(scene, size)
    for view, name in ((side, 'from the camera, raised'), (above, 'from above')):
        _draw_grid(picture, view, numbered=scene.in_camera)
        if view is above and scene.in_camera:
            _draw_camera(picture, view, record)
        _draw_people(picture, view, scene, skeleton)
        corner = (view.rect[0], HEADER + 14)
        cv2.putText(picture, name, corner, FONT, 0.4, INK, 1, cv2.LINE_AA)
    cv2.line(picture, (size[0] // 2, HEADER), (size[0] // 2, size[1]), INK, 1)
    picture[:HEADER] = (60, 60, 60) if scene.in_camera else (40, 40, 150)
    scale = min(0.45, 0.45 * (size[0] - 12) / cv2.getTextSize(scene.note, FONT, 0.45, 1)[0][0])
    note = scene.note.encode('ascii', 'replace').decode()
    cv2.putText(picture, note, (6, 16), FONT, scale, (255, 255, 255), 1, cv2.LINE_AA)
    return picture


def grid_step(span: float) -> float:
    """A round distance between grid lines, mm: about six over the span."""
    power = 10 ** np.floor(np.log10(span / 6))
    return float(next(power * factor for factor in (1, 2, 5, 10) if power * factor >= span / 6))


def _draw_grid(picture: np.ndarray, view: View, numbered: bool) -> None:
    """Lines on the floor, which is the height of the lowest joint, with their mm."""
    low, high = view.low, view.high
    step = grid_step(max(high[0] - low[0], high[2] - low[2]))
    for axis, other in ((0, 2), (2, 0)):
        first = np.ceil(low[axis] / step) * step
        for value in np.arange(first, high[axis] + 1e-6 * step, step):
            ends = np.tile([0.0, high[1], 0.0], (2, 1))
            ends[:, axis], ends[:, other] = value, (low[other], high[other])
            start, stop = fixed(view.project(ends)).tolist()
            cv2.line(picture, start, stop, GRID, 1, cv2.LINE_AA, shift=SHIFT)
            if numbered:
                x, y = view.project(ends)[0]
                place = (
                    (round(x) - 14, round(y) + 12)
                    if axis == 0
                    else (round(x) - MARGIN + 2, round(y) + 4)
                )
                cv2.putText(picture, f'{value + 0.0:.0f}', place, FONT, 0.32, INK, 1, cv2.LINE_AA)
    names = ('x, mm', 'z, mm') if numbered else ('x', 'z')
    corner = np.array([high[0], high[1], low[2]])
    x, y = view.project(corner)
    cv2.putText(picture, names[0], (round(x) - 30, round(y) + 26), FONT, 0.35, INK, 1, cv2.LINE_AA)
    x, y = view.project(np.array([low[0], high[1], high[2]]))
    cv2.putText(
        picture,
        names[1],
        (round(x) - MARGIN + 2, max(round(y) - 8, HEADER + 28)),
        FONT,
        0.35,
        INK,
        1,
        cv2.LINE_AA,
    )


def _draw_camera(picture: np.ndarray, view: View, record: Mapping) -> None:
    """The camera at the origin, and the edges of what it sees where its intrinsics are known."""
    camera, width = record.get('camera') or {}, record.get('width')
    origin = view.project(np.zeros(3))
    if camera.get('f') and camera.get('c') and width:
        for column in (0, width):
            slope = (column - camera['c'][0]) / camera['f'][0]
            far = view.project(np.array([slope, 0, 1]) * view.high[2])
            x, y, w, h = view.rect
            start, stop = np.round(origin).astype(int) - (x, y), np.round(far).astype(int) - (x, y)
            inside, start, stop = cv2.clipLine((0, 0, w + 1, h + 1), start.tolist(), stop.tolist())
            if inside:
                ends = [(point[0] + x, point[1] + y) for point in (start, stop)]
                cv2.line(picture, *ends, (200, 170, 120), 1, cv2.LINE_AA)
    corners = origin + np.array([[0, 0], [-8, 12], [8, 12]]) - (0, 6)
    cv2.fillPoly(picture, [np.round(corners).astype(int)], INK, cv2.LINE_AA)
    place = (round(origin[0]) + 10, round(origin[1]) + 8)
    cv2.putText(picture, 'camera', place, FONT, 0.35, INK, 1, cv2.LINE_AA)


def _draw_people(picture: np.ndarray, view: View, scene: Scene, skeleton: Skeleton) -> None:
    """Links from the farthest to the nearest, then joints in the colour of the body's side, then
    numbers.
    """
    known = np.isfinite(scene.poses).all(axis=-1)
    poses = np.nan_to_num(scene.poses)
    points = fixed(view.project(poses)) if len(poses) else np.zeros((0, len(skeleton), 2), int)
    links = [
        (p, a, b)
        for p in range(len(poses))
        for a, b in skeleton.links
        if known[p, a] and known[p, b]
    ]
    depth = view.distance(poses)
    for p, a, b in sorted(
        links, key=lambda link: -(depth[link[0], link[1]] + depth[link[0], link[2]])
    ):
        ends = points[p, a].tolist(), points[p, b].tolist()
        cv2.line(picture, *ends, person_color(scene.ids[p]), 2, cv2.LINE_AA, shift=SHIFT)
    for p, k in zip(*np.nonzero(known), strict=True):
        color = side_color(skeleton.sides[k])
        cv2.circle(picture, points[p, k].tolist(), 2 << SHIFT, color, -1, cv2.LINE_AA, shift=SHIFT)
    for p, identity in enumerate(scene.ids):
        top = view.project(poses[p, known[p]])
        if len(top):
            corner = top[top[:, 1].argmin()] + (4, -4)
            draw_text(picture, f'#{identity}', corner.tolist(), person_color(identity), 0.36)
