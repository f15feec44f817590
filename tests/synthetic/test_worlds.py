# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Plans: which images each world has."""

import itertools
from collections import Counter, defaultdict
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsp_mm.structures.h36m import ACTIONS, SUBJECTS
from wsp_mm.synthetic.builder import plan_world
from wsp_mm.synthetic.layouts.mupots import num_columns, num_people
from wsp_mm.synthetic.plan import WorldError, fingerprint, quota
from wsp_mm.synthetic.worlds import WORLDS, h36m, wild

PRESETS = ('tiny', 'small', 'full')
ALL = [(world, preset) for world in WORLDS for preset in PRESETS]


@pytest.mark.parametrize(('world', 'preset'), ALL)
def test_images_are_numbered_and_have_no_name_twice(world, preset):
    requests = plan_world(world, preset, 0)
    assert [request.scene_id for request in requests] == list(range(len(requests)))
    names = [name for r in requests for name in (r.path, r.link) if name]
    assert len(set(names)) == len(names)
    folders = {name.split('/')[0] for name in names}
    assert folders == set(WORLDS[world].FOLDERS) - {'ground_truth'}
    assert {r.source for r in requests} == set(WORLDS[world].SETTINGS)
    # Images of a clip stand together.
    clips = [r.clip for r in requests]
    assert len(set(clips)) == 1 + sum(a != b for a, b in itertools.pairwise(clips))


def test_worlds_share_no_folder_and_presets_have_the_same_names():
    folders = [folder for world in WORLDS.values() for folder in world.FOLDERS]
    assert len(set(folders)) == len(folders)
    assert all(tuple(world.PRESETS) == PRESETS for world in WORLDS.values())


@pytest.mark.parametrize('world', WORLDS)
def test_a_plan_is_a_function_of_preset_and_seed(world):
    same, other = plan_world(world, 'tiny', 4), plan_world(world, 'tiny', 5)
    assert fingerprint(plan_world(world, 'tiny', 4)) == fingerprint(same) != fingerprint(other)
    side = 'long_side' if world in ('wild', 'photo', 'relative_human') else 'side'
    smaller = plan_world(world, WORLDS[world].PRESETS['tiny'] | {side: 128}, 4)
    assert fingerprint(smaller) != fingerprint(same)


def test_unknown_names_and_seeds():
    for arguments, words in (
        (('moon', 'tiny', 0), 'wild, h36m, muco, mupots, photo'),
        (('muco', 'huge', 0), 'tiny, small, full'),
        (('wild', 'tiny', -1), 'seed'),
    ):  # fmt: skip
        with pytest.raises(WorldError, match=words):
            plan_world(*arguments)


# ------------------------------------------------------------------ wild
@pytest.mark.parametrize('preset', PRESETS)
def test_every_source_and_split_has_its_share(preset):
    requests = plan_world('wild', preset, 0)
    assert len(requests) == wild.PRESETS[preset]['images']
    splits = {(r.source, r.split) for r in requests}
    assert len(splits) == 9 and ('crowdpose', 'test') in splits
    by_source = Counter(request.source for request in requests)
    for source, share in wild.SOURCES.items():
        assert by_source[source] == pytest.approx(share * len(requests), abs=1)


def test_videos_share_everything_but_time():
    videos = defaultdict(list)
    for request in plan_world('wild', 'small', 1):
        if request.source == 'posetrack18':
            videos[request.sequence].append(request)
        else:
            assert (request.sequence, request.frame, request.time) == (-1, -1, 0)
    assert len(videos) > 10 and len({frames[0].clip for frames in videos.values()}) == len(videos)
    for frames in videos.values():
        assert [r.frame for r in frames] == list(range(len(frames))) and len(frames) >= 2
        assert [r.time for r in frames] == [k / 12 for k in range(len(frames))]
        plain = {replace(r, scene_id=0, path='', time=0, frame=0) for r in frames}
        assert len(plain) == 1 and len({r.path.rpartition('/')[0] for r in frames}) == 1


