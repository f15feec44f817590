# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import numpy as np
import pytest

from wsp_mm.datasets.seeding import item_randomness
from wsp_mm.datasets.transforms.random_occlusion import RandomOcclusion


def results(centre=(60, 50), side=(80, 80), shape=(100, 120)):
    img = np.full((*shape, 3), 7, dtype=np.uint8)
    return dict(
        img=img,
        bbox_center=np.array([centre], dtype=np.float32),
        bbox_scale=np.array([side], dtype=np.float32),
    )


def test_a_rectangle_of_noise_in_the_crop():
    transform, shares, aspects = RandomOcclusion(prob=1.0), [], []
    with item_randomness(0):
        for _ in range(300):
            data = results()
            before = data['img']
            out = transform(data)['img']
            assert (before == 7).all()  # the picture that came in is not written into
            changed = (out != 7).any(axis=-1)
            if not changed.any():
                continue  # smaller than a pixel
            rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
            h, w = np.ptp(rows) + 1, np.ptp(columns) + 1
            assert changed.sum() == h * w and out.dtype == np.uint8
            shares.append(h * w / 6400)
            aspects.append(h / w)
            if h <= 78:
                assert rows.min() >= 10 and rows.max() <= 90
            if w <= 78:
                assert columns.min() >= 20 and columns.max() <= 100
    assert len(shares) > 250 and 0.5 < max(shares) <= 0.7 and min(shares) < 0.05
    # whole pixels make thin ones thinner
    assert np.percentile(aspects, 5) > 0.2 and np.percentile(aspects, 95) < 4.5
    assert np.std(out[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]) > 50


def test_half_of_the_pictures():
    transform = RandomOcclusion()
    with item_randomness(3):
        changed = [(transform(results())['img'] != 7).any() for _ in range(600)]
    assert np.mean(changed) == pytest.approx(0.5, abs=0.06)


def test_tries_end_where_nothing_fits(monkeypatch):
    """A crop wholly outside of the picture: PoseNet would draw for ever."""
    transform = RandomOcclusion(prob=1.0, max_tries=9)
    draws = []
    real = np.random.uniform
    monkeypatch.setattr(np.random, 'uniform', lambda *args: draws.append(args) or real(*args))
    out = transform(results(centre=(-500, -500)))
    assert (out['img'] == 7).all() and len(draws) == 18


def test_the_same_key_gives_the_same_noise():
    def once(seed):
        with item_randomness(seed):
            return RandomOcclusion(prob=1.0)(results())['img']

    assert np.array_equal(once(5), once(5)) and not np.array_equal(once(5), once(6))


@pytest.mark.parametrize(
    'kwargs',
    [
        dict(prob=2),
        dict(area=(0.5, 0.1)),
        dict(aspect=(0, 1)),
        dict(max_tries=0),
        dict(area=(-1, 1)),
    ],
)
def test_bad_arguments(kwargs):
    with pytest.raises(ValueError):
        RandomOcclusion(**kwargs)


def test_after_the_crop_it_is_too_late():
    with pytest.raises(ValueError, match='before TopdownAffine'):
        RandomOcclusion()(results() | dict(input_size=(64, 64)))
