# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Figures of many images: grids, 3D poses beside their ground truth, and the paper's Figure 3.

Images are (H, W, 3) uint8 BGR; K joints; camera frame: x right, y down, z forward, mm; boxes px.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from wsp_mm.datasets.detections import BoxFile
from wsp_mm.evaluation.functional import mpjpe
from wsp_mm.evaluation.functional.pose3d import evaluated_joints
from wsp_mm.evaluation.predictions import load_dump
from wsp_mm.evaluation.tables import without_prefix
from wsp_mm.visualization.draw import (
    DARK,
    WHITE,
    Color,
    Skeleton,
    crop_square,
    draw_joint,
    draw_label,
    draw_line,
    draw_overlay,
    skeleton_of,
    write,
)
from wsp_mm.visualization.scene3d import INK, View, draw_poses, place_persons

GT_COLOR = (158, 158, 158)
TITLE = 18  # px, height of a line of text above a panel
MIN_SIDE, MIN_SCORE = 48.0, 0.3  # px of a box's longer side, and its score, to be drawn at random


# ------------------------------------------------------------------ grids


def fit_image(image: np.ndarray, width: int, height: int) -> np.ndarray:
    """Scale an image into (height, width, 3) without cutting it, on dark gray."""
    scale = min(width / image.shape[1], height / image.shape[0])
    sides = np.round(np.array(image.shape[1::-1]) * scale).astype(int)
    size = np.clip(sides, 1, (width, height)).tolist()
    resized = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    tile = np.full((height, width, 3), DARK, np.uint8)
    x, y = (width - size[0]) // 2, (height - size[1]) // 2
    tile[y : y + size[1], x : x + size[0]] = resized
    return tile


