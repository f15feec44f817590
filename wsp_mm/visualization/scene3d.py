# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Draw poses in space with OpenCV alone, and all persons of a frame in one scene.

A video of an hour has a hundred thousand frames, so a frame must cost milliseconds. Projections are
parallel: equal lengths are equal in the image, and depth between persons can be read off. P
persons, K joints; camera frame: x right, y down, z forward, mm.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from wsp_mm.structures.camera import image_center
from wsp_mm.visualization.draw import (
    SIDE_COLORS,
    Color,
    DrawnPerson,
    Skeleton,
    draw_joint,
    draw_label,
    draw_line,
    read_persons,
    skeleton_of,
    write,
)

#: Without a camera nobody knows how many mm a pixel is. The crop's side then stands for this many,
#: which is what the k-value's prior (RootNet, Moon et al., ICCV 2019) takes a person's box for.
CROP_MM = 2000.0
#: The field of view that then places persons, degrees across the longer side of the image.
GUESSED_FOV = 60.0
GRID, INK = (222, 222, 222), (70, 70, 70)
HEADER = 24  # px, the line that says what the coordinates are
SNAP_MM = 500.0  # a scene's box grows in these steps, so that a video's scene does not tremble
RAISED = 22.0  # degrees, how far the first view looks down


# ------------------------------------------------------------------ where persons stand


@dataclass(frozen=True)
class PlacedPersons:
    """The persons of a frame in one space.

    Attributes:
        poses: (P, K, 3) mm, nan where a joint is not known. persons: P, the nearest first.
        in_camera: in the camera's frame, so that distances between persons are true; else only
            each pose is known, and where persons stand is a guess.
        note: one sentence that says what the coordinates are.
    """

    poses: np.ndarray
    persons: tuple[DrawnPerson, ...]
    in_camera: bool
    note: str

    def box(self, camera: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Return the corners (3,) mm, low and high, of the space that persons take up.

        Args:
            camera: with the camera, wherever there is one.
        """
        points = self.poses[np.isfinite(self.poses).all(axis=-1)].reshape(-1, 3)
        if not len(points):
            points = np.array([[-1000.0, -1000, 0], [1000, 1000, 2000]])
        low = np.floor(points.min(axis=0) / SNAP_MM) * SNAP_MM
        high = np.maximum(np.ceil(points.max(axis=0) / SNAP_MM) * SNAP_MM, low + SNAP_MM)
        eye = np.array([0, low[1], 0]) if camera and self.in_camera else low
        return np.minimum(low, eye), np.maximum(high, eye)


def place_persons(record: Mapping, skeleton: Skeleton) -> PlacedPersons:
    """Put a frame's persons into one space.

    With a camera and root depths it is the camera's frame, and who has no root depth is left out
    (the note counts them). Without, only each pose about its root is known: everybody is taken for
    as large as ``CROP_MM`` for the side of the crop, and the view for ``GUESSED_FOV`` wide. Who
    looks smaller then stands farther away, unless the record has an ``order``: that one holds.

    Raises:
        ValueError: as :func:`read_persons`.
    """
    persons, camera = read_persons(record, len(skeleton)), record['camera']
    placed = [p for p in persons if np.isfinite(p.points).all(axis=1).any()] if camera else []
    in_camera = bool(camera) and bool(placed or not persons)
    if in_camera:
        poses, assumed = [p.points for p in placed], camera['source'] == 'assumed-fov'
        note = 'Metres, ' + ('under an assumed field of view' if assumed else 'by the given camera')
    else:
        known = [np.isfinite(p.pixels).all(axis=1) & np.isfinite(p.relative) for p in persons]
        placed = [p for p, joints in zip(persons, known, strict=True) if joints.any()]
        poses = _guess(placed, skeleton.root, (record['width'] or 1, record['height'] or 1))
        clue = 'order and size' if record.get('order') else 'their size'
        note = f'depth between persons is a guess from {clue}'
        remedy = '; metres need --camera or --assume-fov'
        note = f'No root depth: {note}' if camera else f'No camera: {note}{remedy}'
    if record.get('skipped'):
        note = f'Skipped: {record["skipped"]}'
    elif not persons:
        note = 'No persons found'
    elif record.get('order') and not placed:
        note = 'Persons from front to back; this network gives no 3D'
    elif len(placed) < len(persons):
        note += f'; {len(persons) - len(placed)} of {len(persons)} persons without 3D'
    poses = np.array(poses, dtype=np.float64).reshape(len(poses), len(skeleton), 3)
    return PlacedPersons(poses, tuple(placed), in_camera, note)


def _guess(persons: list[DrawnPerson], root: int, size: tuple[int, int]) -> list[np.ndarray]:
    """Return where persons (the nearest first) may stand: (K, 3) mm each, see above."""
    f = max(size) / 2 / np.tan(np.deg2rad(GUESSED_FOV / 2))
    units = [CROP_MM / max(person.side, 1.0) for person in persons]  # mm a px
    poses = []
    for person, unit, depth in zip(persons, units, f * np.sort(units), strict=True):
        center = person.pixels[root]
        if not np.isfinite(center).all():
            center = np.nanmean(person.pixels, axis=0)
        beside = (center - image_center(*size)) * depth / f
        xy = (person.pixels - center) * unit + beside
        poses.append(np.column_stack([xy, person.relative + depth]))
    return poses


# ------------------------------------------------------------------ projection


@dataclass(frozen=True)
class View:
    """A parallel projection of a box of space into a panel.

    Attributes:
        low, high: (3,) corners of the box, mm.
        size: width and height of the panel, px. margin: px on each side.
        elevation: degrees that the view looks down: 0 along z, 90 from above (z up, the camera at
            the bottom).
        azimuth: degrees that the view is turned about the vertical axis: -90 from the right, with
            the camera at the left.
    """

    low: np.ndarray
    high: np.ndarray
    size: tuple[int, int]
    elevation: float
    azimuth: float = 0.0
    margin: int = 34

    def turned(self, points: np.ndarray) -> np.ndarray:
        """Turn (..., 3) mm into the view's frame: right, down, away, mm."""
        tilt, turn = np.deg2rad([self.elevation, self.azimuth])
        (c, s), (ct, st) = (np.cos(turn), np.sin(turn)), (np.cos(tilt), np.sin(tilt))
        about_y = np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]])
        about_x = np.array([[1, 0, 0], [0, ct, -st], [0, st, ct]])
        return np.asarray(points) @ (about_x @ about_y).T

    def _fit(self) -> tuple[float, np.ndarray]:
        """Return the scale, px a mm, and the middle of the box in the view's plane."""
        ends = np.stack([self.low, self.high])
        corners = self.turned(ends[np.indices((2, 2, 2)).reshape(3, -1).T, [0, 1, 2]])[:, :2]
        room = np.array(self.size) - 2 * self.margin
        scale = (room / np.maximum(np.ptp(corners, axis=0), 1.0)).min()
        return float(scale), (corners.min(axis=0) + corners.max(axis=0)) / 2

    @property
    def scale(self) -> float:
        """px a mm."""
        return self._fit()[0]

    def project(self, points: np.ndarray) -> np.ndarray:
        """Project (..., 3) mm to (..., 2) px of the panel."""
        scale, middle = self._fit()
        return (self.turned(points)[..., :2] - middle) * scale + np.array(self.size) / 2


