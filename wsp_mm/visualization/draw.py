# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Draw persons into images: boxes, 2D skeletons, distances, the order in depth, pairs.

Images are (H, W, 3) uint8 BGR, coordinates px; P persons, K joints. A record is one frame of an
inference (docs/inference.md), fresh from the inferencer or read back from json; ``info`` is what
that file says of the run.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import cv2
import numpy as np

from wsp_mm.structures.bbox import PADDING, crop_box
from wsp_mm.structures.keypoints import get_joint_set

Color = tuple[int, int, int]
#: By a person's number, BGR; bright enough for dark images, and white text on them can be read.
PERSON_COLORS = (
    (220, 110, 30), (15, 72, 217), (62, 138, 43), (190, 50, 180), (0, 110, 170),
    (140, 130, 10), (70, 40, 200), (150, 90, 60), (130, 20, 110), (20, 100, 100),
)  # fmt: skip
#: By side of the body, BGR: green, orange, blue.
SIDE_COLORS = {'left': (64, 158, 31), 'right': (13, 107, 230), 'middle': (204, 89, 38)}
PAIR_COLORS = ((255, 160, 40), (40, 120, 255))  # A blue, B orange
RIGHT, WRONG, UNKNOWN = (70, 180, 60), (50, 50, 220), (120, 120, 120)
WHITE, DARK = (255, 255, 255), 40
FONT = cv2.FONT_HERSHEY_SIMPLEX
SHIFT = 4  # OpenCV draws at sixteenths of a pixel
_FAR = 1e5  # px; OpenCV's coordinates are 32 bit
_CELL = (46, 26)  # px, width and height of a cell of the table of probabilities
MOST = 12  # persons in that table; the boxes have all ranks


# ------------------------------------------------------------------ records as arrays


@dataclass(frozen=True)
class Skeleton:
    """What the K joints are: names, links (index pairs), side of each, index of the root."""

    names: tuple[str, ...]
    links: tuple[tuple[int, int], ...]
    sides: tuple[str, ...]
    root: int

    def __len__(self) -> int:
        return len(self.names)

    def link_color(self, a: int, b: int) -> Color:
        """Return the colour of the side that a link is on; BGR."""
        sides = {self.sides[a], self.sides[b]} - {'middle'}
        return SIDE_COLORS[sides.pop() if len(sides) == 1 else 'middle']


def skeleton_of(joint_set: str) -> Skeleton:
    """Return the skeleton of a joint set."""
    joints = get_joint_set(joint_set)
    sides = [concept.partition('_')[0] for concept in joints.concepts]
    sides = tuple(side if side in ('left', 'right') else 'middle' for side in sides)
    return Skeleton(joints.joints, joints.link_indices, sides, joints.index('pelvis'))


@dataclass(frozen=True)
class DrawnPerson:
    """One person of a record, nan for whatever is not known.

    Attributes:
        id: as in the record. number: 1 is the nearest, in all images and in the viewer.
        box: (4,) x, y, w, h px. side: of the square around the person that a network sees, px.
        pixels: (K, 2) px. relative: (K,) mm along z from the root.
        root_depth: mm. points: (K, 3) mm in the camera's frame.
    """

    id: int
    box: np.ndarray
    side: float
    pixels: np.ndarray
    relative: np.ndarray
    root_depth: float
    points: np.ndarray
    number: int = 0

    @property
    def color(self) -> Color:
        """BGR, the same in all images and in the viewer."""
        return PERSON_COLORS[(self.number - 1) % len(PERSON_COLORS)]

    @property
    def label(self) -> str:
        """The number, with the root's distance along z where it is known."""
        known = np.isfinite(self.root_depth)
        return f'{self.number}  {self.root_depth / 1000:.2f} m' if known else f'{self.number}'


