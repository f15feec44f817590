# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Contact sheets of 3D poses: the picture with its 2D joints, and the skeleton in space from two sides.

K joints; camera frame: x right, y down, z forward, mm.
"""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from wsp_mm.evaluation.functional import mpjpe
from wsp_mm.evaluation.functional.pose3d import evaluated_joints
from wsp_mm.structures.skeletons import get_joint_set
from wsp_mm.visualization.pair_sheet import spread

# By the side of the body, RGB: truth is grey and thick, prediction coloured and thin on top of it.
SIDE_COLORS = {'left': (0.12, 0.62, 0.25), 'right': (0.90, 0.42, 0.05), 'middle': (0.15, 0.35, 0.80)}
TRUTH_COLOR = (0.62, 0.62, 0.62)
# (elevation, azimuth) degrees in plot axes x, z, -y: from the camera, and from the person's side, raised.
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


def pose3d_sheet(cases: Sequence[PoseCase], columns: int = 2) -> bytes:
    """PNG with a row of three panels a person: the picture, and truth and prediction from two sides.

    Both skeletons stand with their roots in the middle of the panel, as MPJPE compares them; the panels of a
    person share one scale.

    Args:
        cases: persons in reading order. columns: persons side by side.

    Raises:
        ValueError: no case.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from wsp_mm.visualization.report import figure_png

    if not cases:
        raise ValueError('a sheet needs at least one person')
    columns = min(columns, len(cases))
    rows = -(-len(cases) // columns)
    height = 2.35 * rows + 0.3
    figure = Figure(figsize=(6.8 * columns, height), dpi=80)
    FigureCanvasAgg(figure)
    space = dict(left=0.005, right=0.995, bottom=0.005, top=1 - 0.3 / height, wspace=0.02, hspace=0.12)
    grid = figure.add_gridspec(rows, 3 * columns, **space)
    for i, case in enumerate(cases):
        row, column = i // columns, 3 * (i % columns)
        axes = figure.add_subplot(grid[row, column])
        axes.imshow(crop_with_joints(case)[..., ::-1])
        axes.set_axis_off()
        axes.set_title(case.title, fontsize=8, pad=2)
        for k, (name, view) in enumerate(VIEWS.items()):
            panel = figure.add_subplot(grid[row, column + 1 + k], projection='3d')
            draw_skeletons(panel, case, view)
            panel.set_title(name if row == 0 else '', fontsize=8, pad=-2)
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


def draw_skeletons(axes, case: PoseCase, view: tuple[float, float]) -> None:
    """Truth and prediction into a matplotlib 3D panel, seen from ``(elevation, azimuth)`` degrees."""
    _, root = evaluated_joints(case.joint_set)
    poses = [np.asarray(pose) - pose[root] for pose in (case.gt, case.pred)]
    joints = sorted({k for a, b, _ in links(case.joint_set) for k in (a, b)})
    low = np.min([pose[joints].min(axis=0) for pose in poses], axis=0)
    high = np.max([pose[joints].max(axis=0) for pose in poses], axis=0)
    center, half = (low + high) / 2, float((high - low).max()) / 2 * 1.1 + 1e-6
    for pose, style in zip(poses, (dict(lw=4.5, alpha=0.75), dict(lw=1.8)), strict=True):
        for a, b, color in links(case.joint_set):
            x, y, z = pose[[a, b]].T
            axes.plot(x, z, -y, color=color if 'alpha' not in style else TRUTH_COLOR, **style)
    axes.set_xlim(center[0] - half, center[0] + half)
    axes.set_ylim(center[2] - half, center[2] + half)
    axes.set_zlim(-center[1] - half, -center[1] + half)
    axes.set_box_aspect((1, 1, 1), zoom=1.4)
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
        file: what ``tools/test.py --dump`` wrote: a pickle, open your own only.

    Raises:
        FileNotFoundError: a picture is gone.
        ValueError: a sample without camera-frame joints.
    """
    with open(file, 'rb') as stream:
        samples = sorted(pickle.load(stream), key=lambda sample: sample['id'])
    joints, root = evaluated_joints(joint_set)
    cases = []
    for sample in spread(samples, count):
        truth, found = sample['gt_instances'], sample['pred_instances']
        if 'keypoints_cam' not in found or 'keypoints_cam' not in truth:
            raise ValueError(f'{file}: sample {sample["id"]} has no keypoints_cam')
        picture = cv2.imread(str(sample['img_path']))
        if picture is None:
            raise FileNotFoundError(f'{sample["img_path"]} cannot be read')
        pred, gt = (np.asarray(side['keypoints_cam'], dtype=np.float64)[:1] for side in (found, truth))
        error = float(mpjpe(pred, gt, root=root)[:, joints].mean())
        action = f'{sample["action"]}, ' if sample.get('action') else ''
        subject = f'S{sample["subject"]} ' if sample.get('subject') is not None else ''
        cases.append(
            PoseCase(
                picture,
                np.asarray(truth['bboxes'])[0],
                np.asarray(found['keypoints'])[0, :, :2],
                pred[0],
                gt[0],
                f'{subject}{action}{error:.0f} mm',
                joint_set,
            )
        )
    return cases
