# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import json

import cv2
import numpy as np
import pytest

from wsp_mm.datasets.box_files import write_boxes
from wsp_mm.datasets.converters.mcpc.records import BadDataError
from wsp_mm.structures.keypoints import get_joint_set
from wsp_mm.visualization.qualitative import (
    boxes_for,
    choose_pictures,
    png_as,
    qualitative_sheet,
    sheet_row,
)


@pytest.fixture
def coco(tmp_path):
    """``coco()`` writes six pictures: picture i has i persons, 60 px wide and 100 + 10 k px
    high.
    """

    def write(**changes):
        annotations = [
            dict(
                id=10 * i + k, image_id=i, category_id=1, iscrowd=0, bbox=[5.0, 5, 60, 100 + 10 * k]
            )
            for i in range(6)
            for k in range(i)
        ]
        annotations.append(
            dict(id=900, image_id=0, category_id=1, iscrowd=1, bbox=[0, 0, 300, 300])
        )
        annotations.append(
            dict(id=901, image_id=0, category_id=18, iscrowd=0, bbox=[0, 0, 300, 300])
        )
        annotations.append(dict(id=902, image_id=0, category_id=1, iscrowd=0, bbox=[0, 0, 9, 9]))
        images = [
            dict(id=i, file_name=f'val/{i:012d}.jpg', width=320, height=320) for i in range(6)
        ]
        path = tmp_path / 'ann.json'
        path.write_text(json.dumps({**dict(images=images, annotations=annotations), **changes}))
        return path

    return write


def test_labelled_persons_largest_first_no_crowds_no_dogs_no_specks(coco):
    choices = choose_pictures(*boxes_for(coco(), None), count=99, seed=0, max_persons=2)
    assert [choice.image_id for choice in choices] == [1, 2, 3, 4, 5]
    assert (
        choices[3].boxes[:, 3].tolist() == [130, 120]
        and choices[0].file_name == 'val/000000000001.jpg'
    )


def test_the_seed_chooses(coco):
    names, found = boxes_for(coco(), None)
    draws = {
        seed: [c.image_id for c in choose_pictures(names, found, 2, seed)] for seed in range(20)
    }
    assert draws[3] == [c.image_id for c in choose_pictures(names, found, 2, 3)]
    assert all(len(draw) == 2 and draw == sorted(draw) for draw in draws.values())
    assert {image for draw in draws.values() for image in draw} == {1, 2, 3, 4, 5}


def test_detected_persons(coco, tmp_path):
    boxes = tmp_path / 'boxes.json'
    write_boxes(
        boxes,
        [(0, 'x'), (1, 'y')],
        {0: np.array([[1.0, 1, 90, 90], [1, 1, 80, 80]])},
        {0: np.array([0.9, 0.2])},
    )
    choices = choose_pictures(*boxes_for(coco(), boxes), count=9, seed=0)
    assert [(c.image_id, c.boxes.tolist()) for c in choices] == [(0, [[1, 1, 90, 90]])]
    write_boxes(boxes, [(77, 'x')], {77: np.array([[1.0, 1, 90, 90]])}, {77: np.array([0.9])})
    with pytest.raises(BadDataError, match='image ids are different'):
        boxes_for(coco(), boxes)


def test_files_of_another_kind(coco, tmp_path):
    with pytest.raises(BadDataError, match='no list "images"'):
        boxes_for(coco(images=None), None)
    with pytest.raises(
        BadDataError, match=r'annotations\[0\] \(id 7\): it has no bbox of 4 numbers'
    ):
        boxes_for(coco(annotations=[dict(id=7, image_id=1)]), None)
    with pytest.raises(BadDataError, match='no such file'):
        boxes_for(tmp_path / 'gone.json', None)


@pytest.fixture
def muco_record():
    joints = get_joint_set('muco21')
    info = dict(
        joint_set='muco21', joint_names=list(joints.joints), skeleton_links=list(joints.links)
    )
    rng = np.random.default_rng(0)

    def person(identity, x):
        cam = rng.normal(0, 300, (21, 3)) + np.array((x, 0, 4000))
        return dict(
            id=identity, bbox=[200 + x / 10, 50, 100, 200], bbox_score=1.0, root_depth=4000.0,
            keypoints_img=cam[:, :2] / cam[:, 2:] * 500 + 250, keypoints_rel=cam[:, 2] - 4000,
            keypoints_cam=cam,
        )  # fmt: skip

    def record(*places):
        persons = [person(i, x) for i, x in enumerate(places)]
        return dict(frame=0, file_name='d/$a_1$.jpg', width=500, height=500, persons=persons,
                    camera=dict(f=[500, 500], c=[250, 250], source='given'))  # fmt: skip

    return info, record


def test_a_row_has_everybody(muco_record):
    info, record = muco_record
    picture = np.zeros((500, 500, 3), np.uint8)
    row = sheet_row(picture, record(-900, 0, 900), info)
    assert len(row.poses) == 3 and [style['label'] for _, style in row.poses] == ['#0', '#1', '#2']
    assert row.title == '$a_1$.jpg: camera space' and row.picture.shape == (480, 480, 3)
    assert sheet_row(picture, {**record(0), 'camera': None}, info).title.endswith(
        'root-relative, side by side'
    )


def test_the_sheet_has_ink_in_every_panel(muco_record):
    info, record = muco_record
    pairs = [
        (np.zeros((500, 400, 3), np.uint8), record(-900, 900)),
        (np.zeros((50, 400, 3), np.uint8), record()),
    ]
    png = qualitative_sheet(pairs, info)
    sheet = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR).astype(int)
    colored = sheet.max(axis=2) - sheet.min(axis=2) > 80
    h, w = colored.shape
    rows = colored[: h // 2], colored[h // 2 :]
    counts = [[int(row[:, c * w // 3 : (c + 1) * w // 3].sum()) for c in range(3)] for row in rows]
    assert min(counts[0]) > 50 and max(counts[1]) == 0
    jpeg = cv2.imdecode(np.frombuffer(png_as(png, '.JPG'), np.uint8), cv2.IMREAD_COLOR)
    assert jpeg.shape == sheet.shape and png_as(png, '.png') == png
    with pytest.raises(ValueError, match=r'as \.png or \.jpg, not \.gif'):
        png_as(png, '.gif')
    with pytest.raises(ValueError, match='at least one person'):
        qualitative_sheet([], info)
