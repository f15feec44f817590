# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Human3.6M's subjects, actions, subactions and cameras, and their names in each layout."""

import re
from collections.abc import Iterable, Sequence

#: Subjects whose poses are public.
SUBJECTS = (1, 5, 6, 7, 8, 9, 11)

#: The paper's Subject Protocols -> (training subjects, test subjects). PoseNet numbers them the
#: other way round.
PROTOCOLS = {1: ((1, 5, 6, 7, 8), (9, 11)), 2: ((1, 5, 6, 7, 8, 9), (11,))}

#: Every so many frames of 50 a second are used, as in PoseNet.
TRAIN_STEP, TEST_STEP = 5, 64

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

#: Subject, index of the action, subaction, camera of the sequence that is broken in the release.
#: Everybody leaves it out.
BROKEN = (11, 0, 2, 1)

# Numbers in the names of subactions 1 and 2 (None: no number), by subject and action, where the
# rule of subaction_number does not tell them. From the table in the release's metadata.xml.
_SUBACTION_NAMES = {
    (5, 'Discussion'): (2, 3),
    (11, 'Phoning'): (3, 2),
    (5, 'Photo'): (None, 2),
    **{(subject, 'Photo'): (None, 1) for subject in (6, 7)},
    **{(subject, 'SittingDown'): (None, 1) for subject in (5, 7, 8, 9, 11)},
}

_FILE_NAME = re.compile(r'S(\d{1,3})_([A-Za-z]+)(?:[_ ](\d{1,3}))?\.(\d+)_(\d{1,9})\.\w+')


def check_subjects(subjects: Iterable[int]) -> tuple[int, ...]:
    """Return the subjects, sorted.

    Raises:
        ValueError: no subject, one that is unknown, or one named twice.
    """
    found = sorted(subjects)
    if not found or len(set(found)) < len(found) or not set(found) <= set(SUBJECTS):
        raise ValueError(f'subjects must be some of {SUBJECTS}, each once, got {found}')
    return tuple(found)


def check_actions(actions: str | Sequence[str] | None) -> tuple[str, ...]:
    """Return the actions in Human3.6M's order; all for None.

    Raises:
        ValueError: no action, or one that is unknown.
    """
    names = ACTIONS if actions is None else [actions] if isinstance(actions, str) else actions
    unknown = [name for name in names if name not in ACTIONS]
    if unknown or not names:
        raise ValueError(f'unknown action {unknown}; Human3.6M has {", ".join(ACTIONS)}')
    return tuple(action for action in ACTIONS if action in names)


def select_subjects(
    protocol: int | None, subjects: Sequence[int] | None, test_mode: bool
) -> tuple[int, ...]:
    """Return the subjects of ``protocol`` (1 by default), or ``subjects``.

    Raises:
        ValueError: both are given, or one that is unknown.
    """
    if subjects is not None and protocol is not None:
        raise ValueError(f'give a protocol or subjects, not both: got {protocol}, {subjects}')
    if subjects is not None:
        return check_subjects(subjects)
    protocol = 1 if protocol is None else protocol
    if protocol not in PROTOCOLS:
        raise ValueError(f'subject protocol must be one of {sorted(PROTOCOLS)}, got {protocol!r}')
    return PROTOCOLS[protocol][bool(test_mode)]


def select_step(frame_step: int | None, test_mode: bool) -> int:
    """Return ``frame_step``, PoseNet's by default.

    Raises:
        ValueError: not a positive integer.
    """
    step = frame_step if frame_step is not None else TEST_STEP if test_mode else TRAIN_STEP
    if not isinstance(step, int) or step < 1:
        raise ValueError(f'frame_step must be a positive integer, got {step!r}')
    return step


def sequence_key(subject: int, action: int, subaction: int, camera: int) -> str:
    """Return the name of a sequence in 3DMPPE's layout.

    Args:
        action: index in :data:`ACTIONS`. camera: 1 to 4.
    """
    idx = action + FIRST_ACTION_IDX
    return f's_{subject:02d}_act_{idx:02d}_subact_{subaction:02d}_ca_{camera:02d}'


def frame_key(subject: int, action: int, subaction: int, camera: int, frame: int) -> str:
    """Return the name of a frame (numbered from 0), the same in every layout."""
    return f'{sequence_key(subject, action, subaction, camera)}_{frame + 1:06d}'


def frame_id(subject: int, action: int, subaction: int, camera: int, frame: int) -> int:
    """Return a number for a frame, for layouts that have none."""
    return (((subject * 16 + action) * 4 + subaction) * 8 + camera) * 1_000_000 + frame


def parse_file_name(name: str) -> tuple[int, int, int | None, int, int]:
    """Parse the name of one of MMPose's images, which holds all that its annotations tell.

    Only the last part of the path counts.

    Returns:
        Subject, index of the action in :data:`ACTIONS`, number in the name of the subaction (None
        where there is none), camera 1 to 4, frame from 0.

    Raises:
        ValueError: not such a name, or an action or camera that Human3.6M does not have.
    """
    match = _FILE_NAME.fullmatch(name.replace('\\', '/').rpartition('/')[2])
    if match is None or int(match[5]) < 1:
        raise ValueError(f'{name!r} is not a name like S1_Directions_1.54138969_000001.jpg')
    subject, action, subaction, camera, number = match.groups()
    action = _ACTION_ALIASES.get(action, action)
    if action not in ACTIONS or camera not in CAMERA_IDS:
        raise ValueError(
            f'{name!r} is of action {action!r} and camera {camera!r}; Human3.6M has '
            f'{", ".join(ACTIONS)} and {", ".join(CAMERA_IDS)}'
        )
    return (
        int(subject), ACTIONS.index(action), None if subaction is None else int(subaction),
        CAMERA_IDS.index(camera) + 1, int(number) - 1,
    )  # fmt: skip


def subaction_name(subject: int, action: str, subaction: int) -> int | None:
    """Return the number in the name of subaction 1 or 2, None for no number; the inverse of
    :func:`subaction_number`.
    """
    return _SUBACTION_NAMES.get((subject, action), (1, None))[subaction - 1]


def subaction_number(
    subject: int, action: str, named: int | None, siblings: Iterable[int | None]
) -> int:
    """Return which of an action's two subactions a video is, 1 or 2.

    The videos of one action of one subject are called 'X 1' and 'X 2', or 'X 1' and 'X', or even 'X
    2' and 'X', and the one without a number is the second. For some, only the release's table of
    names tells.

    Args:
        named: the number in its name, None where there is none.
        siblings: the numbers of all videos of that subject and action, itself included.
    """
    names = _SUBACTION_NAMES.get((subject, action), ())
    if named in names:
        return names.index(named) + 1
    if named is None:
        return 2
    return 1 if None in set(siblings) else min(max(named, 1), 2)
