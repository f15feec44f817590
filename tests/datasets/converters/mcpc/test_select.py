# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsp_mm.datasets.converters.mcpc.coco_style import read_coco_style
from wsp_mm.datasets.converters.mcpc.records import BadDataError
from wsp_mm.datasets.converters.mcpc.select import clip_boxes, joint_boxes, measure

SIDE = st.floats(-500, 1500)


def measured(tree, make, findings, people, images=None, split='train', **options):
    content = make.coco_file(images or [make.image(1), make.image(2)], people)
    path = tree.write('a.json', content)
    data = read_coco_style(path, 'coco', split, 'coco17', '', findings)
    return measure(data, options.get('ground', 'lowest'), options.get('min_gap_px', 0.0), findings)


def test_joint_boxes_by_hand():
    keypoints = np.array([[[10, 20], [30, 120], [999, 999]], [[5, 5], [9, 9], [9, 9]]], dtype=float)
    visible = np.array([[1, 2, 0], [1, 0, 0]])
    # 20 x 100 around (20, 70), times 1.2; one joint has no extent.
    np.testing.assert_allclose(joint_boxes(keypoints, visible), [[8, 10, 24, 120], [5, 5, 0, 0]])


def test_clip_boxes_by_hand():
    boxes = np.array([[-10, -20, 50, 60], [600, 400, 100, 100], [5, 6, 7, 8]], dtype=float)
    width, height = np.array([640, 640, np.inf]), np.array([480, 480, np.inf])
    np.testing.assert_allclose(
        clip_boxes(boxes, width, height), [[0, 0, 40, 40], [600, 400, 40, 80], [5, 6, 7, 8]]
    )


@given(st.tuples(SIDE, SIDE, SIDE, SIDE))
def test_clipped_boxes_lie_inside_or_have_no_area(box):
    x, y, w, h = clip_boxes(np.array([box]), np.array([640.0]), np.array([480.0]))[0]
    if w > 0 and h > 0:
        assert x >= 0 and y >= 0 and x + w <= 640 + 1e-9 and y + h <= 480 + 1e-9


def test_eligibility_under_both_rules(tree, make, strict):
    people = [
        make.person(1, 1, ankles=(300, 310)),
        make.person(2, 1, ankles=(320, None)),
        make.person(3, 1, ankles=(None, None)),
        make.person(4, 1, ankles=(330, 340), iscrowd=1),
        make.person(5, 2, ankles=(300, 300)),
        make.person(6, 2, ankles=(None, 301)),
    ]
    found = measured(tree, make, strict, people)
    assert found.eligible('any').tolist() == [True, True, False, False, True, True]
    assert found.eligible('both').tolist() == [True, False, False, False, True, False]
    np.testing.assert_array_equal(found.ground_y, [310, 320, np.nan, 340, 300, 301])
    kept, counts = found.kept('any')
    assert [(i, p.tolist()) for i, p in kept] == [(0, [0, 1]), (1, [4, 5])]
    assert counts == dict(images=2, persons=4, pairs=2, refused=0, eligible=4)
    assert found.kept('both') == ([], dict(images=0, persons=0, pairs=0, refused=0, eligible=2))
    found.gone[0] = True
    assert [i for i, _ in found.kept('any')[0]] == [1]


def test_ground_switch(tree, make, strict):
    found = measured(tree, make, strict, [make.person(1, 1, ankles=(300, 310))], ground='mean')
    assert found.ground_y.tolist() == [305]


@pytest.mark.parametrize(('split', 'images', 'refused'), [('train', 1, 0), ('test', 0, 1)])
def test_a_picture_of_ties_is_refused_for_test(tree, make, strict, split, images, refused):
    people = [make.person(n, 1, ankles=(300, None)) for n in (1, 2)]
    _, counts = measured(tree, make, strict, people, split=split).kept('any')
    assert (counts['images'], counts['refused'], counts['pairs']) == (images, refused, 0)


def test_min_gap_counts(tree, make, strict):
    people = [make.person(n, 1, ankles=(300 + 3 * n, None)) for n in (1, 2, 3)]
    assert measured(tree, make, strict, people, min_gap_px=4).kept('any')[1]['pairs'] == 1


@pytest.mark.parametrize(
    'box', [[700, 10, 50, 50], [10, -60, 50, 50], [10, 10, 0, 5], [10, 10, -5, 5]]
)
def test_boxes_outside_the_picture(tree, make, strict, lenient, box):
    people = [make.person(1, 1), make.person(2, 1, bbox=box)]
    with pytest.raises(BadDataError, match=r'a\.json: person 2') as error:
        measured(tree, make, strict, people)
    assert error.value.kind == 'box outside the picture'
    found = measured(tree, make, lenient, people)
    assert found.data.source_ids == [1] and lenient.counts() == {'box outside the picture': 1}


def test_unknown_size_clips_what_it_can_and_says_so(tree, make, strict):
    images = [make.image(1, width=..., height=...)]
    found = measured(tree, make, strict, [make.person(1, 1, bbox=[-10, 5, 5000, 5000])], images)
    np.testing.assert_allclose(found.bbox, [[0, 5, 4990, 5000]])
    assert list(strict.unchecked.values()) == [1] and 'not clipped' in next(iter(strict.unchecked))


def test_a_single_joint_makes_no_box(tree, make, strict):
    lonely = [0, 0, 0] * 15 + [50, 300, 2] + [0, 0, 0]
    found = measured(
        tree, make, strict, [make.person(1, 1, keypoints=lonely, bbox=...), make.person(2, 1)]
    )
    assert found.usable.tolist() == [False, True]
    assert found.data.dropped['joints without extent, so no box'] == 1


@pytest.mark.parametrize('box', [[100, 479.4, 60, 80], [639.9997, 100, 50, 300]])
def test_less_than_a_pixel_gives_no_scale(tree, make, strict, box):
    """Of a box that its picture all but cuts off. Its person would have no scale, or a box without
    width.
    """
    found = measured(tree, make, strict, [make.person(1, 1), make.person(2, 1, bbox=box)])
    assert found.eligible('any').tolist() == [True, False]
    assert found.data.dropped['less than a pixel of the box within the picture'] == 1


def test_head_length_that_the_source_tells(tree, make, strict):
    found = measured(tree, make, strict, [make.person(1, 1)])
    assert np.isnan(found.lengths['head'][0])
    found.data.head_length[:] = 40
    again = measure(found.data, 'lowest', 0, strict)
    assert again.lengths['head'][0] == 40
    found.data.head_length[:] = 200  # of a box of 280 px: no head
    assert np.isnan(measure(found.data, 'lowest', 0, strict).lengths['head'][0])
