# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""The photo world: the wild world, made harder, for networks that shall work on real photographs.

What the wild world has little of: furniture before and behind people, persons cut by the image's
edge, close and far persons, cameras low and high, soft and noisy lenses, images without anybody.
One set of images serves all networks: the folder ``photo`` is a data root with its annotations in
COCO's layout and in MuCo-3DHP's.
"""

from dataclasses import replace

import numpy as np

from ..placement import level_camera
from ..plan import SceneRequest, quota, random_stream, rng_of, shuffled
from ..scene import Spot, View, sample_lens
from . import wild

#: Preset -> options of :func:`plan`.
PRESETS = {
    'tiny': dict(images=60, long_side=256, test_share=0.3),
    'small': dict(images=10_000, long_side=416, test_share=0.04),
    'full': dict(images=20_000, long_side=416, test_share=0.04),
}
FOLDERS = ('photo',)
# Width : height, and persons in an image, and how often.
_FORMATS = {(4, 3): 0.5, (3, 2): 0.2, (3, 4): 0.2, (2, 3): 0.1}
_PERSONS = {0: 0.05, 1: 0.2, 2: 0.23, 3: 0.2, 4: 0.13, 5: 0.08, 6: 0.05, 8: 0.04, 10: 0.02}


def plan(seed: int, images: int, long_side: int, test_share: float) -> list[SceneRequest]:
    """The world's images.

    Args:
        images: in both splits together. long_side: px, rounded down to even numbers on the other
            side. test_share: share of the images in the split val.
    """
    requests: list[SceneRequest] = []
    shares = {'train': 1 - test_share, 'val': test_share}
    for number, (split, count) in enumerate(quota(shares, images)):
        rng = random_stream(seed, 'photo plan', number)
        formats, persons = shuffled(_FORMATS, count, rng), shuffled(_PERSONS, count, rng)
        for aspect, num_persons in zip(formats, persons, strict=True):
            n, scale = len(requests), long_side / max(aspect)
            size = (int(side * scale) // 2 * 2 for side in aspect)
            path = f'photo/coco/{split}2017/{139 + 37 * n:012d}.jpg'
            requests.append(
                SceneRequest('photo', 'photo', split, n, path, *size, num_persons, seed, (n,))
            )
    return requests


def _view(request: SceneRequest) -> View:
    rng = rng_of(request, 'view', *request.clip)
    long_side = max(request.width, request.height)
    focal = float(np.exp(rng.uniform(np.log(0.75), np.log(2.6)))) * long_side
    height = rng.uniform(0.5, 2.2) if rng.random() < 0.85 else rng.uniform(2.2, 6.0)
    distance = np.clip(focal / long_side * 4.5, 3.0, 10.0)
    pitch = np.rad2deg(np.arctan2(height - 0.9, distance)) + rng.normal(0, 4)
    angles = float(np.clip(pitch, -15, 40)), float(rng.normal(0, 4))
    camera = level_camera(focal, height, *angles, request.width, request.height)
    soft = rng.random() < 0.25
    blur = (0.7, 1.6) if soft else (0.3, 0.7)
    return View(camera, sample_lens(rng, gamma=(0.36, 0.6), blur=blur, noise=(0, 8)))


def _spots(request: SceneRequest, view: View, rng: np.random.Generator) -> Spot:
    """People near or far, together or apart; a scene has a range of its own."""
    f = float(view.camera.f[1])

    def at_share(share: float) -> float:
        """Distance in m at which a person of 1.7 m has this share of the image's height."""
        return float(np.clip(1.7 * f / (share * request.height), 1.7, 25.0))

    largest = rng.uniform(0.9, 2.0) if rng.random() < 0.25 else rng.uniform(0.3, 1.0)
    near, far = at_share(largest), at_share(largest * rng.uniform(0.25, 0.8))
    far = max(far, near + 1.0)
    grouped = rng.random() < 0.25

    def spot(placed: np.ndarray, slack: float, radius: float) -> np.ndarray:
        if grouped and len(placed) and slack < 0.5:
            angle, reach = rng.uniform(-np.pi, np.pi), rng.uniform(0.35, 1.1 + slack)
            x, y = placed[rng.integers(len(placed))] + reach * np.array(
                [np.cos(angle), np.sin(angle)]
            )
            return np.array([x, max(y, 1.7)])
        depth = np.exp(rng.uniform(np.log(near), np.log(far))) + slack * rng.uniform(-0.5, 3)
        edge = 0.6 if rng.random() < 0.25 else 0.45
        across = float(np.clip(rng.normal(0, 0.25), -edge, edge))
        depth = float(np.clip(depth, 1.7, 28.0))
        return np.array([across * request.width / f * depth, depth])

    return spot


SETTINGS = {
    'photo': replace(
        wild.SETTINGS['coco'],
        view=_view,
        spots=_spots,
        clutter=5,
    )
}
