# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import numpy as np
import pytest

from wsp_mm.visualization.draw import (
    MOST,
    PERSON_COLORS,
    RIGHT,
    SIDE_COLORS,
    UNKNOWN,
    WRONG,
    draw_order,
    draw_overlay,
    draw_pair,
    read_persons,
    skeleton_of,
)

CANVAS = np.zeros((480, 640, 3), np.uint8)


def test_skeletons(info):
    skeleton = skeleton_of(info['joint_set'])
    assert skeleton.links == ((0, 1), (0, 2)) and skeleton.sides == ('middle', 'middle', 'left')
    muco = skeleton_of('muco21')
    assert len(muco) == 21 and muco.root == 14 and muco.sides[2] == 'right'
    h36m = skeleton_of('h36m18')
    sides = {(1, 2): 'right', (11, 12): 'left', (0, 7): 'middle', (8, 14): 'right'}
    for link, side in sides.items():
        assert h36m.link_color(*link) == SIDE_COLORS[side]


def test_what_is_not_known_is_nan(person, record):
    odd = person(4, root_depth=float('inf'), keypoints_img=[[1, 2], [None, 3], [4, 5]])
    (found,) = read_persons(record(odd), 3)
    assert np.isnan(found.root_depth) and (found.id, found.label) == (4, '1')
    assert np.isnan(found.pixels[1, 0]) and found.pixels[1, 1] == 3
    with pytest.raises(ValueError, match='frame 9, person 4: keypoints_img'):
        read_persons(record(person(4, keypoints_img=[[1, 2]]), frame=9), 3)


def test_numbers_go_from_the_nearest(person, record, without_camera):
    def numbers(frame):
        persons = read_persons(frame, 3)
        assert [p.number for p in persons] == [1, 2, 3]
        return [p.id for p in persons]

    # 5 has the largest box; by the camera 7 is nearest; of 6 nobody knows
    far = person(5, z=6000.0, bbox=[0, 0, 300, 470])
    frame = record(far, person(6, bbox=[0, 0, 20, 40], root_depth=None), person(7, z=4500.0))
    assert numbers(frame) == [7, 5, 6]
    assert read_persons(frame, 3)[0].label == '1  4.50 m'
    frame = without_camera(frame)
    assert numbers(frame) == [5, 7, 6]
    assert numbers(frame | dict(order=dict(ids=[6, 5, 7]))) == [6, 5, 7]


# ---------------------------------------------------------------------- overlay


def test_joints_and_links_land_on_their_pixels(person, record, info, find):
    # at z = 4 m and f = 1000 px a metre is 250 px: head 175 px above the pelvis, foot 225 px below
    drawn = draw_overlay(CANVAS, record(person(0, bbox=None)), info)
    close = dict(atol=0.6)
    np.testing.assert_allclose(find(drawn, SIDE_COLORS['left']).mean(axis=0), [320, 465], **close)
    middle = find(drawn, SIDE_COLORS['middle'])
    for y in (240, 65):
        dot = middle[np.abs(middle[:, 1] - y) < 20]
        np.testing.assert_allclose(dot.mean(axis=0), [320, y], **close)
    link = find(drawn, PERSON_COLORS[0])
    assert link[:, 1].min() < 80 and link[:, 1].max() > 450 and np.abs(link[:, 0] - 320).max() <= 2
    assert not CANVAS.any() and not draw_overlay(CANVAS, record(), info).any()


def test_boxes_are_where_they_are_and_persons_have_their_colors(person, record, info, find):
    blank = dict(keypoints_img=None, root_depth=None, keypoints_cam=None)
    boxes = [[100, 50, 80, 300], [300, 60, 90, 200]]
    persons = [person(i, bbox=box, **blank) for i, box in enumerate(boxes)]
    drawn = draw_overlay(CANVAS, record(*persons), info)
    for identity, (x, y, w, h) in enumerate(boxes):
        places = find(drawn, PERSON_COLORS[identity])
        np.testing.assert_allclose(places.max(axis=0), [x + w, y + h], atol=1)
        assert ((np.abs(places[:, 0] - x) <= 1) & (places[:, 1] > y + 20)).sum() > h - 40


def test_nearer_persons_are_drawn_over_farther_ones(person, record, info):
    same = person(0)['keypoints_img']
    near, far = person(1, bbox=None), person(2, z=9000.0, bbox=None, keypoints_img=same)
    for frame in (record(near, far), record(far, near)):
        assert draw_overlay(CANVAS, frame, info)[300, 320].tolist() == list(PERSON_COLORS[0])


