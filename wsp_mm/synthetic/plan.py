# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""What a world asks for: :class:`SceneRequest`, and how numbers of images are shared out."""

import hashlib
import zlib
from dataclasses import astuple, dataclass

import numpy as np


class WorldError(Exception):
    """Something that the user can fix; the message says what and how."""


@dataclass(frozen=True)
class SceneRequest:
    """What one image is made from; nothing else has a say in it.

    Attributes:
        world: name of a world. source: the data set whose layout it is for.
        split: of the source. scene_id: number in the world.
        path: of the image, relative to the world's folder. link: its second name, or ''.
        width, height: px. num_persons: 0 to 12. seed: of the world.
        clip: numbers that name a piece of continuous motion in this world. time: s since the clip
            began. camera: its number, from 0.
        sequence, frame: number of the video and of the frame, -1 for stills.
        action: of everybody; '': they choose. annotated: whether anybody may be annotated.
    """

    world: str
    source: str
    split: str
    scene_id: int
    path: str
    width: int
    height: int
    num_persons: int
    seed: int
    clip: tuple[int, ...]
    time: float = 0.0
    camera: int = 0
    sequence: int = -1
    frame: int = -1
    action: str = ''
    annotated: bool = True
    link: str = ''


def random_stream(seed: int, name: str, *key: int) -> np.random.Generator:
    """Random numbers of a world's seed for one purpose, and one number or clip of it."""
    return np.random.default_rng([seed, zlib.crc32(name.encode()), *key])


def rng_of(request: SceneRequest, name: str, *key: int) -> np.random.Generator:
    """Random numbers of a request's world for one purpose and key."""
    return random_stream(request.seed, f'{request.world} {name}', *key)


def fingerprint(requests: list[SceneRequest]) -> str:
    """A short hash of a plan: the same one means the same images."""
    text = repr([astuple(request) for request in requests])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def quota(weights: dict, count: int) -> list[tuple]:
    """Split ``count`` by weight, to whole numbers that add up (largest remainders first)."""
    total = sum(weights.values())
    exact = {key: count * weight / total for key, weight in weights.items()}
    whole = {key: int(value) for key, value in exact.items()}
    by_remainder = sorted(exact, key=lambda key: whole[key] - exact[key])
    for key in by_remainder[: count - sum(whole.values())]:
        whole[key] += 1
    return list(whole.items())


def shuffled(weights: dict, count: int, rng: np.random.Generator) -> list:
    """``count`` keys in their quotas, in random order."""
    keys = [key for key, n in quota(weights, count) for _ in range(n)]
    return [keys[i] for i in rng.permutation(len(keys))]
