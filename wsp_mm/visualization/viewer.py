# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""``viewer.html``: the frames of an inference as one page that needs nothing else, no network.

The page holds plotly's script (4.8 MB), ours (``viewer.html`` beside this module is the template)
and the data as one json text: numbers, and an image a frame, into which the page draws the persons.
"""

import base64
import html
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from wsp_mm.utils.files import write_text_atomic
from wsp_mm.visualization.draw import Skeleton, read_persons, skeleton_of
from wsp_mm.visualization.scene3d import grid_lines, place_persons

TEMPLATE = Path(__file__).with_name('viewer.html')


def write_viewer(
    path: str | Path,
    info: Mapping,
    records: Sequence[Mapping],
    images: Mapping[int, bytes] | None = None,
    title: str = 'Persons in 3D',
) -> Path:
    """Write the page; it appears whole or not at all.

    Args:
        path: of the page.
        info: of the run. records: of the frames.
        images: frame number -> JPEG file of the whole image, at any scale; it is not made smaller
            here. Frames without one show the persons alone.
        title: of the page.

    Raises:
        ValueError: records that do not fit ``info``.
    """
    from plotly.offline import get_plotlyjs

    data = json.dumps(
        viewer_data(info, records, images or {}), allow_nan=False, separators=(',', ':')
    )
    values = {
        'title': html.escape(title),
        'plotly': get_plotlyjs(),
        # "</script>" or "<!--" in a name would end the script; json allows to write < otherwise.
        'data': data.replace('<', '\\u003c'),
    }
    parts = TEMPLATE.read_text(encoding='utf-8').split('@@')
    write_text_atomic(path, ''.join(values.get(part, part) for part in parts))
    return Path(path)


def viewer_data(info: Mapping, records: Sequence[Mapping], images: Mapping[int, bytes]) -> dict:
    """Return what the page's script reads: plain numbers, None for unknown.

    Points, grid and box are in the plot's axes, m: x right, y away from the camera, z up.
    """
    skeleton = skeleton_of(info['joint_set'])
    return {
        'joints': list(skeleton.names),
        'path': [k for link in skeleton.links for k in (*link, None)],  # one broken line a person
        'frames': [_frame(record, skeleton, images.get(record['frame'])) for record in records],
    }


def _frame(record: Mapping, skeleton: Skeleton, image: bytes | None) -> dict:
    placed = place_persons(record, skeleton)
    poses = {p.id: pose for p, pose in zip(placed.persons, placed.poses, strict=True)}
    low, high = placed.box(camera=True)
    jpeg = None if image is None else f'data:image/jpeg;base64,{base64.b64encode(image).decode()}'
    return {
        'name': record['file_name'] or f'frame {record["frame"]}',
        'size': [record['width'], record['height']],
        'image': jpeg,
        'inCamera': placed.in_camera,
        'note': placed.note,
        'box': np.sort(_plot(np.stack([low, high])), axis=0).tolist(),
        'grid': [_plain(values / 1000, 3) for values in grid_lines(low, high)],
        'persons': [
            {
                'number': person.number,
                'id': person.id,
                'color': '#{2:02x}{1:02x}{0:02x}'.format(*person.color),
                'depth': _plain(person.root_depth / 1000, 2),
                'box': _plain(person.box, 1),
                'pixels': _plain(person.pixels, 1),
                'points': _plot(poses[person.id]) if person.id in poses else None,
            }
            for person in read_persons(record, len(skeleton))
        ],
    }


def _plot(points: np.ndarray) -> list:
    """Turn (N, 3) mm of the camera's frame into the plot's axes."""
    return _plain(points[:, [0, 2, 1]] * (0.001, 0.001, -0.001), 3)


def _plain(value: Any, digits: int) -> Any:
    """Return numbers or nested lists of them rounded, None for nan."""
    array = np.asarray(value, dtype=np.float64)
    if array.ndim:
        return [_plain(item, digits) for item in array]
    return round(float(array), digits) + 0.0 if np.isfinite(array) else None
