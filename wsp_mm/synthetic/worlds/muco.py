# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""The world in MuCo-3DHP's layout: people recorded one by one in a studio, cut out, and pasted
together.

As in MuCo-3DHP, eight subjects with two sets of clothes each are seen by a few fixed cameras. Every
person is rendered alone under a light of their own. Nothing shades anything else, and where persons
interlock, the one is wholly before the other. Half of the images (``unaugmented_set``) have the
studio behind them, the others a background that another camera saw and that agrees with nobody's
perspective.
"""

from functools import lru_cache

import numpy as np

from ..actions import ACTIONS
from ..clothing import Outfit
from ..people import Identity
from ..placement import level_camera
from ..plan import SceneRequest, random_stream, rng_of, shuffled
from ..scene import SceneSettings, Spot, View, sample_lens, subject
from ..scenery import Scenery, room_scenery, sample_scenery, sun_direction
from ..textures import Texture, hsv

#: Preset -> options of :func:`plan`.
PRESETS = {
    'tiny': dict(images=60, side=256), 'small': dict(images=600, side=320),
    'full': dict(images=20_000, side=512),
}  # fmt: skip
FOLDERS = ('muco',)
# The first has foreign backgrounds; the names are those of the images' folders.
_SETS = ('augmented_set', 'unaugmented_set')
# Persons in an image, and how often.
_PERSONS = {1: 0.12, 2: 0.26, 3: 0.34, 4: 0.28}
NUM_SUBJECTS, NUM_OUTFITS = 8, 2
# Height m and pitch degrees of the cameras.
_CAMERAS = ((0.9, -2.0), (1.2, 2.0), (1.4, 4.0), (1.5, 7.0), (1.8, 9.0), (2.3, 15.0))
# Focal length in widths of the image.
_FOCAL = 0.731
_NEAR, _FAR = 2.3, 5.6  # m: where people stand


def plan(seed: int, images: int, side: int) -> list[SceneRequest]:
    """The world's images.

    Args:
        images: in both sets. side: px of the square images.
    """
    requests: list[SceneRequest] = []
    for number, folder in enumerate(_SETS):
        count = (images + 1 - number) // 2
        persons = shuffled(_PERSONS, count, random_stream(seed, 'muco plan', number))
        for k, num_persons in enumerate(persons):
            n, path = len(requests), f'muco/{folder}/{k:06d}.jpg'
            requests.append(
                SceneRequest('muco', 'muco', folder, n, path, side, side, num_persons, seed, (n,))
            )
    return requests


def _people(request: SceneRequest, rng: np.random.Generator) -> list[tuple[Identity, Outfit]]:
    chosen = rng.permutation(NUM_SUBJECTS)[: request.num_persons].tolist()
    outfits = rng.integers(NUM_OUTFITS, size=len(chosen)).tolist()
    return [
        subject('muco', request.seed, number, outfit, bool(number % 2), ages=(18, 60))
        for number, outfit in zip(chosen, outfits, strict=True)
    ]


@lru_cache(maxsize=2 * len(_CAMERAS))
def camera_view(seed: int, number: int, side: int) -> View:
    """One of the studio's cameras, from 0."""
    height, pitch = _CAMERAS[number]
    rng = random_stream(seed, 'muco lens', number)
    lens = sample_lens(rng, gamma=(0.44, 0.5), blur=(0.35, 0.6), noise=(0, 2.5))
    return View(level_camera(_FOCAL * side, height, pitch, 0.0, side, side), lens)


def _view(request: SceneRequest) -> View:
    number = int(rng_of(request, 'camera', *request.clip).integers(len(_CAMERAS)))
    return camera_view(request.seed, number, request.width)


def in_view(near: float, far: float, edge: float) -> Spot:
    """Spots before a camera: ``near`` to ``far`` m, across up to ``edge`` of the image's width from
    its middle.
    """

    def spots(request: SceneRequest, view: View, rng: np.random.Generator) -> Spot:
        def spot(placed: np.ndarray, slack: float, radius: float) -> np.ndarray:
            depth = np.exp(rng.uniform(np.log(near), np.log(far)))
            across = rng.uniform(-edge, edge) * request.width / view.camera.f[0]
            return np.array([across * depth, depth])

        return spot

    return spots


def _room(**light: object) -> Scenery:
    green = hsv(0.34, 0.55, 0.6)
    cloth = Texture('clouds', 0.9, 0, 0.5, green, hsv(0.34, 0.55, 0.56), green, 0.04, 0.5, 21)
    planes = ((0, -8.0), (np.pi / 2, -6.0), (-np.pi / 2, -6.0))
    light = dict(
        sun=np.array([0.2, -0.5, 1.0]) / np.linalg.norm([0.2, -0.5, 1.0]), sun_color=(0.5,) * 3,
        ambient=0.85, contact=0.4, zenith=(0.85,) * 3, haze=(0.5,) * 3, wall_height=40.0,
    ) | light  # fmt: skip
    return room_scenery((cloth, cloth), planes, bounce=0.25, **light)


@lru_cache(maxsize=1)
def _studio() -> Scenery:
    """A studio hung with green cloth, evenly lit."""
    return _room()


def _own_light(rng: np.random.Generator) -> Scenery:
    """The studio's light on the day that one person was recorded."""
    sun = sun_direction(rng.uniform(-np.pi, np.pi), rng.uniform(0.9, 1.4))
    tint = 1 + rng.normal(0, 0.05) * np.array([1, 0, -1])
    brightness = rng.uniform(0.3, 0.9)
    return _room(sun=sun, sun_color=brightness * tint, exposure=np.exp(rng.normal(0, 0.12)))


def _background(request: SceneRequest) -> tuple[View, Scenery] | None:
    if request.split != _SETS[0]:
        return None
    rng, side = rng_of(request, 'background', *request.clip), request.width
    focal = np.exp(rng.uniform(np.log(0.8), np.log(2.2))) * side
    angles = rng.normal(5, 5), rng.normal(0, 3)
    camera = level_camera(focal, rng.uniform(0.8, 2.2), *angles, side, side)
    return View(camera, sample_lens(rng)), sample_scenery(rng, depth=rng.uniform(4, 10))


SETTINGS = {
    'muco': SceneSettings(
        dict.fromkeys(ACTIONS, 1.0) | {'Walking': 2.0, 'Jumping': 0.4, 'Lying': 0.2}, _people,
        _view, lambda request, depth: _studio(), in_view(_NEAR, _FAR, 0.38), gap=-0.05,
        layers=_own_light, background=_background,
    )
}  # fmt: skip
