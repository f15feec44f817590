# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Which pictures the embedded world has: a function of preset and seed alone.

Sources, splits, picture sizes and persons per picture come in fixed quotas (so that even sixty
pictures hold single persons, crowds and upright formats) and are then dealt out by the seed.
"""

from __future__ import annotations

import hashlib
from dataclasses import astuple, dataclass

import numpy as np

from wsp_mm.synthetic.layouts.files import WorldError
from wsp_mm.synthetic.scene import SceneRequest

# Few videos: neighbouring frames are nearly the same picture.
SOURCES = {'coco': 0.46, 'mpii': 0.2, 'posetrack18': 0.12, 'crowdpose': 0.22}

# Width : height, and how often.
_FORMATS = {
    'coco': {(4, 3): 0.55, (3, 2): 0.2, (3, 4): 0.15, (2, 3): 0.1},
    'mpii': {(16, 9): 0.8, (4, 3): 0.2},
    'posetrack18': {(16, 9): 1.0},
    'crowdpose': {(4, 3): 0.5, (3, 2): 0.3, (3, 4): 0.2},
}
# Persons in a picture (a video), and how often. MCPC has to filter the single persons out.
_PERSONS = {
    'coco': {1: 0.08, 2: 0.18, 3: 0.28, 4: 0.22, 5: 0.14, 6: 0.05, 7: 0.03, 8: 0.02},
    'mpii': {1: 0.12, 2: 0.28, 3: 0.32, 4: 0.2, 5: 0.08},
    'posetrack18': {2: 0.2, 3: 0.35, 4: 0.3, 5: 0.15},
    'crowdpose': {2: 0.1, 3: 0.25, 4: 0.3, 5: 0.2, 6: 0.1, 8: 0.05},
}


@dataclass(frozen=True)
class Preset:
    """Size of a world.

    Attributes:
        name: as on the command line.
        pictures: in all sources and splits together.
        long_side: px, rounded down to even numbers on the other side.
        video: pictures in one PoseTrack18 video.
        test_share: share of pictures in the splits that MCPC tests on.
        mean_persons: mean persons per picture; None keeps the tables above.
    """

    name: str
    pictures: int
    long_side: int
    video: int
    test_share: float
    mean_persons: float | None = None


PRESETS = {
    preset.name: preset
    for preset in (
        Preset('tiny', pictures=60, long_side=256, video=4, test_share=0.25),
        Preset('small', pictures=1500, long_side=320, video=5, test_share=0.19),
        Preset('full', pictures=20_000, long_side=640, video=20, test_share=0.15),
    )
}


def get_preset(name: str) -> Preset:
    """The preset of that name.

    Raises:
        WorldError: there is none; the message lists what there is.
    """
    if name not in PRESETS:
        raise WorldError(f'unknown preset {name!r}; there are: {", ".join(PRESETS)}')
    return PRESETS[name]


def plan_world(preset: Preset, seed: int) -> list[SceneRequest]:
    """All pictures, by scene number (which is their place in the list).

    Raises:
        WorldError: too few pictures to give every source and split one, or a negative seed.
    """
    if seed < 0:
        raise WorldError(f'the seed must not be negative, got {seed}')
    if preset.pictures < 20:
        raise WorldError(
            f'a world needs at least 20 pictures to fill every source and split, not {preset.pictures}'
        )
    requests: list[SceneRequest] = []
    for number, (source, count) in enumerate(_quota(SOURCES, preset.pictures)):
        rng = np.random.default_rng((seed, number))
        deal = _deal_videos if source == 'posetrack18' else _deal_stills
        requests += deal(preset, seed, source, count, rng, first=len(requests))
    return requests


def fingerprint(requests: list) -> str:
    """A short hash of any world's plan, a list of dataclasses: the same one means the same
    pictures.
    """
    return hashlib.sha256(repr([astuple(request) for request in requests]).encode()).hexdigest()[
        :16
    ]


def _splits(source: str, test_share: float) -> dict[str, float]:
    if (
        source == 'crowdpose'
    ):  # the real one is 5 : 1 : 4; its train and val together are MCPC's train
        return {'train': (1 - test_share) * 5 / 6, 'val': (1 - test_share) / 6, 'test': test_share}
    return {'train': 1 - test_share, 'val': test_share}


def _deal_stills(
    preset: Preset, seed: int, source: str, count: int, rng: np.random.Generator, first: int
) -> list[SceneRequest]:
    requests = []
    for split, n in _quota(_splits(source, preset.test_share), count):
        formats = _dealt(_FORMATS[source], n, rng)
        persons = _dealt(_person_table(source, preset.mean_persons), n, rng)
        for aspect, num_persons in zip(formats, persons, strict=True):
            scene_id = first + len(requests)
            width, height = _size(aspect, preset.long_side)
            requests.append(
                SceneRequest(
                    scene_id=scene_id,
                    source=source,
                    split=split,
                    file_name=_still_name(source, split, scene_id),
                    width=width,
                    height=height,
                    num_persons=num_persons,
                    seed=_scene_seed(seed, scene_id),
                )
            )
    return requests


def _deal_videos(
    preset: Preset, seed: int, source: str, count: int, rng: np.random.Generator, first: int
) -> list[SceneRequest]:
    """Videos of ``preset.video`` pictures; the last one of a split takes the remainder, too."""
    requests: list[SceneRequest] = []
    video = 0
    for split, n in _quota(_splits(source, preset.test_share), count):
        lengths = [preset.video] * max(1, n // preset.video)
        lengths[-1] += n - sum(lengths)
        persons = _dealt(_person_table(source, preset.mean_persons), len(lengths), rng)
        for length, num_persons in zip(lengths, persons, strict=True):
            width, height = _size((16, 9), preset.long_side)
            start = first + len(requests)
            for frame in range(length):
                requests.append(
                    SceneRequest(
                        scene_id=start + frame,
                        source=source,
                        split=split,
                        file_name=f'images/{split}/{video:06d}_synthetic/{frame:06d}.jpg',
                        width=width,
                        height=height,
                        num_persons=num_persons,
                        seed=_scene_seed(seed, start),
                        sequence=video,
                        frame=frame,
                    )
                )
            video += 1
    return requests


def _still_name(source: str, split: str, scene_id: int) -> str:
    """A picture's name as in the real set: numbers with gaps, so that nobody takes an id for an
    index.
    """
    if source == 'coco':
        return f'{split}2017/{139 + 37 * scene_id:012d}.jpg'
    if source == 'mpii':
        return f'images/{1_000_001 + 53 * scene_id:09d}.jpg'
    return f'images/{100_000 + scene_id}.jpg'


def _size(aspect: tuple[int, int], long_side: int) -> tuple[int, int]:
    scale = long_side / max(aspect)
    return int(aspect[0] * scale) // 2 * 2, int(aspect[1] * scale) // 2 * 2


def _scene_seed(seed: int, scene_id: int) -> int:
    """A seed of its own for every scene; scenes of different worlds never share one by
    arithmetic.
    """
    return int(np.random.SeedSequence((seed, scene_id)).generate_state(1)[0])


def _person_table(source: str, mean: float | None) -> dict[int, float]:
    """Persons -> weight; with a mean, one person and a Poisson number of others, 12 in all at
    most.
    """
    if mean is None:
        return _PERSONS[source]
    if mean < 1:
        raise WorldError(f'a picture needs at least one person on average, got {mean}')
    numbers = np.arange(12)
    logs = numbers * np.log(max(mean - 1, 1e-9)) - np.cumsum(np.log(np.maximum(numbers, 1)))
    return dict(enumerate(np.exp(logs - logs.max()).tolist(), start=1))


def _quota(weights: dict, count: int) -> list[tuple]:
    """Split ``count`` by weight, to whole numbers that add up (largest remainders first)."""
    total = sum(weights.values())
    exact = {key: count * weight / total for key, weight in weights.items()}
    whole = {key: int(value) for key, value in exact.items()}
    by_remainder = sorted(exact, key=lambda key: whole[key] - exact[key])
    for key in by_remainder[: count - sum(whole.values())]:
        whole[key] += 1
    return list(whole.items())


def _dealt(weights: dict, count: int, rng: np.random.Generator) -> list:
    """``count`` keys in their quotas, shuffled."""
    deck = [key for key, n in _quota(weights, count) for _ in range(n)]
    return [deck[i] for i in rng.permutation(len(deck))]