def image_grid(tiles: Iterable[np.ndarray], columns: int) -> np.ndarray:
    """Arrange tiles of one size row by row, on white.

    Raises:
        ValueError: no tile.
    """
    tiles = list(tiles)
    if not tiles:
        raise ValueError('a grid needs at least one image')
    (h, w), gap = tiles[0].shape[:2], 4
    rows = -(-len(tiles) // columns)
    grid = np.full((rows * (h + gap) + gap, columns * (w + gap) + gap, 3), 255, np.uint8)
    for i, tile in enumerate(tiles):
        y, x = gap + (i // columns) * (h + gap), gap + (i % columns) * (w + gap)
        grid[y : y + h, x : x + w] = tile
    return grid


def spread(items: Sequence, count: int) -> list:
    """Return ``count`` items (fewer if there are fewer), evenly spread over the sequence."""
    if not len(items):
        return []
    return [items[i] for i in np.unique(np.linspace(0, len(items) - 1, count).round().astype(int))]


def encode_image(image: np.ndarray, suffix: str = '.png') -> bytes:
    """Return the content of an image file.

    Raises:
        ValueError: another suffix than .png, .jpg or .jpeg.
    """
    if suffix.lower() not in ('.png', '.jpg', '.jpeg'):
        raise ValueError(f'a figure is written as .png or .jpg, not {suffix or "without suffix"}')
    return cv2.imencode(suffix.lower(), image)[1].tobytes()


def titled(panels: Mapping[str, np.ndarray]) -> np.ndarray:
    """Put panels of one height side by side, each below its title."""
    columns = []
    for title, panel in panels.items():
        head = np.full((TITLE, panel.shape[1], 3), 255, np.uint8)
        write(head, title, 4, TITLE - 5, INK, 0.4)
        columns.append(np.concatenate([head, panel]))
    return np.concatenate(columns, axis=1)


def pose_panel(
    poses: np.ndarray, skeleton: Skeleton, colors: Sequence[Color | None], widths: Sequence[int],
    size: int, view: tuple[float, float], labels: Sequence[str] = (),
) -> np.ndarray:  # fmt: skip
    """Draw poses in space, (size, size, 3) on white.

    Args:
        poses: (P, K, 3) mm, nan where a joint is not known.
        colors: of each pose, see :func:`draw_poses`. widths: of its lines, px.
        view: (elevation, azimuth) degrees, see :class:`View`.
        labels: text above each pose.
    """
    panel = np.full((size, size, 3), 255, np.uint8)
    linked = sorted({k for link in skeleton.links for k in link})
    points = poses[:, linked].reshape(-1, 3)
    points = points[np.isfinite(points).all(axis=1)]
    if not len(points):
        return panel
    box = View(points.min(axis=0), points.max(axis=0), (size, size), *view, margin=14)
    for pose, color, width in zip(poses, colors, widths, strict=True):
        draw_poses(panel, box, pose[None], skeleton, [color], width)
    for pose, color, label in zip(poses, colors, labels, strict=False):
        places = box.project(pose[np.isfinite(pose).all(axis=1)])
        corner = places[places[:, 1].argmin()] + np.array([4, -4])
        draw_label(panel, label, corner, color or INK, 0.4)
    return panel


# ------------------------------------------------------------------ 3D poses beside the truth


@dataclass
class PoseCase:
    """One person to draw.

    Attributes:
        image: (H, W, 3) uint8 BGR. box: (4,) x1, y1, x2, y2 px.
        pixels: (K, 2) predicted joints, px of the image.
        pred, gt: (K, 3) mm.
        title: above the image. joint_set: names the K joints.
    """

    image: np.ndarray
    box: np.ndarray
    pixels: np.ndarray
    pred: np.ndarray
    gt: np.ndarray
    title: str = ''
    joint_set: str = 'h36m18'


def pose_grid(cases: Sequence[PoseCase]) -> np.ndarray:
    """Draw a row of three panels a person: the image, and the poses from two sides.

    Ground truth is gray and thick, the prediction coloured and thin on top of it. Both stand with
    their roots in the same place, as MPJPE compares them.

    Args:
        cases: persons in reading order, two side by side.

    Raises:
        ValueError: no case.
    """
    rows = []
    for case in cases:
        skeleton = skeleton_of(case.joint_set)
        poses = np.stack([pose - pose[skeleton.root] for pose in (case.gt, case.pred)])
        drawing = poses, skeleton, (GT_COLOR, None), (5, 2), 240
        panels = {
            case.title: crop_with_joints(case, 240),
            'from the camera': pose_panel(*drawing, (0, 0)),
            'from the right, raised': pose_panel(*drawing, (25, -80)),
        }
        rows.append(titled(panels))
    return image_grid(rows, min(2, max(len(rows), 1)))


def crop_with_joints(case: PoseCase, size: int = 240) -> np.ndarray:
    """Return the square around the box with the predicted joints and links, (size, size, 3)."""
    tile, scale, offset = crop_square(case.image, case.box.reshape(2, 2), size, 0.2)
    points, skeleton = case.pixels * scale + offset, skeleton_of(case.joint_set)
    for a, b in skeleton.links:
        draw_line(tile, points[[a, b]], skeleton.link_color(a, b), 2)
    for k in evaluated_joints(case.joint_set)[0]:
        draw_joint(tile, points[k], WHITE)
    return tile


def pose_cases(file: str | Path, count: int) -> list[PoseCase]:
    """Pick persons of a test, spread evenly over it: nothing is picked for looking well.

    Args:
        file: what ``tools/test.py --dump`` wrote.

    Raises:
        FileNotFoundError: an image is gone.
        ValueError: the file has no samples with camera-frame joints.
    """
    dump, (joints, root) = load_dump(file), evaluated_joints('h36m18')
    gt, pred = (without_prefix(dump, f'{side}_instances.') for side in ('gt', 'pred'))
    if 'keypoints_cam' not in gt or 'keypoints_cam' not in pred:
        raise ValueError(f'{file}: its samples have no keypoints_cam')
    errors = mpjpe(pred['keypoints_cam'], gt['keypoints_cam'], root=root)[:, joints].mean(axis=1)
    cases = []
    for i in spread(np.argsort(dump['id']).tolist(), count):
        image = cv2.imread(str(dump['img_path'][i]))
        if image is None:
            raise FileNotFoundError(f'{dump["img_path"][i]} cannot be read')
        subject = f'S{dump["subject"][i]} ' if 'subject' in dump else ''
        action = f'{dump["action"][i]}, ' if 'action' in dump else ''
        title = f'{subject}{action}{errors[i]:.0f} mm'
        poses = pred['keypoints_cam'][i], gt['keypoints_cam'][i]
        cases.append(PoseCase(image, gt['bboxes'][i], pred['keypoints'][i, :, :2], *poses, title))
    return cases


# ------------------------------------------------------------------ Figure 3


@dataclass(frozen=True)
class ChosenImage:
    """An image to draw: its id and name in the annotations, boxes (P, 4) x, y, w, h, scores
    (P,).
    """

    image_id: int
    file_name: str
    boxes: np.ndarray
    scores: np.ndarray


def choose_images(found: BoxFile, count: int, seed: int, max_persons: int = 4) -> list[ChosenImage]:
    """Draw images with persons by the seed: nothing is picked for looking well.

    Args:
        found: images and the persons in them.
        count: images; fewer where there are fewer.
        max_persons: the largest of an image; more cannot be told apart in one panel.

    Returns:
        In the order of ids.
    """
    usable = []
    for image_id, name in sorted(found.images.items()):
        boxes, scores = found.boxes[image_id], found.scores[image_id]
        keep = (boxes[:, 2:].max(axis=1, initial=0) >= MIN_SIDE) & (scores >= MIN_SCORE)
        keep &= (boxes[:, 2:] > 0).all(axis=1)
        largest = np.argsort(-boxes[keep, 2:].prod(axis=1), kind='stable')[:max_persons]
        if len(largest):
            usable.append(ChosenImage(image_id, name, boxes[keep][largest], scores[keep][largest]))
    drawn = np.random.default_rng(seed).permutation(len(usable))[:count]
    return [usable[i] for i in sorted(drawn)]


def qualitative_figure(frames: Iterable[tuple[np.ndarray, Mapping]], info: Mapping) -> np.ndarray:
    """Draw a row an image: the overlay, and all persons in one space, numbered as in the image.

    Args:
        frames: images with their records. info: of the run.

    Raises:
        ValueError: no image.
    """
    rows, skeleton = [], skeleton_of(info['joint_set'])
    for image, record in frames:
        persons = place_persons(record, skeleton)
        count = len(persons.persons)
        drawing = persons.poses, skeleton, [None] * count, [2] * count, 320
        labels = [str(person.number) for person in persons.persons]
        where = 'camera space' if persons.in_camera else 'places guessed'
        panels = {
            Path(record['file_name']).name: fit_image(draw_overlay(image, record, info), 320, 320),
            f'{where}, from the camera': pose_panel(*drawing, (0, 0), labels),
            'from the right, raised': pose_panel(*drawing, (28, -28), labels),
        }
        rows.append(titled(panels))
    return image_grid(rows, columns=1 if len(rows) < 4 else 2)