def read_persons(record: Mapping, num_joints: int) -> list[DrawnPerson]:
    """Return the persons of a record, the nearest first.

    Without root depths nearness is the predicted order; without that, who is larger is nearer.

    Raises:
        ValueError: a field that is not numbers of its shape.
    """
    size = record['width'] or 0, record['height'] or 0
    order = record.get('order', {}).get('ids', [])

    def read(entry: Mapping, key: str, *shape: int) -> np.ndarray:
        value = entry.get(key)
        if value is None:
            return np.full(shape, np.nan)
        array = np.array(value, dtype=np.float64)  # None becomes nan
        if array.shape != shape:
            where = f'frame {record["frame"]}, person {entry["id"]}'
            raise ValueError(f'{where}: {key} must be of shape {shape}, is {array.shape}')
        return np.where(np.isfinite(array), array, np.nan)

    persons = []
    for entry in record['persons']:
        box, pixels = read(entry, 'bbox', 4), read(entry, 'keypoints_img', num_joints, 2)
        crop = crop_box(box, size) if min(size) > 0 and np.isfinite(box).all() else None
        known = pixels[np.isfinite(pixels).all(axis=1)]
        side = crop[2] if crop is not None else PADDING * np.ptp(known, axis=0).max(initial=0)
        person = DrawnPerson(
            id=int(entry['id']),
            box=box,
            side=float(side),
            pixels=pixels,
            relative=read(entry, 'keypoints_rel', num_joints),
            root_depth=float(read(entry, 'root_depth')),
            points=read(entry, 'keypoints_cam', num_joints, 3),
        )
        place = order.index(person.id) if person.id in order else len(order)
        persons.append(((np.nan_to_num(person.root_depth, nan=np.inf), place, -side), person))
    persons.sort(key=lambda item: item[0])
    return [replace(person, number=i + 1) for i, (_, person) in enumerate(persons)]


# ------------------------------------------------------------------ shared


def check_image(image: np.ndarray) -> None:
    """Refuse what OpenCV would draw nonsense into.

    Raises:
        ValueError: not (H, W, 3) uint8.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or 0 in image.shape:
        raise ValueError(f'an image must be (H, W, 3) uint8 BGR, got {image.shape} {image.dtype}')


def shrink(image: np.ndarray, longest: int) -> tuple[np.ndarray, float]:
    """Scale an image down to at most ``longest`` px on its longer side; also return the scale."""
    scale = min(1.0, longest / max(image.shape[:2]))
    if scale == 1:
        return image, scale
    size = [max(1, round(side * scale)) for side in image.shape[1::-1]]
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA), scale


def fixed(points: np.ndarray) -> np.ndarray:
    """Turn (..., 2) px into the integers that OpenCV takes with ``shift=SHIFT``; nan becomes 0."""
    return np.round(np.clip(np.nan_to_num(points), -_FAR, _FAR) * (1 << SHIFT)).astype(int)


def draw_line(image: np.ndarray, ends: np.ndarray, color: Color, width: int = 1) -> None:
    """Draw a line between two points, (2, 2) px."""
    cv2.line(image, *fixed(ends).tolist(), color, width, cv2.LINE_AA, shift=SHIFT)


def draw_joint(image: np.ndarray, point: np.ndarray, color: Color, radius: int = 2) -> None:
    """Draw a dot at a point, (2,) px."""
    center = fixed(point).tolist()
    cv2.circle(image, center, radius << SHIFT, color, -1, cv2.LINE_AA, shift=SHIFT)


def write(
    image: np.ndarray, text: str, x: float, y: float, color: Color = WHITE, scale: float = 0.42
) -> None:
    """Write text with its lower left corner at (x, y) px. OpenCV has ASCII; others become '?'."""
    text = text.encode('ascii', 'replace').decode()
    cv2.putText(image, text, (round(x), round(y)), FONT, scale, color, 1, cv2.LINE_AA)


def draw_label(
    image: np.ndarray, text: str, corner: np.ndarray, color: Color, scale: float = 0.45
) -> None:
    """Write white text on a bar of the colour at ``corner`` (x, y) px, moved into the image."""
    (width, height), base = cv2.getTextSize(text, FONT, scale, 1)
    rows, columns = image.shape[:2]
    x = round(min(max(corner[0], 0), max(columns - width - 4, 0)))
    y = round(min(max(corner[1], height + 4), max(rows - base, height + 4)))
    cv2.rectangle(image, (x, y - height - 4), (x + width + 4, y + base - 1), color, -1)
    write(image, text, x + 2, y - 2, scale=scale)


def draw_box(image: np.ndarray, person: DrawnPerson, text: str, width: int) -> None:
    """Draw a person's box in its colour, with a label; nothing where the box is not known."""
    if np.isfinite(person.box).all():
        box = person.box.reshape(2, 2)
        low, high = fixed(np.stack([box[0], box.sum(axis=0)])).tolist()
        cv2.rectangle(image, low, high, person.color, width, cv2.LINE_8, shift=SHIFT)
        draw_label(image, text, np.clip(box[0], -_FAR, _FAR), person.color, 0.35 + 0.1 * width)


