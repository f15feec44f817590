# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import numpy as np
import pytest

from wsp_mm.datasets.converters.mcpc.select import (
    annotation_records,
    clip_boxes,
    eligible,
    image_record,
    keep_images,
    measure,
)
from wsp_mm.datasets.converters.mcpc.sources import read_coco_style
from wsp_mm.structures.keypoints import get_joint_set


@pytest.fixture
def measured(tree, make, strict):
    """``measured(people)`` is a measured table of COCO persons on images 1 and 2."""

    def measured(people, images=None, split='train', findings=strict, ground='lowest', head=None):
        images = images or [make.image(2, 'b.jpg'), make.image(1, 'a.jpg')]
        path = tree.write('a.json', make.coco_file(images, people))
        table = read_coco_style(path, 'coco', split, 'coco17', '', findings)
        if head is not None:
            table.persons['head_length'][:] = head
        measure(table, ground, findings)
        return table

    return measured


def test_clip_boxes_by_hand():
    boxes = np.array([[-10, -20, 50, 60], [600, 400, 100, 100], [5, 6, 7, 8]], dtype=float)
    size = np.array([[640, 480], [640, 480], [np.inf, np.inf]])
    expected = [[0, 0, 40, 40], [600, 400, 40, 80], [5, 6, 7, 8]]
    np.testing.assert_allclose(clip_boxes(boxes, size), expected)


def test_eligibility_under_both_rules(measured, make):
    people = [
        make.person(1, 1, ankles=(300, 310)),
        make.person(2, 1, ankles=(320, None)),
        make.person(3, 1, ankles=(None, None)),
        make.person(4, 1, ankles=(330, 340), iscrowd=1),
        make.person(5, 2, ankles=(300, 300)),
        make.person(6, 2, ankles=(None, 301)),
    ]
    table = measured(people)
    assert eligible(table, 'any').tolist() == [True, True, False, False, True, True]
    assert eligible(table, 'both').tolist() == [True, False, False, False, True, False]
    np.testing.assert_array_equal(table.persons['ground_y'], [310, 320, np.nan, 340, 300, 301])
    kept = keep_images(table, 'any')
    assert [(k.image.source_id, k.persons.tolist(), k.num_pairs) for k in kept] == [
        (1, [0, 1], 1), (2, [4, 5], 1)
    ]  # fmt: skip
    assert [(k.id, k.first_id) for k in kept] == [(1, 1), (2, 3)]
    assert keep_images(table, 'both') == []
    table.images[1].gone = True
    assert [k.image.source_id for k in keep_images(table, 'any')] == [2]
    assert measured(people[:1], ground='mean').persons['ground_y'].tolist() == [305]


@pytest.mark.parametrize(
    'box', [[700, 10, 50, 50], [10, -60, 50, 50], [10, 10, 0, 5], [10, 10, -5, 5]]
)
def test_boxes_outside_the_image(measured, make, lenient, box, refused):
    people = [make.person(1, 1), make.person(2, 1, bbox=box)]
    with refused('box outside the image', r'a\.json: person 2'):
        measured(people)
    assert measured(people, findings=lenient).persons['id'].tolist() == [1]
    assert lenient.counts() == {'box outside the image': 1}


def test_unknown_size_clips_what_it_can_and_says_so(measured, make, strict):
    images = [make.image(1, width=..., height=...)]
    table = measured([make.person(1, 1, bbox=[-10, 5, 5000, 5000])], images)
    np.testing.assert_allclose(table.persons['bbox'], [[0, 5, 4990, 5000]])
    assert list(strict.unchecked.values()) == [1]


@pytest.mark.parametrize(
    ('changes', 'why'),
    [
        (dict(keypoints=[0, 0, 0] * 15 + [50, 300, 2, 0, 0, 0], bbox=...), 'joints without extent'),
        (dict(bbox=[100, 479.4, 60, 80]), 'less than a pixel'),
        (dict(bbox=[639.9997, 100, 50, 300]), 'less than a pixel'),
    ],
)
def test_persons_without_a_box_or_scale_are_not_eligible(measured, make, changes, why):
    table = measured([make.person(1, 1), make.person(2, 1, **changes)])
    assert eligible(table, 'any').tolist() == [True, False]
    ((key, count),) = table.dropped.items()
    assert key[:2] == ('coco', 'train') and why in key[2] and count == 1


def test_head_length_that_the_source_gives(measured, make):
    for length, expected in ((40, 40), (200, np.nan)):  # of a box of 280 px: no head
        table = measured([make.person(1, 1)], head=length)
        np.testing.assert_equal(table.persons['length_head'], [expected])


def test_an_annotation(measured, make):
    one = make.person(1, 1, 100, (300, 310), bbox=[-10, 50, 60.5, 280])
    table = measured([one, make.person(2, 1, area=...)])
    table.persons |= dict(scale=np.full(2, 12.5), scale_source=np.full(2, 'face'))
    first, second = annotation_records(table, keep_images(table, 'any')[0])
    assert first['bbox'] == [0, 50, 50.5, 280]
    assert (first['area'], second['area']) == (5000, 60 * 280)
    assert len(first['keypoints']) == 48 and first['keypoints'][15:18] == [100.0, 300.0, 2]
    assert first['keypoints'][27:30] == [0, 0, 0]  # COCO has no head_top
    assert first['num_keypoints'] == 14 and first['iscrowd'] == 0 and first['category_id'] == 1
    assert (first['ground_y'], first['scale'], first['scale_source']) == (310, 12.5, 'face')
    assert (first['source'], first['source_id']) == ('coco', 1)
    assert all(isinstance(v, int) for v in first['keypoints'][2::3])


def test_other_ankles_are_those_of_persons_left_out(measured, make):
    people = [
        make.person(1, 1, ankles=(300, 310)),
        make.person(2, 1, ankles=(320, 330), x=300),
        make.person(3, 1, ankles=(200, None), x=400),
        make.person(4, 1, ankles=(250, 260), x=500, iscrowd=1),
    ]
    kit = get_joint_set('coco17')
    left, right = (3 * kit.index(f'{side}_knee') for side in ('left', 'right'))
    people[3]['keypoints'][left : left + 3] = [503, 210, 2]
    people[3]['keypoints'][right : right + 3] = [0, 0, 0]
    table = measured(people)

    def others(ankles):
        return image_record(table, keep_images(table, ankles)[0])['other_ankles']

    # x, y and the distance to the knee of the same side, where it is labelled
    crowd = [[500, 250, pytest.approx(np.hypot(3, 40), abs=1e-3)], [500, 260, None]]
    assert others('any') == crowd
    assert [xy for *xy, _ in others('both')] == [[400, 200], [500, 250], [500, 260]]