def draw_poses(
    panel: np.ndarray, view: View, poses: np.ndarray, skeleton: Skeleton,
    colors: Sequence[Color | None], width: int = 2,
) -> None:  # fmt: skip
    """Draw poses, links from the farthest to the nearest; joints that are nan are left out.

    Args:
        poses: (P, K, 3) mm.
        colors: BGR of each pose's links; None gives every link the colour of its side.
    """
    known, points = np.isfinite(poses).all(axis=-1), view.project(poses)
    away = view.turned(poses)[..., 2]
    links = [
        (away[p, a] + away[p, b], p, a, b)
        for p in range(len(poses))
        for a, b in skeleton.links
        if known[p, a] and known[p, b]
    ]
    for _, p, a, b in sorted(links, reverse=True):
        draw_line(panel, points[p, [a, b]], colors[p] or skeleton.link_color(a, b), width)


# ------------------------------------------------------------------ scenes


def scene_views(persons: PlacedPersons, size: tuple[int, int]) -> tuple[View, View]:
    """Return the view from the camera's side (raised) and the one from above, for panels of a size.

    From above the camera itself is in the box wherever there is one, so that the distance to it can
    be seen.
    """
    return View(*persons.box(), size, RAISED), View(*persons.box(camera=True), size, 90.0)