@pytest.mark.parametrize('bad', [None, float('nan'), float('inf'), 1e12])
def test_unknown_and_far_joints_do_no_harm(person, record, info, find, bad):
    points = [[320, 240], [320, 65], [bad, 465]]
    frame = record(person(0, bbox=[-1e9, -5, 2e9, 9e9], keypoints_img=points))
    drawn = draw_overlay(CANVAS, frame, info)
    assert len(find(drawn, SIDE_COLORS['middle'])) and not len(find(drawn, SIDE_COLORS['left']))


@pytest.mark.parametrize('shape', [(4, 4), (4, 4, 4), (0, 4, 3)])
def test_other_images_are_refused(shape, record, info):
    for draw in (draw_overlay, draw_order):
        with pytest.raises(ValueError, match='uint8'):
            draw(np.zeros(shape, np.uint8), record(), info)


# ---------------------------------------------------------------------- order


@pytest.fixture
def ordered(person, record):
    """Persons 4, 2, 9 in the record; 9 is in front, then 4, then 2."""
    persons = [person(i, x=x, root_depth=None) for i, x in ((4, -700), (2, 0), (9, 700))]
    matrix = [[0.5, 0.8, 0.1], [0.2, 0.5, 0.3], [0.9, 0.7, 0.5]]
    return record(*persons, order=dict(ids=[9, 4, 2], probability=matrix))


def test_ranked_boxes_above_a_table(ordered, info, find):
    drawn = draw_order(CANVAS, ordered, info)
    assert drawn.shape == (480 + 26 * 5, 640, 3)
    x, y, _, h = ordered['persons'][0]['bbox']
    places = find(drawn[:480], PERSON_COLORS[1], 5)
    assert places[:, 0].min() == pytest.approx(x, abs=2)
    assert places[:, 1].max() == pytest.approx(min(y + h, 479), abs=2)
    assert not drawn[:480, 240:260].any()  # between the boxes of 4 and 2
    for i, color in enumerate(PERSON_COLORS[:3], 1):  # heads of columns and rows: front to back
        assert drawn[480 + 26 + 3, 46 * i + 3].tolist() == list(color)
        assert drawn[480 + 26 * (i + 1) + 3, 3].tolist() == list(color)
    # "9 before 4" is surer than "9 before 2", and green; "2 before 4" is red
    sure, less = drawn[480 + 26 * 2 + 3, [46 * 2 + 3, 46 * 3 + 3]].astype(int)
    assert sure[1] - sure[2] > less[1] - less[2] > 0
    last = drawn[480 + 26 * 4 + 3, 46 * 2 + 3].astype(int)
    assert last[2] > last[1]


def test_one_person_no_order_and_a_crowd(person, record, info):
    for n, rows in ((1, 1), (MOST + 5, MOST + 2)):
        order = dict(ids=list(range(n)), probability=np.full((n, n), 0.5).tolist())
        drawn = draw_order(CANVAS, record(*map(person, range(n)), order=order), info)
        assert drawn.shape == (480 + 26 * rows, 640, 3) and drawn[:480].any()
    assert draw_order(CANVAS, record(person(1)), info).shape == (480 + 26, 640, 3)
    assert draw_order(CANVAS[:20, :30], record(), info).shape[1] > 30


# ---------------------------------------------------------------------- pairs

PAIR = np.array([[10.0, 10, 40, 90], [60, 20, 90, 80]])


@pytest.mark.parametrize(
    ('prob', 'label', 'color'),
    [(0.9, 1, RIGHT), (0.1, 0, RIGHT), (0.9, 0, WRONG), (0.9, None, UNKNOWN)],
)
def test_the_frame_tells_right_from_wrong(prob, label, color):
    image = np.full((100, 100, 3), 200, np.uint8)
    keypoints, nothing = np.full((2, 16, 2), 50.0), np.zeros((2, 16), bool)
    tile = draw_pair(image, PAIR, keypoints, nothing, prob, label, size=120)
    assert tile.shape == (120, 120, 3) and tuple(tile[60, 2].tolist()) == color
    assert (image == 200).all(), 'the image itself must not be drawn on'


def test_joints_of_a_pair_are_drawn_where_they_are():
    image, keypoints = np.zeros((100, 100, 3), np.uint8), np.zeros((2, 16, 2))
    keypoints[0, 3] = (50, 50)  # centre of the pair's square
    visible = np.zeros((2, 16), bool)
    without = draw_pair(image, PAIR, keypoints, visible, 0.9, 1, size=120)
    visible[0, 3] = True
    changed = (draw_pair(image, PAIR, keypoints, visible, 0.9, 1, size=120) != without).any(axis=2)
    places = np.argwhere(changed)
    assert np.abs(places.mean(axis=0) - 60).max() < 1.5 and len(places) < 60
