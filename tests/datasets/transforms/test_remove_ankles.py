# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import numpy as np
import pytest

from wsp_mm.datasets.transforms.remove_ankles import SHANK_PER_SCALE, RemoveAnkles

NAN = np.nan


def sample(ankles, size=(40, 60)):
    rng = np.random.default_rng(0)
    img = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
    return dict(img=img, ankles_input=np.array(ankles, np.float32).reshape(-1, 4))


def test_squares_by_hand():
    results = sample([(20, 10, 20, 7), (59, 39, 10, 7), (5.4, 30, 5, NAN)])
    before = results['img'].copy()
    out = RemoveAnkles(share=0.5).transform(results)['img']
    mean = before.reshape(-1, 3).mean(axis=0).round()
    covered = np.zeros((40, 60), bool)
    covered[5:16, 15:26] = True  # side 10 around (20, 10)
    covered[37:40, 57:60] = True  # side 5 around (59, 39), clipped
    covered[29:32, 5:7] = True  # side 2.5 around (5.4, 30): 4.15 to 6.65
    assert (out[covered] == mean).all()
    np.testing.assert_array_equal(out[~covered], before[~covered])
    np.testing.assert_array_equal(results['ankles_input'][0], [20, 10, 20, 7])


def test_input_is_not_changed_in_place():
    results = sample([(20, 10, 20, 7)])
    original = results['img']
    before = original.copy()
    RemoveAnkles().transform(results)
    np.testing.assert_array_equal(original, before)


def test_gray_fill():
    out = RemoveAnkles(share=0.5, fill='gray').transform(sample([(20, 10, 20, 7)]))['img']
    assert (out[10, 20] == 128).all()


def test_sides():
    ankles = np.array([(0, 0, 20, 10), (0, 0, NAN, 10), (0, 0, 9, NAN), (0, 0, NAN, NAN)])
    shank = 10 * SHANK_PER_SCALE
    np.testing.assert_allclose(
        RemoveAnkles(share=0.5).sides(ankles), [10, shank / 2, 4.5, shank / 2]
    )
    by_scale = RemoveAnkles(share=2.0, relative_to='scale').sides(ankles)
    np.testing.assert_allclose(by_scale, [20, 20, 2 * 9 / SHANK_PER_SCALE, 20])
    assert RemoveAnkles().sides(np.zeros((0, 4))).shape == (0,)
    with pytest.raises(ValueError, match='no ankle has'):
        RemoveAnkles().sides(ankles[3:])


def test_ankles_outside_and_tiny_ones():
    results = sample([(-30, 10, 10, 7), (100, 10, 10, 7), (-2, 20, 10, 7), (30, 30, 0.01, 7)])
    before = results['img'].copy()
    out = RemoveAnkles(share=1.0).transform(results)['img']
    changed = (out != before).any(axis=-1)
    assert changed[15:26, 0:4].any() and changed[30, 30]
    changed[15:26, 0:4] = False
    changed[30, 30] = False
    assert not changed.any()


def test_nobody_has_ankles():
    results = sample([])
    before = results['img'].copy()
    np.testing.assert_array_equal(RemoveAnkles().transform(results)['img'], before)


def test_bad_input_is_refused():
    with pytest.raises(KeyError, match='after PairTopdownAffine'):
        RemoveAnkles().transform(dict(img=np.zeros((4, 4, 3), np.uint8)))
    for wrong in (dict(share=0), dict(relative_to='box'), dict(fill='blur')):
        with pytest.raises(ValueError, match='RemoveAnkles'):
            RemoveAnkles(**wrong)
    assert "relative_to='shank'" in repr(RemoveAnkles())