def draw_scene(record: Mapping, info: Mapping, size: tuple[int, int] = (960, 480)) -> np.ndarray:
    """Draw a frame's persons in one space, from the camera's side (left half) and from above.

    With a camera both are camera space in mm with true distances, and the camera stands at the
    bottom of the right half. Without one, where persons stand is a guess, and the image says so.

    Args:
        record: one frame. info: of the run. size: width and height px, at least 320 x 160.

    Returns:
        (height, width, 3) uint8 BGR.

    Raises:
        ValueError: too small a size; a record that does not fit ``info``.
    """
    if size[0] < 320 or size[1] < 160:
        raise ValueError(f'a scene needs at least 320 x 160 px, got {size[0]} x {size[1]}')
    skeleton = skeleton_of(info['joint_set'])
    persons = place_persons(record, skeleton)
    image = np.full((size[1], size[0], 3), 255, np.uint8)
    image[:HEADER] = (60, 60, 60) if persons.in_camera else (40, 40, 150)
    width = cv2.getTextSize(persons.note, cv2.FONT_HERSHEY_SIMPLEX, 0.45, 1)[0][0]
    write(image, persons.note, 6, 16, scale=min(0.45, 0.45 * (size[0] - 12) / max(width, 1)))
    half, height = size[0] // 2, size[1] - HEADER
    for i, view in enumerate(scene_views(persons, (half, height))):
        panel = image[HEADER:, i * half : (i + 1) * half].copy()
        _draw_grid(panel, view, numbered=persons.in_camera)
        write(panel, ('from the camera, raised', 'from above')[i], 34, 14, INK, 0.4)
        if i == 1 and persons.in_camera:
            _draw_camera(panel, view, record)
        draw_poses(panel, view, persons.poses, skeleton, [p.color for p in persons.persons])
        for pose, person in zip(persons.poses, persons.persons, strict=True):
            known = np.isfinite(pose).all(axis=-1)
            points = view.project(pose)
            for k in np.flatnonzero(known):
                draw_joint(panel, points[k], SIDE_COLORS[skeleton.sides[k]])
            top = points[known][points[known, 1].argmin()]
            draw_label(panel, str(person.number), top + np.array([4, -4]), person.color, 0.36)
        image[HEADER:, i * half : (i + 1) * half] = panel
    cv2.line(image, (half, HEADER), (half, size[1]), INK, 1)
    return image


def grid_lines(low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return x and z of grid lines, mm, in a round distance: about six over the longer side.

    Args:
        low, high: (3,) mm, corners of the box.
    """
    share = max(high[0] - low[0], high[2] - low[2]) / 6
    power = 10 ** np.floor(np.log10(share))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= share)
    first, end = np.ceil(low / step) * step, high + 1e-6 * step
    return tuple(np.arange(first[axis], end[axis], step) for axis in (0, 2))


def _draw_grid(panel: np.ndarray, view: View, numbered: bool) -> None:
    """Draw lines on the floor, which is the height of the lowest joint, with their mm."""
    low, high = view.low, view.high
    for (axis, other), values in zip(((0, 2), (2, 0)), grid_lines(low, high), strict=True):
        for value in values:
            ends = np.tile([0.0, high[1], 0.0], (2, 1))
            ends[:, axis], ends[:, other] = value, (low[other], high[other])
            points = view.project(ends)
            draw_line(panel, points, GRID)
            if numbered:
                x, y = points[0] + ((-14, 12) if axis == 0 else (-view.margin + 2, 4))
                write(panel, f'{value + 0.0:.0f}', x, y, INK, 0.32)
    unit = ', mm' if numbered else ''
    (x, y), top = view.project([[high[0], high[1], low[2]], [low[0], high[1], high[2]]])
    write(panel, f'x{unit}', x - 30, y + 26, INK, 0.35)
    write(panel, f'z{unit}', top[0] - view.margin + 2, max(top[1] - 8, 28), INK, 0.35)


def _draw_camera(panel: np.ndarray, view: View, record: Mapping) -> None:
    """Draw the camera at the origin, and the edges of what it sees."""
    camera, origin = record['camera'], view.project(np.zeros(3))
    for column in (0, record['width']):
        slope = (column - camera['c'][0]) / camera['f'][0]
        far = view.project(np.array([slope, 0, 1]) * view.high[2])
        draw_line(panel, np.stack([origin, far]), (200, 170, 120))
    corners = origin + np.array([[0, 0], [-8, 12], [8, 12]]) - (0, 6)
    cv2.fillPoly(panel, [np.round(corners).astype(int)], INK, cv2.LINE_AA)
    write(panel, 'camera', origin[0] + 10, origin[1] + 8, INK, 0.35)