def line_width(image: np.ndarray) -> int:
    """Return px; lines grow with the image, so that a large one scaled down still shows them."""
    return max(1, round(max(image.shape[:2]) / 480))


# ------------------------------------------------------------------ frames of an inference


def draw_overlay(image: np.ndarray, record: Mapping, info: Mapping) -> np.ndarray:
    """Return a copy of the image with its persons: box, number, distance and skeleton.

    Links have the person's colour, joints that of the body's side. Joints that are not known and
    links to them are left out.

    Raises:
        ValueError: another kind of image; a record that does not fit ``info``.
    """
    check_image(image)
    skeleton, image, width = skeleton_of(info['joint_set']), image.copy(), line_width(image)
    persons = read_persons(record, len(skeleton))[::-1]  # nearer persons over farther ones
    for person in persons:
        draw_box(image, person, person.label, width)
    for person in persons:
        known = np.isfinite(person.pixels).all(axis=1)
        for a, b in skeleton.links:
            if known[a] and known[b]:
                draw_line(image, person.pixels[[a, b]], person.color, width + 1)
        for k in np.flatnonzero(known):
            draw_joint(image, person.pixels[k], SIDE_COLORS[skeleton.sides[k]], width + 1)
    return image


def draw_order(image: np.ndarray, record: Mapping, info: Mapping) -> np.ndarray:
    """Return the image with ranked boxes, 1 in front, above a table of pairwise probabilities.

    Returns:
        (H + the table's height, max(W, the table's width), 3) uint8. The image's pixels stay where
        they are.

    Raises:
        ValueError: another kind of image; a record that does not fit ``info``.
    """
    check_image(image)
    image, order = image.copy(), record.get('order')
    persons, matrix, title = [], np.zeros((0, 0)), 'no order of persons in this frame'
    if order:
        persons = read_persons(record, len(skeleton_of(info['joint_set'])))
        places = [entry['id'] for entry in record['persons']]
        rows = [places.index(person.id) for person in persons]
        matrix = np.array(order['probability'], dtype=np.float64)[np.ix_(rows, rows)]
        # From the back, so that the label of who is in front is never covered.
        for person in reversed(persons):
            text = f'{person.number} of {len(persons)}'
            draw_box(image, person, text, line_width(image) + 1)
        title = 'P(row is nearer than column), front to back'
        title += f'; the {MOST} in front of {len(persons)}' if len(persons) > MOST else ''
    table = _table(persons[:MOST], matrix[:MOST, :MOST], title)
    width = max(image.shape[1], table.shape[1])
    both = np.full((len(image) + len(table), width, 3), DARK, np.uint8)
    both[: len(image), : image.shape[1]] = image
    both[len(image) :, : table.shape[1]] = table
    return both


def _table(persons: list[DrawnPerson], matrix: np.ndarray, title: str) -> np.ndarray:
    """Draw the title and a cell a pair, the greener the surer that the row is nearer."""
    w, h = _CELL
    rows = len(persons) + 1 if len(persons) > 1 else 0
    width = max(cv2.getTextSize(title, FONT, 0.42, 1)[0][0] + 12, w * rows)
    table = np.full((h * (rows + 1), width, 3), DARK, np.uint8)
    write(table, title, 6, h - 8)
    cells = {}
    for i, person in enumerate(persons, 1):
        cells[0, i] = cells[i, 0] = (str(person.number), person.color)
    for i, j in np.ndindex(matrix.shape):
        value = 0.5 if i == j else matrix[i, j]
        strength = abs(value - 0.5) * 2
        tint = strength * np.array((60, 150, 60) if value >= 0.5 else (60, 60, 170))
        color = tuple((tint + 70 * (1 - strength)).astype(int).tolist())
        cells[i + 1, j + 1] = ('-' if i == j else f'{value:.2f}', color)
    for (i, j), (text, color) in cells.items() if rows else ():
        x, y = w * j, h * (i + 1)
        cv2.rectangle(table, (x, y), (x + w - 2, y + h - 2), color, -1)
        write(table, text, x + 6, y + h - 8)
    return table


