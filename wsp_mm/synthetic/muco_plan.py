# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Which pictures the MuCo world has: half of them before the studio's walls, half before other
backgrounds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wsp_mm.synthetic.layouts.files import WorldError

# In the order of their numbers; the names are those of the pictures' folders.
SETS = ('augmented_set', 'unaugmented_set')
# Persons in a picture, and how often.
_PERSONS = {1: 0.12, 2: 0.26, 3: 0.34, 4: 0.28}


@dataclass(frozen=True)
class MucoPreset:
    """Size of a MuCo world: ``name`` as on the command line, ``pictures`` in both sets, square
    ``side`` px.
    """

    name: str
    pictures: int
    side: int


MUCO_PRESETS = {
    preset.name: preset
    for preset in (
        MucoPreset('tiny', pictures=60, side=256),
        MucoPreset('small', pictures=1500, side=320),
        MucoPreset('full', pictures=20_000, side=512),
    )
}


@dataclass(frozen=True)
class MucoRequest:
    """What a picture is made from; nothing else has a say in it.

    Attributes:
        scene_id: number in the world. file_name: with the set's folder. augmented: with a foreign
            background.
        side: px. num_persons: 1 to 4. seed: of the world.
    """

    scene_id: int
    file_name: str
    augmented: bool
    side: int
    num_persons: int
    seed: int


def get_muco_preset(name: str) -> MucoPreset:
    """The preset of that name.

    Raises:
        WorldError: there is none; the message lists what there is.
    """
    if name not in MUCO_PRESETS:
        raise WorldError(f'unknown preset {name!r}; there are: {", ".join(MUCO_PRESETS)}')
    return MUCO_PRESETS[name]


def plan_muco(preset: MucoPreset, seed: int) -> list[MucoRequest]:
    """All pictures, by number (which is their place in the list).

    Raises:
        WorldError: a negative seed, fewer than two pictures, or pictures too small to show anybody.
    """
    if seed < 0:
        raise WorldError(f'the seed must not be negative, got {seed}')
    if preset.pictures < 2 or preset.side < 64:
        raise WorldError(
            f'a MuCo world needs 2 pictures of 64 px at least, not {preset.pictures} of {preset.side} px'
        )
    half = (preset.pictures + 1) // 2
    requests: list[MucoRequest] = []
    for number, (folder, count) in enumerate(
        zip(SETS, (half, preset.pictures - half), strict=True)
    ):
        rng = np.random.default_rng([seed, 201, number])
        # Shares in turn, so that even few pictures have every number of persons; then shuffled.
        edges = np.cumsum(list(_PERSONS.values())) / sum(_PERSONS.values())
        persons = np.searchsorted(edges, (np.arange(count) + 0.5) / count) + 1
        for k, num_persons in enumerate(rng.permutation(persons).tolist()):
            name = f'{folder}/{k:06d}.jpg'
            requests.append(
                MucoRequest(len(requests), name, number == 0, preset.side, num_persons, seed)
            )
    return requests
