# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsp_mm.structures.camera import PinholeCamera, image_center, split_matrix

SIMPLE = PinholeCamera(f=[1000, 1200], c=[320, 240])


def turned(axis, degrees):
    """Rotation matrix about a coordinate axis."""
    a = np.deg2rad(degrees)
    i, j = [(1, 2), (2, 0), (0, 1)][axis]
    matrix = np.eye(3)
    matrix[[i, j], [i, j]] = np.cos(a)
    matrix[i, j], matrix[j, i] = -np.sin(a), np.sin(a)
    return matrix


def test_project_by_hand():
    # 1 m to the right, 0.5 m down, 4 m away: u = 1000 / 4 + 320, v = 1200 * 0.5 / 4 + 240
    np.testing.assert_allclose(SIMPLE.project([1000, 500, 4000]), [570, 390, 4000])
    on_the_axis = SIMPLE.project([[0, 0, 1], [0, 0, 1e6]])
    np.testing.assert_allclose(on_the_axis[:, :2], [[320, 240]] * 2)


@pytest.mark.parametrize('z', [0, -100])
def test_behind_the_camera_has_no_pixel(z):
    got = SIMPLE.project([1, 2, z])
    assert np.isnan(got[:2]).all() and got[2] == z


def test_extrinsics_by_hand():
    # A camera 2 m up (world z up) that looks along world y: its y points down, its z along world y.
    turn = [[1, 0, 0], [0, 0, -1], [0, 1, 0]]
    camera = PinholeCamera([1000, 1000], [0, 0], R=turn, t=[0, 2000, 0])
    np.testing.assert_allclose(camera.position, [0, 0, 2000], atol=1e-9)
    # A point on the ground 5 m ahead is 2 m below the axis.
    np.testing.assert_allclose(camera.to_camera([0, 5000, 0]), [0, 2000, 5000])


POINT = st.tuples(*[st.floats(-5000, 5000)] * 3)


@given(st.tuples(*[st.floats(-180, 180)] * 3), POINT, POINT)
def test_there_and_back(angles, t, point):
    rotation = turned(0, angles[0]) @ turned(1, angles[1]) @ turned(2, angles[2])
    camera = PinholeCamera([900, 950], [10, 20], rotation, t)
    cam = camera.to_camera(point)
    np.testing.assert_allclose(camera.to_world(cam), point, atol=1e-6)
    distance = np.linalg.norm(np.subtract(point, camera.position))
    np.testing.assert_allclose(np.linalg.norm(cam), distance, atol=1e-6)
    np.testing.assert_allclose(camera.to_camera(camera.position), 0, atol=1e-6)


@given(st.floats(-500, 1500), st.floats(-500, 1500), st.floats(1, 1e5))
def test_unproject_inverts_project(u, v, depth):
    got = SIMPLE.project(SIMPLE.unproject([u, v, depth]))
    np.testing.assert_allclose(got, [u, v, depth], rtol=1e-9, atol=1e-7)


@pytest.mark.parametrize(('bad', 'what'), [
    (dict(f=[0, 1]), 'positive'), (dict(f=[1, 1, 1]), 'shape'), (dict(c=[np.nan, 0]), 'finite'),
    (dict(R=np.eye(3) * 2), 'rotation'), (dict(R=np.diag([1, 1, -1])), 'rotation'),
    (dict(t=[0, 0]), 'shape'), (dict(f=[900, -900]), r'positive.*OpenGL'),
])  # fmt: skip
def test_bad_cameras_are_refused(bad, what):
    with pytest.raises(ValueError, match=what):
        PinholeCamera(**(dict(f=[1, 1], c=[0, 0]) | bad))


def test_centre_of_an_image_lies_on_a_pixel_or_between_two():
    assert image_center(3, 3) == (1, 1) and image_center(640, 480) == (319.5, 239.5)


K = np.array([[900.0, 0, 310], [0, 910, 250], [0, 0, 1]])


def test_camera_matrix():
    for matrix in (K, K.tolist(), K.ravel()):
        f, c = split_matrix(matrix)
        assert f.tolist() == [900, 910] and c.tolist() == [310, 250]


@pytest.mark.parametrize(('bad', 'hint'), [
    (K.T, 'MATLAB'), (K * 2, 'divide K by 2'), (K + np.eye(3)[:, ::-1] * 9, r'last row'),
    (K + np.eye(3, k=-1) * [5, 0, 0], r'K\[1\]\[0\]'), (K + np.eye(3, k=1) * 5, 'skew'),
    (K * [[1], [1], [np.nan]], 'last row'), (K[:2], 'reshape'),
])  # fmt: skip
def test_what_is_no_camera_matrix(bad, hint):
    with pytest.raises(ValueError, match=hint):
        split_matrix(bad)
