# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""``viewer.html``: the frames of an inference as one page that needs nothing else, no network.

The page holds plotly's script, ours (``viewer.html`` beside this module is the template) and the
data as one json text. plotly draws three traces whatever the number of frames and persons; the
slider exchanges their coordinates, so a thousand frames cost a thousand lists of numbers and no
more.
"""

import base64
import html
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from wsp_mm.utils.files import write_text_atomic
from wsp_mm.visualization.draw import (
    SIDE_COLORS,
    Color,
    Skeleton,
    person_color,
    read_persons,
    skeleton_of,
)
from wsp_mm.visualization.scene3d import place_persons

TEMPLATE = Path(__file__).with_name('viewer.html')


def write_viewer(
    path: str | Path,
    info: Mapping,
    records: Sequence[Mapping],
    images: Mapping[int, bytes] | None = None,
    title: str = 'Persons in camera space',
) -> Path:
    """Write the page; it appears whole or not at all.

    Args:
        path: of the page.
        info: of the run. records: of the frames.
        images: frame number -> JPEG file, shown as it is. Frames without one show none.
        title: heading.

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
    """Return what the page's script reads: the scenes in plain numbers, mm, None for unknown."""
    skeleton = skeleton_of(info['joint_set'])
    return {
        'joints': list(skeleton.names),
        'links': [list(link) for link in skeleton.links],
        'jointColors': [_css(SIDE_COLORS[side]) for side in skeleton.sides],
        'frames': [_frame(record, skeleton, images.get(record['frame'])) for record in records],
    }


def _frame(record: Mapping, skeleton: Skeleton, image: bytes | None) -> dict:
    placed, camera = place_persons(record, skeleton), record['camera']
    ranks = {identity: i + 1 for i, identity in enumerate(record.get('order', {}).get('ids', ()))}
    jpeg = None if image is None else f'data:image/jpeg;base64,{base64.b64encode(image).decode()}'
    return {
        'frame': record['frame'],
        'time': _plain(record['time'], 3),
        'file': record['file_name'],
        'size': [record['width'], record['height']],
        'camera': camera and {'f': _plain(camera['f'], 1), 'source': camera['source']},
        'image': jpeg,
        'inCamera': placed.in_camera,
        'note': placed.note,
        'persons': [
            {
                'id': person.id,
                'color': _css(person_color(person.id)),
                'score': _plain(person.score, 2),
                'depth': _plain(person.root_depth),
                'rank': ranks.get(person.id),
            }
            for person in read_persons(record, len(skeleton))
        ],
        'poses': [
            {'id': identity, 'color': _css(person_color(identity)), 'points': _plain(pose)}
            for identity, pose in zip(placed.ids, placed.poses, strict=True)
        ],
    }


def _plain(value: Any, digits: int = 0) -> Any:
    """Return numbers or nested lists of them rounded, None for None and nan."""
    array = np.asarray(value, dtype=np.float64)
    if array.ndim:
        return [_plain(item, digits) for item in array]
    if not np.isfinite(array):
        return None
    return round(float(array), digits) if digits else round(float(array))


def _css(color: Color) -> str:
    return '#{2:02x}{1:02x}{0:02x}'.format(*color)
