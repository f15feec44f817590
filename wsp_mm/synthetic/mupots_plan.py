# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Which frames the MuPoTS world has: twenty sequences as in MuPoTS-3D, each with its people and its
one camera.

- TS1 to TS5 are square, the others wider than high; there are two or three people, those of a
  sequence the same throughout.
- In TS4, 8, 16 and 20 one of the three is a bystander, who is in no annotation.
- The first frame of TS10 and TS20 is of the empty place, in the last of TS5 and TS15 nobody is
  annotated.
"""

from __future__ import annotations

from dataclasses import dataclass

from wsp_mm.datasets.mupots_annotations import NUM_SEQUENCES
from wsp_mm.synthetic.layouts.files import WorldError


@dataclass(frozen=True)
class MupotsPreset:
    """Size of a MuPoTS world.

    Attributes:
        name: as on the command line. frames: of each of the twenty sequences. side: px, height of
            the pictures.
        interval: s between one frame and the next.
    """

    name: str
    frames: int
    side: int
    interval: float


MUPOTS_PRESETS = {
    preset.name: preset
    for preset in (
        MupotsPreset('tiny', frames=3, side=256, interval=3.0),
        MupotsPreset('small', frames=10, side=320, interval=1.0),
        MupotsPreset('full', frames=100, side=512, interval=0.1),
    )
}


@dataclass(frozen=True)
class MupotsRequest:
    """What a frame is made from; nothing else has a say in it.

    Attributes:
        scene_id: number in the world. sequence: 1 to 20. frame: from 0. time: s since the sequence
            began.
        width, height: px. num_persons: who are there, the bystander included; 0 for the empty
        place.
        bystander: whether the last of them is in no annotation. annotated: whether anybody is, in
            this frame.
        seed: of the world.
    """

    scene_id: int
    sequence: int
    frame: int
    time: float
    width: int
    height: int
    num_persons: int
    bystander: bool
    annotated: bool
    seed: int

    @property
    def file_name(self) -> str:
        return f'TS{self.sequence}/img_{self.frame:06d}.jpg'


def get_mupots_preset(name: str) -> MupotsPreset:
    """The preset of that name.

    Raises:
        WorldError: there is none; the message lists what there is.
    """
    if name not in MUPOTS_PRESETS:
        raise WorldError(f'unknown preset {name!r}; there are: {", ".join(MUPOTS_PRESETS)}')
    return MUPOTS_PRESETS[name]


def cast_size(sequence: int) -> tuple[int, bool]:
    """How many people a sequence has, and whether the last of them is a bystander."""
    num_persons = 2 if sequence % 3 == 0 else 3
    return num_persons, num_persons == 3 and sequence % 4 == 0


def num_columns(sequence: int) -> int:
    """How many people of a sequence are in its annotations."""
    num_persons, bystander = cast_size(sequence)
    return num_persons - bystander


def plan_mupots(preset: MupotsPreset, seed: int) -> list[MupotsRequest]:
    """All frames, by number (which is their place in the list), sequences one after another.

    Raises:
        WorldError: a negative seed, no frames, or pictures too small to show anybody.
    """
    if seed < 0:
        raise WorldError(f'the seed must not be negative, got {seed}')
    if preset.frames < 1 or preset.side < 64 or not preset.interval > 0:
        raise WorldError(
            'a MuPoTS world needs a frame a sequence, 64 px and some time from frame to frame at least, not '
            f'{preset.frames} frames of {preset.side} px every {preset.interval} s'
        )
    requests: list[MupotsRequest] = []
    for sequence in range(1, NUM_SEQUENCES + 1):
        width = preset.side if sequence <= 5 else 4 * round(preset.side / 3)
        num_persons, bystander = cast_size(sequence)
        for frame in range(preset.frames):
            empty = sequence in (10, 20) and frame == 0
            annotated = not (sequence in (5, 15) and frame == preset.frames - 1)
            requests.append(
                MupotsRequest(
                    len(requests), sequence, frame, round(frame * preset.interval, 6), width, preset.side,
                    0 if empty else num_persons, bystander, annotated, seed,
                )
            )  # fmt: skip
    return requests
