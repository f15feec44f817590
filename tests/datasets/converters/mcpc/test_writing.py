# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import numpy as np
import pytest

from wsp_mm.datasets.converters.mcpc.coco_style import read_coco_style
from wsp_mm.datasets.converters.mcpc.select import measure
from wsp_mm.datasets.converters.mcpc.writing import make_records


@pytest.fixture
def records(tree, make, strict):
    def build(people, images=None, ankles='any'):
        content = make.coco_file(images or [make.image(2, 'b.jpg'), make.image(1, 'a.jpg')], people)
        data = read_coco_style(
            tree.write('a.json', content), 'coco', 'train', 'coco17', 'train2017/', strict
        )
        part = measure(data, 'lowest', 0, strict)
        part.scale, part.scale_source = np.full(len(data), 12.5), np.full(len(data), 'face')
        return make_records([part], ankles)

    return build


def test_order_and_ids_do_not_depend_on_the_file(records, make):
    people = [make.person(n, 1 + n % 2, x=100 + 30 * n, ankles=(300 + n, None)) for n in range(6)]
    first, again = records(people), records(people[::-1])
    dumped = [[(r.image, list(r.annotations())) for r in found] for found in (first, again)]
    assert dumped[0] == dumped[1]
    assert [r.image['file_name'] for r in first] == ['train2017/a.jpg', 'train2017/b.jpg']
    assert [r.image['id'] for r in first] == [1, 2]
    annotations = [a for r in first for a in r.annotations()]
    assert [a['id'] for a in annotations] == [1, 2, 3, 4, 5, 6]
    assert [a['source_id'] for a in annotations] == [0, 2, 4, 1, 3, 5]
    assert [a['image_id'] for a in annotations] == [1] * 3 + [2] * 3


def test_an_annotation(records, make):
    people = [
        make.person(1, 1, ankles=(300, 310), bbox=[-10, 50, 60.5, 280]),
        make.person(2, 1, area=...),
    ]
    first, second = records(people)[0].annotations()
    assert (
        first['bbox'] == [0, 50, 50.5, 280] and first['area'] == 5000 and second['area'] == 60 * 280
    )
    assert len(first['keypoints']) == 48 and first['keypoints'][15:18] == [100.0, 300.0, 2]
    assert first['keypoints'][27:30] == [0, 0, 0]  # COCO has no head_top
    assert first['num_keypoints'] == 14 and first['iscrowd'] == 0 and first['category_id'] == 1
    assert (first['ground_y'], first['scale'], first['scale_source']) == (310, 12.5, 'face')
    assert (first['source'], first['source_id']) == ('coco', 1)
    assert all(isinstance(v, int) for v in first['keypoints'][2::3])


def test_other_ankles_are_those_of_persons_left_out(records, make):
    people = [
        make.person(1, 1, ankles=(300, 310)),
        make.person(2, 1, ankles=(320, 330), x=300),
        make.person(3, 1, ankles=(200, None), x=400),
        make.person(4, 1, ankles=(250, 260), x=500, iscrowd=1),
    ]
    assert [ankle[:2] for ankle in records(people)[0].image['other_ankles']] == [
        [500, 250],
        [500, 260],
    ]
    strict = records(people, ankles='both')[0].image['other_ankles']
    assert [ankle[:2] for ankle in strict] == [[400, 200], [500, 250], [500, 260]]


def test_shank_is_knee_to_ankle_of_the_same_side_or_null(records, make):
    from wsp_mm.structures.keypoints import get_joint_set

    kit = get_joint_set('coco17')
    hidden = make.person(3, 1, ankles=(200, 200), x=400, iscrowd=1)
    left, right = (3 * kit.index(f'{side}_knee') for side in ('left', 'right'))
    hidden['keypoints'][left : left + 3] = [403, 160, 2]
    hidden['keypoints'][right : right + 3] = [0, 0, 0]
    found = records([make.person(1, 1), make.person(2, 1), hidden])[0].image['other_ankles']
    assert found == [[400, 200, pytest.approx(np.hypot(3, 40), abs=1e-3)], [400, 200, None]]
