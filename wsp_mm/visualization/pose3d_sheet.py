# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Contact sheets of 3D poses: the picture with its 2D joints, and the skeleton in space from two
sides.

K joints; camera frame: x right, y down, z forward, mm.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from wsp_mm.evaluation.functional import mpjpe
from wsp_mm.evaluation.functional.pose3d import evaluated_joints
from wsp_mm.evaluation.predictions import load_dump
from wsp_mm.evaluation.tables import without_prefix
from wsp_mm.structures.keypoints import get_joint_set
from wsp_mm.visualization.pair_sheet import spread

# By the side of the body, RGB: truth is grey and thick, prediction coloured and thin on top of it.
SIDE_COLORS = {
    'left': (0.12, 0.62, 0.25),
    'right': (0.90, 0.42, 0.05),
    'middle': (0.15, 0.35, 0.80),
}
TRUTH_COLOR = (0.62, 0.62, 0.62)
STYLES = (dict(lw=4.5, alpha=0.75, color=TRUTH_COLOR), dict(lw=1.8))  # of truth, of prediction
# (elevation, azimuth) degrees in plot axes x, z, -y: from the camera, and from the person's side,
# raised.
VIEWS = {'from the camera': (0, -90), 'from the side, raised (camera: left)': (25, -10)}


@dataclass
class PoseCase:
    """One person to draw.

    Attributes:
        picture: (H, W, 3) uint8 BGR. box: (4,) x1, y1, x2, y2 px.
        pixels: (K, 2) predicted joints, px of the picture.
        pred, gt: (K, 3) mm.
        title: above the picture.
        joint_set: names the K joints.
    """

    picture: np.ndarray
    box: np.ndarray
    pixels: np.ndarray
    pred: np.ndarray
    gt: np.ndarray
    title: str = ''
    joint_set: str = 'h36m18'

    def __post_init__(self) -> None:
        k = len(get_joint_set(self.joint_set))
        for name, shape in (('pixels', (k, 2)), ('pred', (k, 3)), ('gt', (k, 3)), ('box', (4,))):
            if np.shape(getattr(self, name)) != shape:
                raise ValueError(
                    f'{name} of {self.title or "a case"} must be {shape} for {self.joint_set}, '
                    f'got {np.shape(getattr(self, name))}'
                )


@dataclass
class SheetRow:
    """A picture and the poses beside it.

    Attributes:
        picture: (H, W, 3) uint8 BGR.
        poses: (K, 3) mm each, nan where not known, and how its lines are drawn, see
            :func:`draw_skeletons`.
        title: above the picture. joint_set: names the K joints.
        cube: the panels show a cube, as one person needs it; else the poses' extent along each
            axis.
        views: name -> (elevation, azimuth) degrees of the two panels.
    """

    picture: np.ndarray
    poses: Sequence[tuple[np.ndarray, dict]]
    title: str = ''
    joint_set: str = 'h36m18'
    cube: bool = True
    views: Mapping[str, tuple[float, float]] = field(default_factory=lambda: VIEWS)


def pose3d_sheet(cases: Sequence[PoseCase], columns: int = 2) -> bytes:
    """PNG with a row of three panels a person: the picture, and truth and prediction from two
    sides.

    Both skeletons stand with their roots in the middle of the panel, as MPJPE compares them; the
    panels of a person share one scale.

    Args:
        cases: persons in reading order. columns: persons side by side.

    Raises:
        ValueError: no case.
    """
    rows = []
    for case in cases:
        _, root = evaluated_joints(case.joint_set)
        poses = [
            (np.asarray(pose) - pose[root], style)
            for pose, style in zip((case.gt, case.pred), STYLES, strict=True)
        ]
        rows.append(SheetRow(crop_with_joints(case), poses, case.title, case.joint_set))
    return rows_sheet(rows, columns)


