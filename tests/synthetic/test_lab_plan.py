# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
from collections import Counter
from dataclasses import replace

import pytest

from wsp_mm.synthetic.lab_plan import (
    ACTION_NAMES,
    LAB_PRESETS,
    SUBJECTS,
    frames_of,
    get_lab_preset,
    plan_lab,
)
from wsp_mm.synthetic.layouts.files import WorldError
from wsp_mm.synthetic.plan import fingerprint

# Pictures in all; picked by frame % 5 of the training subjects of Protocol 1, of 2; by frame % 64
# of the test subjects of Protocol 1, of 2.
COUNTS = {
    'tiny': (240, 168, 120, 48, 96),
    'small': (3840, 3360, 3000, 360, 720),
    'full': (42_000, 38_400, 36_000, 2400, 4800),
}


def test_actions_have_the_real_order():
    assert ACTION_NAMES == (
        'Directions', 'Discussion', 'Eating', 'Greeting', 'Phoning', 'Posing', 'Purchases', 'Sitting',
        'SittingDown', 'Smoking', 'Photo', 'Waiting', 'Walking', 'WalkDog', 'WalkTogether',
    )  # fmt: skip


@pytest.mark.parametrize('name', list(LAB_PRESETS))
def test_how_many_pictures_readers_find(name):
    preset = LAB_PRESETS[name]
    moments = plan_lab(preset, 0)
    assert [moment.scene_id for moment in moments] == list(range(len(moments)))
    train = [m for m in moments if m.frame % 5 == 0]
    test = [m for m in moments if m.frame % 64 == 0]
    assert {m.subject for m in train} == {m.subject for m in moments} == set(SUBJECTS)
    found = (
        len(moments),
        sum(m.subject != 11 for m in train),
        sum(m.subject not in (9, 11) for m in train),
        sum(m.subject == 11 for m in test),
        sum(m.subject in (9, 11) for m in test),
    )
    assert tuple(4 * n for n in found) == COUNTS[name]
    # Every frame is for one of the two.
    assert all(m.frame % 5 == 0 or (m.frame % 64 == 0 and m.subject in (9, 11)) for m in moments)


def test_the_rules_pick_different_frames():
    small = LAB_PRESETS['small']
    assert frames_of(1, small) == [5, 70, 135, 200, 265]
    assert frames_of(11, small) == [0, 192, 320]
    assert frames_of(9, small) == [0, 70, 192, 320]


def test_every_take_is_there_once():
    moments = plan_lab(LAB_PRESETS['small'], 3)
    takes = Counter((m.subject, m.action, m.subaction) for m in moments)
    assert len(takes) == 7 * 15 * 2
    assert len({(m.subject, m.action, m.subaction, m.frame) for m in moments}) == len(moments)
    assert {m.seed for m in moments} == {3} and {m.side for m in moments} == {320}
    assert (
        moments[0].action_name == 'Directions'
        and plan_lab(LAB_PRESETS['tiny'], 0)[-1].action_name == 'Walking'
    )


def test_plans_differ_by_seed_and_size():
    tiny = LAB_PRESETS['tiny']
    plans = [
        plan_lab(tiny, 0),
        plan_lab(tiny, 0),
        plan_lab(tiny, 1),
        plan_lab(replace(tiny, side=128), 0),
    ]
    assert len({fingerprint(plan) for plan in plans}) == 3


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        (dict(side=32), 'at least 64 px'), (dict(actions=(1, 2)), 'numbers 2 to 16'),
        (dict(actions=()), 'numbers 2 to 16'),
    ],
)  # fmt: skip
def test_plans_that_cannot_be(change, words):
    with pytest.raises(WorldError, match=words):
        plan_lab(replace(LAB_PRESETS['tiny'], **change), 0)


def test_mistakes_are_told():
    with pytest.raises(WorldError, match='negative'):
        plan_lab(LAB_PRESETS['tiny'], -1)
    with pytest.raises(WorldError, match=r"unknown preset 'huge'; there are: tiny, small, full"):
        get_lab_preset('huge')
