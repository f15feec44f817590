# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from wsp_mm.evaluation.functional import mean_pose, mpjpe, per_axis_error


def poses(n, k, seed=0, size=400.0):
    return np.random.default_rng(seed).normal(0, size, (n, k, 3)) + np.array([100.0, -50.0, 4000.0])


def test_root_alignment_by_hand():
    gt = np.array([[[0, 0, 4000], [100, 0, 4000], [0, 200, 4100]]], dtype=float)
    pred = gt + np.array([10, 20, -500])  # a shift of the whole pose is no error ...
    pred[0, 1] += [3, 4, 0]  # ... but a moved joint is
    pred[0, 2] += [1, -2, 2]
    np.testing.assert_allclose(mpjpe(pred, gt), [[0, 5, 3]])
    np.testing.assert_allclose(per_axis_error(pred, gt), [[[0, 0, 0], [3, 4, 0], [1, 2, 2]]])
    np.testing.assert_allclose(mpjpe(pred, gt, align='none')[0, 0], np.linalg.norm([10, 20, 500]))
    # seen from joint 1 the others have moved
    np.testing.assert_allclose(mpjpe(pred, gt, root=1), [[5, 0, np.linalg.norm([-2, -6, 2])]])
    np.testing.assert_allclose(per_axis_error(pred, gt, root=1)[0, 2], [2, 6, 2])


def test_rigid_alignment_is_scipys_kabsch():
    pred, gt = poses(20, 18, seed=1), poses(20, 18, seed=2)
    errors = mpjpe(pred, gt, align='rigid')
    for i in range(20):
        p, g = pred[i] - pred[i].mean(0), gt[i] - gt[i].mean(0)
        rotation, _ = Rotation.align_vectors(g, p)
        np.testing.assert_allclose(
            errors[i], np.linalg.norm(rotation.apply(p) - g, axis=1), rtol=1e-9
        )


def test_similarity_alignment_is_the_least_squares_optimum():
    from scipy.optimize import least_squares

    pred, gt = poses(3, 17, seed=3), poses(3, 17, seed=4)
    errors = mpjpe(pred, gt, align='similarity')
    for i in range(3):

        def residual(x, i=i):
            return (
                np.exp(x[0]) * Rotation.from_rotvec(x[1:4]).apply(pred[i]) + x[4:] - gt[i]
            ).ravel()

        # from the result's own neighbourhood and from elsewhere: nothing is better
        starts = np.random.default_rng(i).normal(0, 1, (12, 7))
        best = min(2 * least_squares(residual, start).cost for start in starts)
        np.testing.assert_allclose((errors[i] ** 2).sum(), best, rtol=1e-6)


@given(st.integers(0, 2**31), st.integers(3, 20), st.floats(0.3, 3.0))
def test_alignment_undoes_what_it_may_undo(seed, k, scale):
    gt = poses(2, k, seed=seed)
    turn = Rotation.random(random_state=seed).as_matrix()
    moved = gt @ turn.T + [500.0, 30.0, -900.0]
    np.testing.assert_allclose(mpjpe(moved, gt, align='rigid'), 0, atol=1e-6)
    np.testing.assert_allclose(mpjpe(scale * moved, gt, align='similarity'), 0, atol=1e-6)
    assert mpjpe(scale * moved, gt, align='rigid').mean() == pytest.approx(
        abs(scale - 1) * np.linalg.norm(gt - gt.mean(1, keepdims=True), axis=2).mean(), abs=1e-6
    )


def test_a_mirrored_pose_is_not_mirrored_back():
    gt = poses(5, 17)
    mirrored = gt * [-1, 1, 1]
    for align in ('rigid', 'similarity'):
        assert (mpjpe(mirrored, gt, align=align).mean(axis=1) > 50).all()


@given(st.integers(0, 2**31))
def test_squared_errors_shrink_with_freedom(seed):
    pred, gt = poses(4, 17, seed=seed), poses(4, 17, seed=seed + 1)
    root, rigid, similarity = (
        (mpjpe(pred, gt, align=a) ** 2).sum(1) for a in ('root', 'rigid', 'similarity')
    )
    assert (similarity <= rigid + 1e-6).all()
    assert (rigid <= root + 1e-6).all()


def test_degenerate_poses_have_defined_errors():
    gt = poses(1, 5)
    center = np.linalg.norm(gt - gt.mean(1, keepdims=True), axis=2)
    point = np.full_like(gt, 7.0)
    for align in ('rigid', 'similarity'):
        np.testing.assert_allclose(mpjpe(point, gt, align=align), center)
        np.testing.assert_allclose(mpjpe(point, point + 3, align=align), 0, atol=1e-9)
    # joints on one line: the turn about it is free and changes no distance
    t = np.array([0.0, 100, 250, 300, 800])
    line, other = t[None, :, None] * [0, 0, 1.0], t[None, :, None] * [0, 1.0, 0]
    np.testing.assert_allclose(mpjpe(line, other, align='rigid'), 0, atol=1e-9)
    turned = line @ Rotation.from_rotvec([0.3, 0.2, 1.1]).as_matrix()
    np.testing.assert_allclose(mpjpe(gt, line, align='rigid'), mpjpe(gt, turned, align='rigid'))
    np.testing.assert_allclose(mpjpe(line, gt, align='rigid'), mpjpe(turned, gt, align='rigid'))
    # a similarity that prefers a negative scale does not exist
    assert np.isfinite(mpjpe(gt, -gt, align='similarity')).all()


@pytest.mark.parametrize('align', ['root', 'rigid', 'similarity', 'none'])
def test_no_sample(align):
    empty = np.empty((0, 17, 3))
    assert mpjpe(empty, empty, align=align).shape == (0, 17)


def test_wrong_input_is_named():
    gt = poses(2, 4)
    broken = gt.copy()
    broken[1, 2, 0] = np.nan
    for arguments, options, message in (
        ((gt[0], gt[0]), {}, r'\(4, 3\)'),
        ((gt[:, :3], gt), {}, r'\(2, 3, 3\) and \(2, 4, 3\)'),
        ((broken, gt), {}, 'pred .* joint 2 of sample 1'),
        ((gt, broken), {}, 'gt '),
        ((gt, gt), dict(align='procrustes'), 'align'),
        ((gt, gt), dict(root=4), 'root'),
        ((gt, gt), dict(root=-1), 'root'),
    ):
        with pytest.raises(ValueError, match=message):
            mpjpe(*arguments, **options)


def test_mean_pose_is_relative_to_the_root_in_the_camera_frame():
    train = np.array([[[0, 0, 100], [10, 0, 100]], [[50, 50, 900], [50, 80, 920]]], dtype=float)
    np.testing.assert_allclose(mean_pose(train), [[0, 0, 0], [5, 15, 10]])
    with pytest.raises(ValueError, match='training pose'):
        mean_pose(train[:0])
