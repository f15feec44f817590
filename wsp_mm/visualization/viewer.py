# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""``viewer.html``: an inference document as one page that needs nothing else, also without a
network.

The page holds plotly's script, ours (``viewer.html`` beside this module is the template) and the
data as one json text. plotly draws three traces whatever the number of frames and persons; the
slider exchanges their coordinates, so a thousand frames cost a thousand lists of numbers and no
more.
"""

from __future__ import annotations

import base64
import html
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from wsp_mm.utils.files import write_text_atomic
from wsp_mm.visualization.overlay import check_picture, person_color, side_color
from wsp_mm.visualization.placement import place_persons, read_persons, read_skeleton

FORMAT = 'wsp_mm.inference'
TEMPLATE = Path(__file__).with_name('viewer.html')
PICTURE_SIDE = 480  # px, the longer side of a picture in the page
JPEG_QUALITY = 72


def write_viewer(
    path: str | Path,
    document: Mapping,
    images: Mapping[int, np.ndarray | bytes] | Sequence[np.ndarray | bytes | None] | None = None,
    title: str = 'Persons in camera space',
) -> Path:
    """Write the page; it appears whole or not at all.

    Args:
        path: of the page. document: ``wsp_mm.inference`` version 1.
        images: pictures by position in ``document['frames']``: (H, W, 3) uint8 BGR, which are
            scaled to at most ``PICTURE_SIDE`` px, or JPEG files as bytes, which are taken as they
            are. They are shown as given: hand over overlays to see overlays. Frames without one
            show none.
        title: heading.

    Raises:
        ValueError: another format or version; frames that do not fit ``info``; a picture of another
            kind or for a frame that is not there.
    """
    data = viewer_data(document, images)
    values = {
        'title': html.escape(title),
        'plotly': _plotly_script(),
        # "</script>" or "<!--" in a name would end the script: json allows to write < otherwise
        'data': json.dumps(data, allow_nan=False, separators=(',', ':'), ensure_ascii=True).replace(
            '<', '\\u003c'
        ),
    }
    page = []
    for part in TEMPLATE.read_text(encoding='utf-8').split('@@'):
        page.append(values.get(part, part))
    write_text_atomic(Path(path), ''.join(page))
    return Path(path)


def _plotly_script() -> str:
    from plotly.offline import get_plotlyjs

    script = get_plotlyjs()
    if '</script' in script.lower():
        raise RuntimeError(
            'this release of plotly.js cannot be put into a page: it holds "</script"'
        )
    return script


def viewer_data(document: Mapping, images: Mapping | Sequence | None = None) -> dict:
    """What the page's script reads: the frames' scenes in plain numbers, mm without decimals, None
    for unknown.

    Raises:
        ValueError: as :func:`write_viewer`.
    """
    if document.get('format') != FORMAT or document.get('version') != 1:
        raise ValueError(
            f'a viewer needs a document of format {FORMAT!r}, version 1; this one says '
            f'{document.get("format")!r}, version {document.get("version")!r}'
        )
    frames = list(document.get('frames') or ())
    info = document.get('info') or {}
    skeleton = read_skeleton(info) if frames or info else read_skeleton({'joint_names': ()})
    if images is None:
        images = {}
    elif not isinstance(images, Mapping):
        images = dict(enumerate(images))
    strange = [key for key in images if not 0 <= key < len(frames)]
    if strange:
        raise ValueError(
            f'pictures for frames {strange[:5]}, but there are frames 0 to {len(frames) - 1} only'
        )
    rows = []
    for i, record in enumerate(frames):
        picture = images.get(i)
        rows.append(
            {**_frame(record, skeleton), 'picture': None if picture is None else _data_uri(picture)}
        )
    return {
        'joints': list(skeleton.names),
        'links': [list(link) for link in skeleton.links],
        'jointColors': [_css(side_color(side)) for side in skeleton.sides],
        'frames': rows,
    }


def _frame(record: Mapping, skeleton) -> dict:
    scene = place_persons(record, skeleton)
    camera = record.get('camera') or None
    ranks = {
        int(identity): i + 1
        for i, identity in enumerate((record.get('order') or {}).get('ids') or ())
    }
    return {
        'frame': record.get('frame'),
        'time': _number(record.get('time'), 3),
        'file': None if record.get('file_name') is None else str(record['file_name']),
        'size': [record.get('width'), record.get('height')],
        'camera': None
        if camera is None
        else {
            'f': [_number(value, 1) for value in camera.get('f') or ()],
            'c': [_number(value, 1) for value in camera.get('c') or ()],
            'source': str(camera.get('source')),
        },
        'inCamera': scene.in_camera,
        'note': scene.note,
        'persons': [
            {
                'id': person.id,
                'color': _css(person_color(person.id)),
                'score': _number(person.score, 2),
                'depth': _number(person.root_depth),
                'rank': ranks.get(person.id),
            }
            for person in read_persons(record, len(skeleton))
        ],
        'poses': [
            {
                'id': identity,
                'color': _css(person_color(identity)),
                'points': [[_number(value) for value in point] for point in pose.tolist()],
            }
            for identity, pose in zip(scene.ids, scene.poses, strict=True)
        ],
    }


def _number(value: object, digits: int = 0) -> float | int | None:
    if value is None or not math.isfinite(float(value)):
        return None
    return round(float(value), digits) if digits else round(float(value))


def _css(color: tuple[int, int, int]) -> str:
    blue, green, red = color
    return f'#{red:02x}{green:02x}{blue:02x}'


def _data_uri(picture: np.ndarray | bytes) -> str:
    if isinstance(picture, (bytes, bytearray)):
        if not picture.startswith(b'\xff\xd8'):
            raise ValueError('a picture given as bytes must be a JPEG file')
        data = bytes(picture)
    else:
        check_picture(picture)
        scale = PICTURE_SIDE / max(picture.shape[:2])
        if scale < 1:
            size = [max(1, round(side * scale)) for side in picture.shape[1::-1]]
            picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
        data = cv2.imencode('.jpg', picture, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes()
    return f'data:image/jpeg;base64,{base64.b64encode(data).decode()}'
