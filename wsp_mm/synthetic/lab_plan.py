# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Which moments of the lab are photographed: Human3.6M's subjects, actions and takes, thinned.

A *take* is one subject doing one action for the first or second time (sub-action). It is as long as
in the real set, but only some of its frames are written, those that readers pick (50 frames a
second, counted from 0):

- training subjects 1, 5, 6, 7, 8: frames 5, 70, 135, ... (every 65th), picked by the training rule
  ``frame % 5 == 0`` and hardly ever by the test rule;
- test subject 11: frames 0, 192, 320, 512, ..., picked by the test rule ``frame % 64 == 0``; every
  other one is picked by the training rule as well, and so is in files of 10 frames a second;
- subject 9, who is trained on in Subject Protocol 1 and tested on in 2: the frames of 11, and 70,
  200, ...

All four cameras see every moment. The take that is broken in the real set (subject 11, action 2,
sub-action 2, camera 1) is written like any other; readers skip it.
"""

from __future__ import annotations

from dataclasses import dataclass

from wsp_mm.synthetic.actions import H36M_ACTIONS
from wsp_mm.synthetic.layouts.files import WorldError

SUBJECTS = (1, 5, 6, 7, 8, 9, 11)
TEST_SUBJECTS = (9, 11)
SUBACTIONS = (1, 2)
# Actions are numbered from 2, in this order.
ACTION_NAMES = tuple(H36M_ACTIONS)
FIRST_ACTION = 2
# Cameras are numbered from 1 in the one layout and have these names in the other.
CAMERA_NAMES = ('54138969', '55011271', '58860488', '60457274')
FRAME_RATE = 50
TRAIN_STEP, TEST_STEP = 5, 64


@dataclass(frozen=True)
class LabPreset:
    """Size of a lab world.

    Attributes:
        name: as on the command line. side: px of the square pictures.
        actions: numbers of the actions, 2 to 16.
        train_frames: frames of each take of a training subject. test_frames: of each take of 9 and
            11.
        extra_frames: of each take of 9, for training only.
    """

    name: str
    side: int
    actions: tuple[int, ...]
    train_frames: int
    test_frames: int
    extra_frames: int


_ALL = tuple(range(FIRST_ACTION, FIRST_ACTION + len(ACTION_NAMES)))
LAB_PRESETS = {
    preset.name: preset
    for preset in (
        LabPreset('tiny', 256, (2, 9, 14), train_frames=1, test_frames=2, extra_frames=1),
        LabPreset('small', 320, _ALL, train_frames=5, test_frames=3, extra_frames=1),
        LabPreset('full', 512, _ALL, train_frames=60, test_frames=20, extra_frames=10),
    )
}


@dataclass(frozen=True)
class Moment:
    """One moment in the lab, which four cameras see; nothing else has a say in their pictures.

    Attributes:
        scene_id: number of the moment in the world. subject, action, subaction, frame: as in
            Human3.6M.
        side: px. seed: of the world.
    """

    scene_id: int
    subject: int
    action: int
    subaction: int
    frame: int
    side: int
    seed: int

    @property
    def action_name(self) -> str:
        return ACTION_NAMES[self.action - FIRST_ACTION]


def get_lab_preset(name: str) -> LabPreset:
    """The preset of that name.

    Raises:
        WorldError: there is none; the message lists what there is.
    """
    if name not in LAB_PRESETS:
        raise WorldError(f'unknown preset {name!r}; there are: {", ".join(LAB_PRESETS)}')
    return LAB_PRESETS[name]


def frames_of(subject: int, preset: LabPreset) -> list[int]:
    """The frames that are written of each take of a subject, ascending; the module says which."""
    if subject not in TEST_SUBJECTS:
        return [65 * k + 5 for k in range(preset.train_frames)]
    frames = {320 * (k // 2) + 192 * (k % 2) for k in range(preset.test_frames)}
    if subject == 9:
        frames |= {65 * (2 * k + 1) + 5 for k in range(preset.extra_frames)}
    return sorted(frames)


def plan_lab(preset: LabPreset, seed: int) -> list[Moment]:
    """All moments, by number (which is their place in the list), takes one after another.

    Raises:
        WorldError: a negative seed, pictures too small to show anybody, or an unknown action.
    """
    if seed < 0:
        raise WorldError(f'the seed must not be negative, got {seed}')
    if preset.side < 64:
        raise WorldError(f'lab pictures need at least 64 px a side, not {preset.side}')
    if not preset.actions or not set(preset.actions) <= set(_ALL):
        raise WorldError(f'actions have the numbers {_ALL[0]} to {_ALL[-1]}, got {preset.actions}')
    takes = [
        (subject, action, subaction, frame)
        for subject in SUBJECTS
        for action in preset.actions
        for subaction in SUBACTIONS
        for frame in frames_of(subject, preset)
    ]
    return [Moment(number, *take, preset.side, seed) for number, take in enumerate(takes)]