@settings(max_examples=25, deadline=None)
@given(images=st.integers(20, 400), seed=st.integers(0, 1000), video=st.integers(2, 30))
def test_any_size_can_be_planned(images, seed, video):
    requests = wild.plan(seed, images, long_side=100, video=video, test_share=0.3)
    assert len(requests) == images
    assert all(r.num_persons >= 1 and r.width % 2 == r.height % 2 == 0 for r in requests)


@given(st.dictionaries(st.text(), st.floats(0.01, 100), min_size=1), st.integers(0, 1000))
def test_quotas_add_up_and_are_within_one_of_the_exact_share(weights, count):
    found = dict(quota(weights, count))
    assert sum(found.values()) == count
    for key, weight in weights.items():
        assert abs(found[key] - count * weight / sum(weights.values())) < 1 + 1e-6


# ------------------------------------------------------------------ the others
@pytest.mark.parametrize(
    ('preset', 'counts'),
    [('tiny', (240, 168, 120, 48, 96)), ('small', (2400, 2040, 1800, 240, 480)),
     ('full', (42_000, 38_400, 36_000, 2400, 4800))],
)  # fmt: skip
def test_how_many_images_readers_of_h36m_find(preset, counts):
    """In all; picked by frame % 5 of the training subjects of Protocol 2, of 1; by frame % 64 of
    the test subjects of Protocol 2, of 1.
    """
    requests = plan_world('h36m', preset, 3)
    train = [r.clip[0] for r in requests if r.frame % 5 == 0]
    test = [r.clip[0] for r in requests if r.frame % 64 == 0]
    assert set(train) == set(SUBJECTS)
    found = (
        len(requests), sum(s != 11 for s in train), sum(s not in (9, 11) for s in train),
        sum(s == 11 for s in test), sum(s in (9, 11) for s in test),
    )  # fmt: skip
    assert found == counts
    options = h36m.PRESETS[preset]
    subactions = Counter((*r.clip[:3], r.camera) for r in requests)
    assert len(subactions) == 7 * len(options['actions']) * 2 * 4
    assert {(r.clip[1], r.action) for r in requests} == {
        (index, ACTIONS[index - 2]) for index in options['actions']
    }
    # Every frame is for one of the two.
    assert all(r.frame % 5 == 0 or r.clip[0] in (9, 11) for r in requests)
    assert all(r.time == pytest.approx((r.frame - 64 * r.clip[3]) / 50) for r in requests)


def test_muco_has_one_to_four_persons_in_both_sets():
    requests = plan_world('muco', 'small', 0)
    for folder in ('augmented_set', 'unaugmented_set'):
        part = [r for r in requests if r.split == folder]
        assert len(part) == 300 and all(r.path.startswith(f'muco/{folder}/') for r in part)
        persons = Counter(r.num_persons for r in part)
        assert set(persons) == {1, 2, 3, 4} and persons[3] > persons[1]


@pytest.mark.parametrize('preset', PRESETS)
def test_mupots_has_twenty_sequences(preset):
    requests = plan_world('mupots', preset, 0)
    by_sequence = defaultdict(list)
    for request in requests:
        by_sequence[request.sequence].append(request)
    assert list(by_sequence) == list(range(1, 21))
    for sequence, frames in by_sequence.items():
        assert (frames[0].width == frames[0].height) == (sequence <= 5)
        number, bystander = num_people(sequence)
        assert num_columns(sequence) == number - bystander in (2, 3)
        assert {r.num_persons for r in frames[1:]} <= {number}
        assert (frames[0].num_persons == 0) == (sequence in (10, 20))
        assert all(r.annotated for r in frames[:-1])
        assert frames[-1].annotated != (sequence in (5, 15))
        assert all(0 <= r.time < 3 for r in frames)
    assert [s for s in by_sequence if num_people(s)[1]] == [4, 8, 16, 20]
