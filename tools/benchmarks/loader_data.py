# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Annotation files of any length whose records all name one and the same picture.

For what depends on the number of records alone: the data sets load them as they load real ones, and
every sample can be drawn, picture included.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

PICTURE = 'picture.jpg'
#: Width and height px of each set's picture.
SIZES = {'mcpc': (640, 480), 'h36m': (1000, 1000), 'muco': (512, 512)}
PERSONS = 3  # in each picture of MCPC and MuCo
_MUCO_PELVIS, _FOCAL = 14, 600.0


def write_picture(path: Path, size: tuple[int, int]) -> None:
    """A JPEG of soft noise, which costs about what a photograph costs to decode."""
    width, height = size
    coarse = np.random.default_rng(0).integers(0, 255, (height // 8, width // 8, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC))


def write_mcpc(root: Path, rows: int) -> dict:
    """MCPC's training json, ``rows`` pictures of three persons; returns the data set's
    arguments.
    """
    width, height = SIZES['mcpc']
    rng = np.random.default_rng(0)

    def annotations() -> Iterable[dict]:
        for i in range(rows * PERSONS):
            w, h = rng.uniform(60, 150), rng.uniform(150, 300)
            x, y = rng.uniform(0, width - w), rng.uniform(0, height - h)
            joints = np.column_stack(
                [rng.uniform((x, y), (x + w, y + h), (16, 2)), np.full(16, 2)]
            ).round(3)
            yield dict(
                id=i + 1, image_id=i // PERSONS + 1, category_id=1, iscrowd=0, bbox=[x, y, w, h], area=w * h,
                keypoints=joints.ravel().tolist(), num_keypoints=16, source='coco', source_id=i,
                ground_y=float(max(joints[0, 1], joints[5, 1])), scale=h / 8, scale_source='head',
            )  # fmt: skip

    images = (
        dict(id=i + 1, file_name=PICTURE, source='coco', width=width, height=height, source_id=i)
        for i in range(rows)
    )
    _dump(root / 'mcpc_train.json', images, annotations())
    write_picture(root / 'coco' / PICTURE, SIZES['mcpc'])
    return dict(type='MCPCDataset', data_root=str(root), ann_file='mcpc_train.json')


def write_muco(root: Path, rows: int) -> dict:
    """MuCo's json, ``rows`` persons (three a picture, far apart); returns the data set's
    arguments.
    """
    side = SIZES['muco'][0]
    rng = np.random.default_rng(0)

    def annotations() -> Iterable[dict]:
        for i in range(rows):
            joints = rng.normal(0, 250, (21, 3)).clip(-600, 600)
            joints += (1000.0 * (i % PERSONS - 1), 0, 4000) - joints[_MUCO_PELVIS]
            pixels = joints[:, :2] / joints[:, 2:] * _FOCAL + side / 2
            low, high = pixels.min(axis=0), pixels.max(axis=0)
            yield dict(
                id=i, image_id=i // PERSONS, bbox=[*low.tolist(), *(high - low).tolist()],
                keypoints_cam=joints.tolist(), keypoints_img=pixels.tolist(), keypoints_vis=[True] * 21,
            )  # fmt: skip

    images = (
        dict(id=i, file_name=PICTURE, width=side, height=side, f=[_FOCAL] * 2, c=[side / 2] * 2)
        for i in range(-(-rows // PERSONS))
    )
    _dump(root / 'MuCo-3DHP.json', images, annotations())
    write_picture(root / PICTURE, SIZES['muco'])
    return dict(
        type='MuCoDataset', data_root=str(root), ann_file='MuCo-3DHP.json', data_prefix=dict(img='')
    )


def write_h36m(root: Path, rows: int) -> dict:
    """Human3.6M's index of ``rows`` frames; returns the data set's arguments."""
    from bench_h36m_index import SUBJECTS, write_annotations

    from wsp_mm.datasets.converters.mcpc.records import Findings
    from wsp_mm.datasets.h36m_3dmppe import read_3dmppe
    from wsp_mm.datasets.h36m_index import write_index

    write_annotations(root, rows)
    table = read_3dmppe(root / 'human36m' / 'annotations', SUBJECTS, (5,), Findings())
    # The annotated names are kept in length: it is they that make up much of the index.
    name = b'./' * ((table.rows.file_name.dtype.itemsize - len(PICTURE)) // 2) + PICTURE.encode()
    table.rows = replace(table.rows, file_name=np.full(len(table.rows), name))
    write_index(root / 'human36m' / 'h36m.index', table, root)
    write_picture(root / 'human36m' / 'images' / PICTURE, SIZES['h36m'])
    return dict(type='H36MImageDataset', data_root=str(root), layout='index')


def _dump(path: Path, images: Iterable[dict], annotations: Iterable[dict]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open('w') as file:
        for i, (name, records) in enumerate((('images', images), ('annotations', annotations))):
            file.write(f'{"," if i else "{"}"{name}":[')
            for k, record in enumerate(records):
                file.write(('\n' if k == 0 else ',\n') + json.dumps(record))
            file.write(']')
        file.write('}')


WRITERS = {'mcpc': write_mcpc, 'h36m': write_h36m, 'muco': write_muco}
