# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Persons as COCO's keypoint results and as a table, against values written out by hand."""

import csv
import json

import pytest
from pycocotools.coco import COCO

from wsp_mm.apis.results import write_coco, write_csv
from wsp_mm.structures.keypoints import get_joint_set

K = 18
INFO = dict(joint_set='h36m18', joint_names=list(get_joint_set('h36m18').joints))
#: Of COCO's joints the one of Human3.6M; it has neither eyes nor ears.
FROM_H36M = [9, *[None] * 4, 11, 14, 12, 15, 13, 16, 4, 1, 5, 2, 6, 3]


def person(number=0, **more):
    """Joint k is at (k, 2 k) px, with a score of 0.5 for the first nine and 1 for the others."""
    known = dict(
        keypoints_img=[[k, 2.5 * k] for k in range(K)],
        keypoint_scores=[0.5] * 9 + [1.0] * 9,
        keypoints_rel=[10.0 * k for k in range(K)],
        keypoints_cam=None,
    )
    return dict(id=number, bbox=[1.0, 2.0, 30.0, 40.0], bbox_score=0.8) | known | more


def frames(*names, **more):
    rows = [dict(frame=i, file_name=name, width=64, height=48) for i, name in enumerate(names)]
    return [dict(row, persons=[person(**more)]) for row in rows]


def loaded(folder, records):
    """What pycocotools reads: the images, and the results."""
    results, images = write_coco(folder, lambda: records, INFO)
    coco = COCO(images)
    return coco, coco.loadRes(str(results))


def test_coco(tmp_path):
    coco, results = loaded(tmp_path, frames('a/000000000785.jpg', '12.png'))
    assert {i: image['file_name'] for i, image in coco.imgs.items()} == {
        785: 'a/000000000785.jpg',
        12: '12.png',
    }
    (first,) = results.loadAnns(results.getAnnIds(imgIds=785))
    expected = []
    for k in FROM_H36M:
        expected += [0, 0, 0] if k is None else [k, 2.5 * k, 0.5 if k < 9 else 1]
    assert first['keypoints'] == expected
    assert first['score'] == 0.6  # 0.8 times the mean of 0.5 and 1
    assert (first['bbox'], first['category_id']) == ([1, 2, 30, 40], 1)


@pytest.mark.parametrize(
    'names', [('a.jpg', '7.jpg'), ('a/7.jpg', 'b/07.jpg'), ('v.mp4#0', 'v.mp4#1')]
)
def test_ids_of_names_that_are_no_different_numbers(names, tmp_path):
    coco, results = loaded(tmp_path, frames(*names))
    assert [coco.imgs[i]['file_name'] for i in (0, 1)] == list(names)
    assert [row['image_id'] for row in results.dataset['annotations']] == [0, 1]


def test_table(tmp_path):
    cam = [[k + 0.5, -k, 3000 + k] for k in range(K)]
    records = frames('a, b.jpg', 'bad\udcff.jpg')
    records[0]['persons'].append(person(1, keypoints_rel=None, keypoints_cam=cam))
    (path,) = write_csv(tmp_path, lambda: records, INFO)
    with open(path, encoding='utf-8', newline='') as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 * K
    assert '|'.join(rows[9].values()) == 'a, b.jpg|0|Nose|9|22.5|1.0|90.0|||'
    assert '|'.join(rows[K + 1].values()) == 'a, b.jpg|1|R_Hip|1|2.5|0.5||1.5|-1|3001'
    assert rows[-1]['file_name'] == 'bad\\udcff.jpg'


def test_persons_without_keypoints_and_runs_without_persons(tmp_path):
    records = frames('a.jpg', keypoints_img=None, keypoint_scores=None)
    for found in (records, []):
        results, images = write_coco(tmp_path, lambda found=found: found, INFO)
        assert json.loads(results.read_text()) == []
        assert len(json.loads(images.read_text())['images']) == len(found)
        (table,) = write_csv(tmp_path, lambda found=found: found, INFO)
        assert len(table.read_text().splitlines()) == 1
