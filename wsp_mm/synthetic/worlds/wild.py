# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""The wild world: photographs of people anywhere, for COCO, MPII, PoseTrack18 and CrowdPose.

Sources, splits, image sizes and persons per image come in fixed quotas (so that even sixty images
hold single persons, crowds and upright formats), in an order that the seed shuffles.
"""

from dataclasses import replace

import numpy as np

from ..actions import ACTIONS, WALKS
from ..clothing import Outfit, sample_outfit
from ..people import Identity, sample_identity
from ..placement import level_camera
from ..plan import SceneRequest, quota, random_stream, rng_of, shuffled
from ..scene import SceneSettings, Spot, View, sample_lens
from ..scenery import Scenery, sample_scenery

#: Preset -> options of :func:`plan`.
PRESETS = {
    'tiny': dict(images=60, long_side=256, video=4, test_share=0.25),
    'small': dict(images=1000, long_side=320, video=5, test_share=0.2),
    'full': dict(images=20_000, long_side=640, video=20, test_share=0.15),
}
# Few videos: neighbouring frames are nearly the same image.
SOURCES = {'coco': 0.46, 'mpii': 0.2, 'posetrack18': 0.12, 'crowdpose': 0.22}
FOLDERS = (*SOURCES, 'ground_truth')
# Width : height, and how often.
FORMATS = {
    'coco': {(4, 3): 0.55, (3, 2): 0.2, (3, 4): 0.15, (2, 3): 0.1},
    'mpii': {(16, 9): 0.8, (4, 3): 0.2},
    'posetrack18': {(16, 9): 1.0},
    'crowdpose': {(4, 3): 0.5, (3, 2): 0.3, (3, 4): 0.2},
}
# Persons in an image (a video), and how often. MCPC has to filter the single persons out.
PERSONS = {
    'coco': {1: 0.08, 2: 0.18, 3: 0.28, 4: 0.22, 5: 0.14, 6: 0.05, 7: 0.03, 8: 0.02},
    'mpii': {1: 0.12, 2: 0.28, 3: 0.32, 4: 0.2, 5: 0.08},
    'posetrack18': {2: 0.2, 3: 0.35, 4: 0.3, 5: 0.15},
    'crowdpose': {2: 0.1, 3: 0.25, 4: 0.3, 5: 0.2, 6: 0.1, 8: 0.05},
}
_FRAME_RATE = 12
# Seconds for which walkers have a free way; they may meet in longer videos.
_VIDEO_SECONDS = 2.0


def plan(
    seed: int, images: int, long_side: int, video: int, test_share: float
) -> list[SceneRequest]:
    """The world's images.

    Args:
        images: in all sources and splits together. long_side: px, rounded down to even numbers on
            the other side. video: images in one PoseTrack18 video; the last one of a split takes
            the remainder, too. test_share: share of images in the splits that MCPC tests on.
    """
    requests: list[SceneRequest] = []
    videos = 0
    for number, (source, count) in enumerate(quota(SOURCES, images)):
        rng = random_stream(seed, 'wild plan', number)
        is_video = source == 'posetrack18'
        for split, in_split in quota(_splits(source, test_share), count):
            lengths = [1] * in_split
            if is_video:
                lengths = [video] * max(1, in_split // video)
                lengths[-1] += in_split - sum(lengths)
            formats = shuffled(FORMATS[source], len(lengths), rng)
            persons = shuffled(PERSONS[source], len(lengths), rng)
            for length, aspect, num_persons in zip(lengths, formats, persons, strict=True):
                scale, first = long_side / max(aspect), len(requests)
                width, height = (int(side * scale) // 2 * 2 for side in aspect)
                for frame in range(length):
                    name = f'{videos:06d}_synthetic/{frame:06d}' if is_video else first
                    requests.append(
                        SceneRequest(
                            'wild', source, split, len(requests), _path(source, split, name),
                            width, height, num_persons, seed, (first,), frame / _FRAME_RATE,
                            sequence=videos if is_video else -1, frame=frame if is_video else -1,
                        )
                    )  # fmt: skip
                videos += is_video
    return requests


def _splits(source: str, test_share: float) -> dict[str, float]:
    train = 1 - test_share
    if source == 'crowdpose':  # the real one is 5 : 1 : 4; MCPC trains on both train and val
        return {'train': train * 5 / 6, 'val': train / 6, 'test': test_share}
    return {'train': train, 'val': test_share}


def _path(source: str, split: str, name: int | str) -> str:
    """Numbers have gaps, as in the real sets, so that nobody takes an id for an index."""
    if source == 'posetrack18':
        return f'posetrack18/images/{split}/{name}.jpg'
    if source == 'coco':
        return f'coco/{split}2017/{139 + 37 * name:012d}.jpg'
    if source == 'mpii':
        return f'mpii/images/{1_000_001 + 53 * name:09d}.jpg'
    return f'crowdpose/images/{100_000 + name}.jpg'


def _people(request: SceneRequest, rng: np.random.Generator) -> list[tuple[Identity, Outfit]]:
    people = [sample_identity(rng) for _ in range(request.num_persons)]
    return [(who, sample_outfit(rng, who.age, who.female)) for who in people]


def _view(request: SceneRequest) -> View:
    rng = rng_of(request, 'view', *request.clip)
    at_640 = np.exp(rng.uniform(np.log(500), np.log(1500)))  # focal length for 640 px
    height = rng.uniform(0.8, 2.2)
    # Aim at the middle of people at a typical distance, then miss a little.
    distance = np.clip(at_640 / 135, 3.0, 9)
    pitch = np.rad2deg(np.arctan2(height - 0.8, distance)) + rng.normal(0, 2.5)
    angles = float(np.clip(pitch, -8, 22)), float(rng.normal(0, 2.2))
    size = request.width, request.height
    camera = level_camera(float(at_640) * request.width / 640, height, *angles, *size)
    return View(camera, sample_lens(rng))


def _scenery(request: SceneRequest, depth: float) -> Scenery:
    return sample_scenery(rng_of(request, 'scenery', *request.clip), depth=depth)


def _spots(request: SceneRequest, view: View, rng: np.random.Generator) -> Spot:
    """People spread over the image, in a row, or in groups."""
    f = float(view.camera.f[1])
    # Distances at which a person of 1.7 m is between 32 % and nearly all of the image's height.
    near = float(np.clip(1.7 * f / (0.95 * request.height), 2.0, 9.0))
    far = float(np.clip(1.7 * f / (0.32 * request.height), 4.5, 12.0))
    style = rng.choice(['spread', 'row', 'group'], p=[0.8, 0.08, 0.12])
    row_depth = rng.uniform(near, 0.4 * near + 0.6 * far)

    def spot(placed: np.ndarray, slack: float, radius: float) -> np.ndarray:
        if style == 'group' and len(placed) and slack < 0.5:
            angle, reach = rng.uniform(-np.pi, np.pi), rng.uniform(0.35, 1.1 + slack)
            way = reach * np.array([np.cos(angle), np.sin(angle)])
            at = placed[rng.integers(len(placed))] + way
            return np.array([at[0], max(at[1], 2.0)])
        depth = np.exp(rng.uniform(np.log(near), np.log(far)))
        if style == 'row':
            depth = row_depth + rng.normal(0, 0.25)
        depth = float(np.clip(depth + slack * rng.uniform(-1, 3), 2.0, 12.0))
        # People gather about the middle of a photograph; some are cut by its edge.
        edge = 0.56 if rng.random() < 0.15 else 0.42
        across = float(np.clip(rng.normal(0, 0.2), -edge, edge))
        return np.array([across * request.width / f * depth, depth])

    return spot


_ACTIONS = dict.fromkeys(ACTIONS, 1.0) | {
    'Walking': 2.5, 'Waiting': 2.5, 'Discussion': 1.5, 'Posing': 1.5, 'Running': 0.8,
    'Jumping': 0.5, 'Lying': 0.2, 'Kneeling': 0.6, 'Crouching': 0.8, 'Sitting': 1.2,
    'SittingDown': 0.7, 'Stepping': 0.8,
}  # fmt: skip
_STILLS = SceneSettings(
    _ACTIONS, _people, _view, _scenery, _spots, together=0.15, facing=0.5, steps=0.07,
    silhouettes=True,
)  # fmt: skip
# Videos are of people who go somewhere, and a body in the air cannot stay there.
_MOVING = _ACTIONS | {name: 3 * _ACTIONS[name] for name in WALKS} | {'Jumping': 0.0}
_VIDEOS = replace(_STILLS, actions=_MOVING, seconds=_VIDEO_SECONDS, radius=(0.8, 2.0), gap=0.12)
#: Source -> settings of its scenes.
SETTINGS = dict.fromkeys(SOURCES, _STILLS) | {'posetrack18': _VIDEOS}
