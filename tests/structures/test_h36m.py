# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import pytest

from wsp_mm.structures.h36m import (
    ACTIONS,
    SUBJECTS,
    check_actions,
    check_subjects,
    frame_id,
    frame_key,
    parse_file_name,
    select_step,
    select_subjects,
    subaction_name,
    subaction_number,
)


def test_names_of_frames():
    assert frame_key(11, 0, 2, 1, 4) == 's_11_act_02_subact_02_ca_01_000005'
    assert len({frame_id(s, a, t, c, f) for s in (1, 11) for a in (0, 14) for t in (1, 2)
                for c in (1, 4)
                for f in (0, 999_999)}) == 32  # fmt: skip


@pytest.mark.parametrize(
    'name, expected',
    [
        ('S1/Directions_1/S1_Directions_1.54138969_000001.jpg', (1, 'Directions', 1, 1, 0)),
        ('S8_WalkDog 1.55011271_000026.jpg', (8, 'WalkDog', 1, 2, 25)),
        ('/S9_Eating_2.54138969/S7_Greeting.58860488_000396.jpg', (7, 'Greeting', None, 3, 395)),
        ('S5_TakingPhoto.60457274_000001.jpg', (5, 'Photo', None, 4, 0)),
        ('S11_WalkingDog_2.60457274_000011.jpg', (11, 'WalkDog', 2, 4, 10)),
    ],
)
def test_mmpose_names(name, expected):
    subject, action, subaction, camera, frame = parse_file_name(name)
    assert (subject, ACTIONS[action], subaction, camera, frame) == expected


@pytest.mark.parametrize(
    'name, said',
    [
        ('S1_Jumping.54138969_000001.jpg', 'Jumping'),
        ('S1_Eating.12345678_000001.jpg', '12345678'),
        ('s_01_act_02_subact_01_ca_01_000001.jpg', 'not a name like'),
        ('S1_Eating.54138969_000000.jpg', 'not a name like'),
    ],
)
def test_other_names_are_refused(name, said):
    with pytest.raises(ValueError, match=said):
        parse_file_name(name)


# Videos of the release's metadata.xml that are not called 'X 1' and 'X', in the order of their
# subactions.
NAMES = {
    1: dict(Eating=(2, None), Sitting=(1, 2), SittingDown=(2, None)),
    5: dict(Directions=(1, 2), Discussion=(2, 3), Greeting=(1, 2), SittingDown=(None, 1),
            Photo=(None, 2), Waiting=(1, 2)),
    6: dict(Eating=(1, 2), Posing=(2, None), Sitting=(1, 2), Photo=(None, 1), Waiting=(3, None)),
    7: dict(Phoning=(2, None), SittingDown=(None, 1), Photo=(None, 1), Waiting=(1, 2),
            Walking=(1, 2)),
    8: dict(SittingDown=(None, 1), WalkTogether=(1, 2)),
    9: dict(Discussion=(1, 2), SittingDown=(None, 1)),
    11: dict(Discussion=(1, 2), Greeting=(2, None), Phoning=(3, 2), SittingDown=(None, 1),
             Smoking=(2, None)),
}  # fmt: skip


def test_subactions_of_the_release():
    """Both subactions of every action are told apart, and are those that the release counts."""
    for subject in SUBJECTS:
        for action in ACTIONS:
            names = NAMES[subject].get(action, (1, None))
            written = [subaction_name(subject, action, number) for number in (1, 2)]
            for form in (names, written):
                numbers = [subaction_number(subject, action, name, form) for name in form]
                assert numbers == [1, 2], (subject, action)
    assert subaction_number(1, 'Directions', None, {None}) == 2  # the other one is not there


def test_subjects_and_actions():
    assert check_subjects([11, 9]) == (9, 11)
    for bad in ([], [2], [1, 1]):
        with pytest.raises(ValueError):
            check_subjects(bad)
    assert check_actions(None) == ACTIONS and len(ACTIONS) == 15
    assert check_actions('Walking') == ('Walking',)
    assert check_actions(['Walking', 'Eating']) == ('Eating', 'Walking')
    with pytest.raises(ValueError, match=r"'Running'.*Directions, .*WalkTogether"):
        check_actions(['Walking', 'Running'])


def test_selections():
    assert select_subjects(None, None, False) == (1, 5, 6, 7, 8)
    assert select_subjects(2, None, False) == (1, 5, 6, 7, 8, 9)
    assert select_subjects(1, None, True) == (9, 11) and select_subjects(2, None, True) == (11,)
    assert select_subjects(None, [7, 5], True) == (5, 7)
    assert (select_step(None, False), select_step(None, True), select_step(3, True)) == (5, 64, 3)
    for bad in ((1, [1], False), (3, None, False), (None, [2], False)):
        with pytest.raises(ValueError):
            select_subjects(*bad)
    for bad in (0, 2.5):
        with pytest.raises(ValueError, match='frame_step'):
            select_step(bad, False)
