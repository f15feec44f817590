# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsp_mm.synthetic.layouts.files import WorldError
from wsp_mm.synthetic.plan import PRESETS, SOURCES, Preset, fingerprint, get_preset, plan_world

SPLITS = {
    ('coco', 'train'), ('coco', 'val'), ('mpii', 'train'), ('mpii', 'val'), ('posetrack18', 'train'),
    ('posetrack18', 'val'), ('crowdpose', 'train'), ('crowdpose', 'val'), ('crowdpose', 'test'),
}  # fmt: skip


@pytest.mark.parametrize('name', sorted(PRESETS))
def test_a_preset_has_its_pictures_in_every_source_and_split(name):
    requests = plan_world(PRESETS[name], 0)
    assert [request.scene_id for request in requests] == list(range(PRESETS[name].pictures))
    assert {(request.source, request.split) for request in requests} == SPLITS
    assert len({(request.source, request.file_name) for request in requests}) == len(requests)
    by_source = Counter(request.source for request in requests)
    for source, share in SOURCES.items():
        assert by_source[source] == pytest.approx(share * len(requests), abs=1)


def test_small_fits_quickstart():
    requests = plan_world(PRESETS['small'], 0)
    assert len(requests) <= 1500
    test = [
        r for r in requests if (r.source, r.split) in {('crowdpose', 'test')} or r.split == 'val'
    ]
    assert 0.15 <= len(test) / len(requests) <= 0.25
    assert sum(2 <= r.num_persons <= 5 for r in requests) > 0.75 * len(requests)
    assert any(r.num_persons == 1 for r in requests), 'MCPC must have somebody to filter out'
    assert {max(r.width, r.height) for r in requests} == {320}
    assert len({(r.width, r.height) for r in requests}) >= 4


def test_videos_share_seed_size_and_persons_and_count_their_frames():
    requests = [r for r in plan_world(PRESETS['small'], 1) if r.source == 'posetrack18']
    videos = {}
    for request in requests:
        videos.setdefault(request.sequence, []).append(request)
    assert len(videos) > 10
    for frames in videos.values():
        assert [r.frame for r in frames] == list(range(len(frames))) and len(frames) >= 2
        assert len({(r.seed, r.width, r.height, r.num_persons, r.split) for r in frames}) == 1
        assert len({r.file_name.rpartition('/')[0] for r in frames}) == 1
    assert len({frames[0].seed for frames in videos.values()}) == len(videos)


def test_stills_have_seeds_of_their_own():
    requests = [r for r in plan_world(PRESETS['small'], 0) if r.sequence < 0]
    assert len({r.seed for r in requests}) == len(requests)
    assert all(r.frame == -1 for r in requests)


def test_the_plan_is_a_function_of_preset_and_seed():
    tiny = PRESETS['tiny']
    assert fingerprint(plan_world(tiny, 4)) == fingerprint(plan_world(tiny, 4))
    assert fingerprint(plan_world(tiny, 4)) != fingerprint(plan_world(tiny, 5))
    assert fingerprint(plan_world(tiny, 4)) != fingerprint(
        plan_world(replace(tiny, long_side=128), 4)
    )
    # two worlds do not share scenes either
    seeds = [{r.seed for r in plan_world(tiny, seed)} for seed in (4, 5)]
    assert not seeds[0] & seeds[1]


@settings(max_examples=25, deadline=None)
@given(
    pictures=st.integers(20, 400), seed=st.integers(0, 1000), video=st.integers(2, 30),
    mean=st.one_of(st.none(), st.floats(1, 9)),
)  # fmt: skip
def test_any_size_can_be_planned(pictures, seed, video, mean):
    preset = Preset('any', pictures, long_side=100, video=video, test_share=0.3, mean_persons=mean)
    requests = plan_world(preset, seed)
    assert len(requests) == pictures
    assert all(r.num_persons >= 1 and r.width % 2 == r.height % 2 == 0 for r in requests)
    assert all(r.frame >= 0 for r in requests if r.source == 'posetrack18')


def test_mean_persons_is_met():
    requests = plan_world(Preset('many', 4000, 640, 20, 0.15, mean_persons=5.0), 0)
    assert sum(r.num_persons for r in requests) / len(requests) == pytest.approx(5.0, abs=0.15)


def test_mistakes_are_told():
    with pytest.raises(WorldError, match=r"unknown preset 'huge'; there are: tiny, small, full"):
        get_preset('huge')
    with pytest.raises(WorldError, match='at least 20 pictures'):
        plan_world(replace(PRESETS['tiny'], pictures=5), 0)
    with pytest.raises(WorldError, match='negative'):
        plan_world(PRESETS['tiny'], -1)
    with pytest.raises(WorldError, match='at least one person'):
        plan_world(replace(PRESETS['tiny'], mean_persons=0.5), 0)
