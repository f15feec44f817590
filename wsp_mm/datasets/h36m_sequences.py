# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Human3.6M's subjects, actions, takes and cameras, and what each layout calls them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

#: Subjects whose poses are public.
SUBJECTS = (1, 5, 6, 7, 8, 9, 11)

#: The paper's Subject Protocols -> (training subjects, test subjects). PoseNet numbers them the
#: other way round.
PROTOCOLS = {1: ((1, 5, 6, 7, 8), (9, 11)), 2: ((1, 5, 6, 7, 8, 9), (11,))}

#: In the order of ``action_idx``, which begins at 2.
ACTIONS = (
    'Directions', 'Discussion', 'Eating', 'Greeting', 'Phoning', 'Posing', 'Purchases', 'Sitting',
    'SittingDown', 'Smoking', 'Photo', 'Waiting', 'Walking', 'WalkDog', 'WalkTogether',
)  # fmt: skip
FIRST_ACTION_IDX = 2

# The same actions are spelt in two ways in the original videos, depending on the subject.
_ACTION_ALIASES = {'TakingPhoto': 'Photo', 'WalkingDog': 'WalkDog'}

#: Ids of the cameras, in the order of ``cam_idx``, which begins at 1.
CAMERA_IDS = ('54138969', '55011271', '58860488', '60457274')

#: Subject, action, take, camera of the video that is broken in the release. Everybody leaves it
#: out.
BROKEN = (11, ACTIONS[0], 2, 1)

# Numbers in the names of takes 1 and 2 (None: no number), by subject and action, where the rule of
# take_number does not tell them. From the table in the release's metadata.xml.
_TAKE_NAMES = {
    (5, 'Discussion'): (2, 3),
    (11, 'Phoning'): (3, 2),
    (5, 'Photo'): (None, 2),
    **{(subject, 'Photo'): (None, 1) for subject in (6, 7)},
    **{(subject, 'SittingDown'): (None, 1) for subject in (5, 7, 8, 9, 11)},
}

_FILE_NAME = re.compile(r'S(\d+)_([A-Za-z]+)(?:[_ ](\d+))?\.(\d+)_(\d+)\.\w+')


def check_subjects(subjects: Iterable[int]) -> tuple[int, ...]:
    """The subjects, sorted.

    Raises:
        ValueError: no subject, one that is unknown, or one named twice.
    """
    found = sorted(subjects)
    if not found or len(set(found)) < len(found):
        raise ValueError(f'subjects must be some of {SUBJECTS}, each once, got {found}')
    for subject in found:
        if subject not in SUBJECTS:
            raise ValueError(
                f'Human3.6M has no poses of subject {subject!r}; it has those of {SUBJECTS}'
            )
    return tuple(found)


def check_actions(actions: str | Sequence[str] | None) -> tuple[str, ...]:
    """The actions in Human3.6M's order; all for None.

    Raises:
        ValueError: no action, or one that is unknown; the message lists them.
    """
    if actions is None:
        return ACTIONS
    names = [actions] if isinstance(actions, str) else list(actions)
    unknown = [name for name in names if name not in ACTIONS]
    if unknown or not names:
        raise ValueError(f'unknown action {unknown}; Human3.6M has {", ".join(ACTIONS)}')
    return tuple(action for action in ACTIONS if action in names)


def sequence_key(subject: int, action: int, take: int, camera: int) -> str:
    """Name of a video in 3DMPPE's layout; ``action`` is an index in :data:`ACTIONS`, camera 1 to
    4.
    """
    idx = action + FIRST_ACTION_IDX
    return f's_{subject:02d}_act_{idx:02d}_subact_{take:02d}_ca_{camera:02d}'


def frame_key(subject: int, action: int, take: int, camera: int, frame: int) -> str:
    """Name of a frame (numbered from 0), the same whatever layout it was read from."""
    return f'{sequence_key(subject, action, take, camera)}_{frame + 1:06d}'


def frame_id(subject: int, action: int, take: int, camera: int, frame: int) -> int:
    """A number for a frame, for layouts that give none."""
    return (((subject * 16 + action) * 4 + take) * 8 + camera) * 1_000_000 + frame


def parse_file_name(name: str) -> tuple[int, int, int | None, int, int]:
    """Take the name of one of MMPose's pictures apart; the name is all that its annotations say.

    Folders do not count, only the last part.

    Returns:
        Subject, index of the action in :data:`ACTIONS`, number in the name of the take (None where
        there is none), camera 1 to 4, frame from 0.

    Raises:
        ValueError: this is no such name, or it names an action or camera that Human3.6M has not.
    """
    match = _FILE_NAME.fullmatch(name.replace('\\', '/').rpartition('/')[2])
    if match is None:
        raise ValueError(f'{name!r} is no name like S1_Directions_1.54138969_000001.jpg')
    subject, action, take, camera, number = match.groups()
    action = _ACTION_ALIASES.get(action, action)
    if action not in ACTIONS:
        raise ValueError(
            f'{name!r} names the action {action!r}; Human3.6M has {", ".join(ACTIONS)}'
        )
    if camera not in CAMERA_IDS:
        raise ValueError(
            f'{name!r} names the camera {camera!r}; Human3.6M has {", ".join(CAMERA_IDS)}'
        )
    if int(number) < 1:
        raise ValueError(f'{name!r}: frames are numbered from 1')
    return (
        int(subject), ACTIONS.index(action), None if take is None else int(take),
        CAMERA_IDS.index(camera) + 1, int(number) - 1,
    )  # fmt: skip


def take_name(subject: int, action: str, take: int) -> int | None:
    """The number in the name of take 1 or 2, which :func:`take_number` reads; None: no number."""
    return _TAKE_NAMES.get((subject, action), (1, None))[take - 1]


def take_number(
    subject: int, action: str, named: int | None, siblings: Iterable[int | None]
) -> int:
    """Which of an action's two takes a video is, 1 or 2.

    The videos of one action of one subject are called 'X 1' and 'X 2', or 'X 1' and 'X', or even 'X
    2' and 'X', and the one without a number is the second; but for some, of which the release's
    table of names tells.

    Args:
        named: the number in its name, None where there is none.
        siblings: what the videos of that subject and action are called, itself included.
    """
    names = _TAKE_NAMES.get((subject, action), ())
    if named in names:
        return names.index(named) + 1
    if named is None:
        return 2
    if None in set(siblings):
        return 1
    return min(max(named, 1), 2)
