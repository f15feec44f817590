# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import cv2
import numpy as np
import pytest

from wsp_mm.datasets.transforms.photo import RandomFilter, RandomPatches, RandomPhotoEffects


def image():
    y, x = np.mgrid[:48, :64]
    return np.stack([x * 4 % 256, y * 5, (x + y) * 2], axis=-1).astype(np.uint8)


def test_effects_change_the_image_alone_and_follow_the_seed():
    seen = []
    for seed in (0, 0, 1):
        np.random.seed(seed)
        results = RandomPhotoEffects(prob=1.0).transform(dict(img=image(), label=3))
        assert results['label'] == 3
        assert results['img'].shape == (48, 64, 3) and results['img'].dtype == np.uint8
        seen.append(results['img'])
    assert (seen[0] == seen[1]).all() and (seen[0] != seen[2]).any()
    before = image()
    after = RandomPhotoEffects(prob=0.0).transform(dict(img=before))['img']
    assert (after == image()).all() and (before == image()).all()


def test_every_effect_happens(monkeypatch):
    """With one draw allowed at a time, in the documented order."""
    for only in range(7):
        np.random.seed(5)
        effects, calls = RandomPhotoEffects(prob=1.0), iter(range(7))
        monkeypatch.setattr(effects, '_draw', lambda calls=calls, only=only: next(calls) == only)
        assert (effects.transform(dict(img=image()))['img'] != image()).any()
    gray = np.full((4, 4, 3), 100, np.uint8)
    for only in (3, 4):  # neither saturation nor blur changes a flat gray
        calls = iter(range(7))
        monkeypatch.setattr(effects, '_draw', lambda calls=calls, only=only: next(calls) == only)
        assert (effects.transform(dict(img=gray))['img'] == gray).all()
    # Gamma keeps black and white, gains keep black.
    ends = cv2.merge([np.array([[0, 255]], np.uint8)] * 3)
    calls = iter(range(7))
    monkeypatch.setattr(effects, '_draw', lambda: next(calls) == 1)
    assert effects.transform(dict(img=ends))['img'][..., 0].tolist() == [[0, 255]]


def test_filter_changes_textures_and_keeps_mean_and_places():
    np.random.seed(3)
    flat = np.full((40, 40, 3), (20, 90, 200), np.uint8)
    assert (RandomFilter(prob=1.0).transform(dict(img=flat))['img'] == flat).all()
    edge = np.zeros((40, 40, 3), np.uint8)
    edge[:, 20:] = (80, 120, 160)
    for _ in range(20):
        out = RandomFilter(prob=1.0, sizes=(1,)).transform(dict(img=edge))['img'].astype(int)
        # One kernel for the whole image: each half stays flat, whatever its colour.
        assert all(np.ptp(half, axis=(0, 1)).max() == 0 for half in (out[:, :20], out[:, 20:]))
        assert np.abs(out.mean(axis=(0, 1)) - edge.mean(axis=(0, 1))).max() < 30
    assert (RandomFilter(prob=0.0).transform(dict(img=edge))['img'] == edge).all()


def test_patches_hide_a_part():
    np.random.seed(0)
    transform, hidden = RandomPatches(prob=1.0, most=1, size=(0.1, 0.2)), []
    for _ in range(40):
        before = image()
        after = transform.transform(dict(img=before))['img']
        assert (before == image()).all(), 'the input is not written to'
        hidden.append((after != before).any(axis=-1).mean())
    # A polygon in a circle of at most 1.5 x 0.2 x 48 px.
    assert np.mean(hidden) > 0 and max(hidden) <= np.pi * (0.3 * 48 + 1) ** 2 / (48 * 64)
    assert RandomPatches(prob=0.0).transform(dict(img=image()))['img'].tolist() == image().tolist()


@pytest.mark.parametrize(
    'make',
    [
        lambda: RandomPhotoEffects(prob=1.1),
        lambda: RandomPhotoEffects(min_quality=0),
        lambda: RandomPhotoEffects(max_blur=0.0),
        lambda: RandomFilter(prob=2),
        lambda: RandomFilter(sizes=(2,)),
        lambda: RandomPatches(prob=-1),
        lambda: RandomPatches(most=0),
        lambda: RandomPatches(size=(0.3, 0.2)),
    ],
)
def test_arguments_out_of_range(make):
    with pytest.raises(ValueError, match='must'):
        make()
