# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""COCO's persons: boxes clipped once, by PoseNet's rule."""

import json

import numpy as np
import pytest
from PIL import Image

from wsp_mm.datasets.annotations import AnnotationError
from wsp_mm.datasets.coco import CocoPersonDataset
from wsp_mm.datasets.transforms.person import PersonCenterScale

SIZE = (200, 160)


def dataset(root, **kwargs):
    return CocoPersonDataset(ann_file='coco.json', data_root=str(root), **kwargs)


@pytest.fixture
def load(tmp_path):
    """``load(*boxes)`` writes one person for each box, and loads them."""

    def run(*boxes, **kwargs):
        person = dict(image_id=7, category_id=1, area=9, keypoints=[50, 50, 2] * 17)
        person |= dict(iscrowd=0, num_keypoints=17)
        annotations = [person | dict(id=i, bbox=box) for i, box in enumerate(boxes)]
        annotations[-1] |= kwargs
        content = dict(
            images=[dict(id=7, file_name='7.jpg', width=SIZE[0], height=SIZE[1])],
            annotations=annotations, categories=[dict(id=1, name='person')],
        )  # fmt: skip
        (tmp_path / 'coco.json').write_text(json.dumps(content))
        data = dataset(tmp_path, check_images=False)
        return [data.get_data_info(i) for i in range(len(data))]

    return run


def posenet(x, y, w, h):
    """Centre and side of the crop by PoseNet's rule, word by word."""
    x1, y1 = max(0, x), max(0, y)
    x2, y2 = min(SIZE[0] - 1, x1 + max(0, w - 1)), min(SIZE[1] - 1, y1 + max(0, h - 1))
    return [(x1 + x2) / 2, (y1 + y2) / 2], 1.25 * max(x2 - x1, y2 - y1)


# Inside; at the right and the lower edge; over both; over the left and the upper edge.
BOXES = [20, 30, 50, 100], [120.5, 30, 79.5, 40], [20, 60.25, 50, 99.75]
BOXES += [150, 100, 90, 90], [-10, -20, 80, 90]


@pytest.mark.parametrize('box', BOXES)
def test_crops_are_posenets(load, box):
    (item,) = load(box)
    with pytest.raises(ValueError, match='200 x 160'):  # an image of another size
        PersonCenterScale().transform(item | dict(img_shape=(80, 100)))
    out = PersonCenterScale().transform(item | dict(img_shape=SIZE[::-1]))
    centre, side = posenet(*box)
    np.testing.assert_allclose(out['bbox_center'], [centre], atol=1e-4)
    np.testing.assert_allclose(out['bbox_scale'], [[side] * 2], atol=1e-4)


def test_boxes_without_area_are_left_out_and_counted(load, log):
    good = [20, 30, 50, 100]
    bad = [[30, 30, 1, 1], [199.5, 20, 30, 40], [300, 20, 30, 40], [20, 30, 0, 40], [20, 30, -5, 4]]
    assert [item['id'] for item in load(*bad, good)] == [5]
    assert any('left out 5 persons' in text and 'coco.json' in text for text in log)
    log.clear()
    assert len(load(good, [30, 30, 1, 1], num_keypoints=0)) == 1 and not log  # nobody anyway
    assert len(load(good, good, iscrowd=1)) == 1


@pytest.mark.parametrize('name', ['7.jpg', 'train2017/7.jpg'])
def test_the_first_image_is_looked_at(load, tmp_path, name):
    load([20, 30, 50, 100])
    path = tmp_path / 'train2017/7.jpg'
    path.parent.mkdir()
    content = json.loads((tmp_path / 'coco.json').read_text())
    content['images'][0]['file_name'] = name
    (tmp_path / 'coco.json').write_text(json.dumps(content))

    prefix = dict(img='train2017/')
    with pytest.raises(AnnotationError, match=r'7\.jpg'):
        dataset(tmp_path, data_prefix=prefix)
    Image.new('RGB', SIZE).save(path)
    assert dataset(tmp_path, data_prefix=prefix).get_data_info(0)['img_path'] == str(path)
    Image.new('RGB', (100, 80)).save(path)
    with pytest.raises(AnnotationError, match=r'100 x 80 .* 200 x 160'):
        dataset(tmp_path, data_prefix=prefix)