def rows_sheet(rows: Sequence[SheetRow], columns: int = 1, panel: float = 2.35) -> bytes:
    """PNG with three panels a row: the picture, and its poses from two sides.

    Args:
        rows: in reading order. columns: rows side by side. panel: height of a panel, inches at 80
            px.

    Raises:
        ValueError: no row.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from wsp_mm.visualization.report import figure_png

    if not rows:
        raise ValueError('a sheet needs at least one person')
    columns = min(columns, len(rows))
    lines = -(-len(rows) // columns)
    height = panel * lines + 0.3
    figure = Figure(figsize=(panel * 2.9 * columns, height), dpi=80)
    FigureCanvasAgg(figure)
    space = dict(
        left=0.005, right=0.995, bottom=0.005, top=1 - 0.3 / height, wspace=0.02, hspace=0.12
    )
    grid = figure.add_gridspec(lines, 3 * columns, **space)
    for i, row in enumerate(rows):
        line, column = i // columns, 3 * (i % columns)
        axes = figure.add_subplot(grid[line, column])
        axes.imshow(row.picture[..., ::-1])
        axes.set_axis_off()
        axes.set_title(row.title, fontsize=8, pad=2, parse_math=False)  # a name may hold "$"
        for k, (name, view) in enumerate(row.views.items()):
            space_axes = figure.add_subplot(grid[line, column + 1 + k], projection='3d')
            draw_skeletons(space_axes, row, view)
            space_axes.set_title(name if line == 0 else '', fontsize=8, pad=-2)
    return figure_png(figure)


def crop_with_joints(case: PoseCase, size: int = 240, margin: float = 0.2) -> np.ndarray:
    """(size, size, 3) BGR: the square around the box, with the predicted joints and their links."""
    box = np.asarray(case.box, dtype=np.float64).reshape(2, 2)
    scale = size / max(float((box[1] - box[0]).max()) * (1 + 2 * margin), 1.0)
    offset = size / 2 - box.mean(axis=0) * scale
    tile = cv2.warpAffine(
        case.picture,
        np.array([[scale, 0, offset[0]], [0, scale, offset[1]]]),
        (size, size),
        flags=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR,
    )
    points = np.round((case.pixels * scale + offset) * 16).astype(int)  # sixteenths of a pixel
    for a, b, color in links(case.joint_set):
        bgr = [round(255 * value) for value in reversed(color)]
        cv2.line(tile, points[a].tolist(), points[b].tolist(), bgr, 2, cv2.LINE_AA, shift=4)
    for point in points[evaluated_joints(case.joint_set)[0]]:
        cv2.circle(tile, point.tolist(), 2 * 16, (255, 255, 255), -1, cv2.LINE_AA, shift=4)
    return tile


def draw_skeletons(axes, row: SheetRow, view: tuple[float, float]) -> None:
    """A row's poses into a matplotlib 3D panel, seen from ``(elevation, azimuth)`` degrees.

    A pose's style are options of matplotlib's lines; with ``color`` the whole pose has it, else
    every link that of its side. ``label`` is written above it.
    """
    colored = links(row.joint_set)
    joints = sorted({k for a, b, _ in colored for k in (a, b)})
    points = np.concatenate([np.zeros((0, 3)), *(pose[joints] for pose, _ in row.poses)])
    points = points[np.isfinite(points).all(axis=1)]
    if not len(points):
        axes.set_axis_off()
        return
    low, high = points.min(axis=0), points.max(axis=0)
    center, half = (low + high) / 2, np.full(3, (high - low).max() / 2 * 1.1 + 1e-6)
    if not row.cube:
        half = np.maximum((high - low) / 2 * 1.1, 0.35 * half)
    for pose, style in row.poses:
        style = dict(style)
        label = style.pop('label', '')
        for a, b, color in colored:
            x, y, z = pose[[a, b]].T
            axes.plot(x, z, -y, **{'color': color, **style})
        seen = pose[joints][np.isfinite(pose[joints]).all(axis=1)]
        if label and len(seen):
            x, y, z = seen[seen[:, 1].argmin()]
            axes.text(x, z, -y + 0.06 * half[1], label, fontsize=7, ha='center')
    axes.set_xlim(center[0] - half[0], center[0] + half[0])
    axes.set_ylim(center[2] - half[2], center[2] + half[2])
    axes.set_zlim(-center[1] - half[1], -center[1] + half[1])
    # matplotlib scales the box by its diagonal; its longest side shall be as long as a cube's
    aspect = half[[0, 2, 1]] / half.max()
    axes.set_box_aspect(aspect, zoom=1.4 * np.linalg.norm(aspect) / np.sqrt(3))
    axes.set_proj_type('ortho')
    axes.view_init(*view)
    for axis in (axes.xaxis, axes.yaxis, axes.zaxis):
        axis.set_ticklabels([])
        axis.set_tick_params(length=0)
        axis.line.set_alpha(0.3)
    axes.grid(alpha=0.3)


def links(joint_set: str) -> list[tuple[int, int, tuple[float, float, float]]]:
    """Linked joints and the colour of the body's side that they are on."""
    joints = get_joint_set(joint_set)
    colored = []
    for a, b in joints.link_indices:
        sides = {joints.concepts[k].partition('_')[0] for k in (a, b)} & {'left', 'right'}
        colored.append((a, b, SIDE_COLORS[sides.pop() if len(sides) == 1 else 'middle']))
    return colored


def cases_from_dump(file: str | Path, count: int, joint_set: str = 'h36m18') -> list[PoseCase]:
    """Persons of a test, spread evenly over it: nothing is picked for looking well.

    Args:
        file: what ``tools/test.py --dump`` wrote.

    Raises:
        FileNotFoundError: a picture is gone.
        ValueError: a sample without camera-frame joints.
    """
    dump = load_dump(file)
    gt, pred = (without_prefix(dump, f'{side}_instances.') for side in ('gt', 'pred'))
    if 'keypoints_cam' not in gt or 'keypoints_cam' not in pred:
        raise ValueError(f'{file}: its samples have no keypoints_cam')
    joints, root = evaluated_joints(joint_set)
    errors = mpjpe(pred['keypoints_cam'], gt['keypoints_cam'], root=root)[:, joints].mean(axis=1)
    cases = []
    for i in spread(np.argsort(dump['id']).tolist(), count):
        picture = cv2.imread(str(dump['img_path'][i]))
        if picture is None:
            raise FileNotFoundError(f'{dump["img_path"][i]} cannot be read')
        subject = f'S{dump["subject"][i]} ' if 'subject' in dump else ''
        action = f'{dump["action"][i]}, ' if 'action' in dump else ''
        cases.append(
            PoseCase(
                picture,
                gt['bboxes'][i],
                pred['keypoints'][i, :, :2],
                pred['keypoints_cam'][i],
                gt['keypoints_cam'][i],
                f'{subject}{action}{errors[i]:.0f} mm',
                joint_set,
            )
        )
    return cases