# ------------------------------------------------------------------ pairs of persons


def draw_person(
    image: np.ndarray, box: np.ndarray, keypoints: np.ndarray, visible: np.ndarray, color: Color,
    radius: int = 2,
) -> None:  # fmt: skip
    """Draw a box (x1, y1, x2, y2) and the visible joints of ``mcpc16`` with their links into the
    image.
    """
    low, high = np.round(box).astype(int).reshape(2, 2).tolist()
    cv2.rectangle(image, low, high, color, 1, cv2.LINE_AA)
    for a, b in get_joint_set('mcpc16').link_indices:
        if visible[a] and visible[b]:
            draw_line(image, keypoints[[a, b]], color)
    for k in np.flatnonzero(visible):
        draw_joint(image, keypoints[k], color, radius)


def mark_pair(
    image: np.ndarray, boxes: np.ndarray, keypoints: np.ndarray, visible: np.ndarray, prob: float,
    label: int | None,
) -> None:  # fmt: skip
    """Draw both persons and the predicted order into the image.

    Args:
        boxes: (2, 4) x1, y1, x2, y2 px. keypoints: (2, K, 2) px, predicted.
        visible: (2, K) joints to draw.
        prob: predicted P(A nearer).
        label: 1 or 0; the frame is green where prob and label agree, red where not. None where it
            is not known.
    """
    for name, color, *person in zip('AB', PAIR_COLORS, boxes, keypoints, visible, strict=False):
        draw_person(image, *person, color)
        write(image, name, person[0][0] + 3, person[0][1] + 14, color, 0.5)
    height, width = image.shape[:2]
    verdict = UNKNOWN if label is None else RIGHT if (prob >= 0.5) == bool(label) else WRONG
    cv2.rectangle(image, (0, 0), (width - 1, height - 1), verdict, 5)
    cv2.rectangle(image, (0, height - 22), (width, height), verdict, -1)
    text = f'{"A" if prob >= 0.5 else "B"} nearer  {max(prob, 1 - prob):.2f}'
    write(image, text, 8, height - 7, scale=0.48)


def draw_pair(
    image: np.ndarray, boxes: np.ndarray, keypoints: np.ndarray, visible: np.ndarray, prob: float,
    label: int | None, size: int = 240,
) -> np.ndarray:  # fmt: skip
    """Return the square around both persons, (size, size, 3), marked as by :func:`mark_pair`."""
    tile, scale, offset = crop_square(image, boxes.reshape(-1, 2), size, 0.15)
    boxes = (boxes.reshape(2, 2, 2) * scale + offset).reshape(2, 4)
    mark_pair(tile, boxes, keypoints * scale + offset, visible, prob, label)
    return tile


def crop_square(
    image: np.ndarray, points: np.ndarray, size: int, margin: float
) -> tuple[np.ndarray, float, np.ndarray]:
    """Crop the square around points.

    Args:
        points: (N, 2) px. margin: on each side, share of their extent.

    Returns:
        (size, size, 3); scale and offset (2,): px of the crop = px * scale + offset.
    """
    low, high = points.min(axis=0), points.max(axis=0)
    scale = size / max(float((high - low).max()) * (1 + 2 * margin), 1.0)
    offset = size / 2 - (low + high) / 2 * scale
    matrix = np.array([[scale, 0, offset[0]], [0, scale, offset[1]]])
    flags = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return cv2.warpAffine(image, matrix, (size, size), flags=flags), scale, offset
