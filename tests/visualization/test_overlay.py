# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import numpy as np
import pytest

from wsp_mm.visualization.overlay import draw_overlay, person_color, side_color


def near(picture, color, slack=12):
    """Where the picture has the colour, (N, 2) x, y."""
    rows, columns = np.nonzero(np.abs(picture.astype(int) - color).max(axis=2) <= slack)
    return np.stack([columns, rows], axis=1)


@pytest.fixture
def canvas():
    return np.zeros((480, 640, 3), np.uint8)


def test_joints_and_links_land_on_their_pixels(canvas, person, record, info):
    # at z = 4 m and f = 1000 px a metre is 250 px: head 175 px above the pelvis, foot 225 px below
    drawn = draw_overlay(canvas, record(person(0, bbox=None)), info)
    np.testing.assert_allclose(near(drawn, side_color('left')).mean(axis=0), [320, 465], atol=0.6)
    middle = near(drawn, side_color('middle'))
    for y in (240, 65):
        np.testing.assert_allclose(
            middle[np.abs(middle[:, 1] - y) < 20].mean(axis=0), [320, y], atol=0.6
        )
    link = near(drawn, person_color(0))
    assert link[:, 1].min() < 80 and link[:, 1].max() > 450 and np.abs(link[:, 0] - 320).max() <= 2
    assert not canvas.any()


def test_boxes_are_where_they_are_and_persons_have_their_colours(canvas, person, record, info):
    blank = dict(keypoints_img=None, root_depth=None, keypoints_cam=None)
    frame = record(
        person(0, bbox=[100, 50, 80, 300], **blank), person(1, bbox=[300, 60, 90, 200], **blank)
    )
    drawn = draw_overlay(canvas, frame, info)
    for identity, (x, y, w, h) in ((0, (100, 50, 80, 300)), (1, (300, 60, 90, 200))):
        places = near(drawn, person_color(identity))
        assert places[:, 0].max() == pytest.approx(x + w, abs=1) and places[
            :, 1
        ].max() == pytest.approx(y + h, abs=1)
        assert ((np.abs(places[:, 0] - x) <= 1) & (places[:, 1] > y + 20)).sum() > h - 40
    assert not draw_overlay(canvas, record(), info).any()


def test_nearer_persons_are_drawn_over_farther_ones(canvas, person, record, info):
    same = person(0)['keypoints_img']
    near_one, far = person(1, bbox=None), person(2, z=9000.0, bbox=None, keypoints_img=same)
    for frame in (record(near_one, far), record(far, near_one)):
        assert draw_overlay(canvas, frame, info)[300, 320].tolist() == list(person_color(1))


@pytest.mark.parametrize('bad', [None, float('nan'), float('inf')])
def test_unknown_joints_are_left_out(canvas, person, record, info, bad):
    frame = record(person(0, bbox=None, keypoints_img=[[320, 240], [320, 65], [bad, 465]]))
    drawn = draw_overlay(canvas, frame, info)
    assert (
        len(near(drawn, side_color('left'))) == 0 and near(drawn, person_color(0))[:, 1].max() < 250
    )


def test_what_lies_far_outside_does_not_matter(canvas, person, record, info):
    frame = record(
        person(0, keypoints_img=[[320, 240], [1e12, -1e12], [320, 465]], bbox=[-1e9, -5, 2e9, 9e9])
    )
    assert len(near(draw_overlay(canvas, frame, info), side_color('left')))


def test_other_pictures_are_refused(record, info):
    for picture in (
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 3), np.uint16),
        np.zeros((4, 4, 4), np.uint8),
    ):
        with pytest.raises(ValueError, match=r'must be \(H, W, 3\) uint8 BGR'):
            draw_overlay(picture, record(), info)
