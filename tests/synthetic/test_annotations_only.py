# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import json

import numpy as np
import pytest

from wsp_mm.structures.keypoints import get_joint_set
from wsp_mm.synthetic.annotations_only import make_annotations, scenes
from wsp_mm.synthetic.layouts.files import WorldError
from wsp_mm.synthetic.plan import Preset, plan_world

WORLD = get_joint_set('world')


@pytest.fixture(scope='module')
def made(bank, tmp_path_factory):
    out = tmp_path_factory.mktemp('only')
    return out, make_annotations(out, 400, 5.0, seed=1, bank=bank)


def test_numbers_and_files(made):
    out, report = made
    assert sum(count['pictures'] for count in report.counts.values()) == 400
    persons = sum(count['persons'] for count in report.counts.values())
    assert persons / 400 == pytest.approx(5.0, abs=0.5)
    assert {path.name for path in out.iterdir()} == {
        'world.json',
        'coco',
        'mpii',
        'posetrack18',
        'crowdpose',
    }
    assert not list(out.rglob('*.jpg')), 'no pictures are made'
    content = json.loads((out / 'coco/annotations/person_keypoints_train2017.json').read_text())
    assert len(content['images']) == report.counts['coco', 'train']['pictures']


def test_recorded_geometry_is_consistent(bank):
    requests = plan_world(Preset('x', 60, 320, 4, 0.2), 0)
    for scene in scenes(requests, bank, 0):
        for person in scene.persons:
            projected = scene.camera.project(scene.camera.to_camera(person.joints_world))
            np.testing.assert_allclose(
                projected[person.in_picture, :2], person.joints_px[person.in_picture]
            )
            assert not (person.visible & ~person.in_picture).any() and person.in_picture.any()
            x, y, w, h = person.bbox
            assert (
                x >= 0
                and y >= 0
                and x + w <= scene.width - 1 + 1e-3
                and y + h <= scene.height - 1 + 1e-3
            )
            assert (person.area > 0) == bool(person.polygons)
            assert 0 <= person.visible_share <= 1
            lowest = person.joints_world[:, 2].min()
            assert -150 < lowest < 250, 'people stand on the ground'


def test_positive_pitch_looks_down_and_roll_turns(bank):
    """The recorded angles against the horizon that the camera itself projects."""
    for scene in list(scenes(plan_world(Preset('x', 40, 320, 4, 0.2), 2), bank, 2)):
        camera = scene.camera
        assert camera.position == pytest.approx([0, 0, scene.camera_height], abs=1e-6)
        ahead = camera.project(
            camera.to_camera([[0, 1e7, scene.camera_height], [1e4, 1e7, scene.camera_height]])
        )
        offset = ahead[0, :2] - camera.c
        above = np.arctan2(np.hypot(*offset), camera.f[0]) * np.sign(-offset[1])
        assert np.rad2deg(above) == pytest.approx(scene.pitch, abs=1e-3)
        tilt = ahead[1, :2] - ahead[0, :2]
        assert np.rad2deg(np.arctan2(tilt[1], tilt[0])) == pytest.approx(scene.roll, abs=0.05)


def test_nearer_people_hide_farther_ones(bank):
    hidden = 0
    for scene in scenes(plan_world(Preset('x', 80, 320, 4, 0.2, mean_persons=7.0), 0), bank, 0):
        depths = [
            scene.camera.to_camera(p.joints_world)[WORLD.index('pelvis'), 2] for p in scene.persons
        ]
        if not depths:
            continue
        nearest = scene.persons[int(np.argmin(depths))]
        assert nearest.visible_share == 1.0
        hidden += sum(p.visible_share < 1 for p in scene.persons)
    assert hidden > 30


def test_videos_keep_their_people(bank):
    requests = [r for r in plan_world(Preset('x', 150, 320, 6, 0.2), 0) if r.sequence == 0]
    frames = list(scenes(requests, bank, 0))
    assert len(frames) == 6
    for scene in frames[1:]:
        np.testing.assert_array_equal(scene.camera.R, frames[0].camera.R)
        for person in scene.persons:
            same = [p for p in frames[0].persons if p.person_id == person.person_id]
            assert not same or same[0].height == person.height


def test_deterministic(bank, made, tmp_path):
    out, _ = made
    make_annotations(tmp_path, 400, 5.0, seed=1, bank=bank)
    for path in out.rglob('*.json'):
        assert (tmp_path / path.relative_to(out)).read_bytes() == path.read_bytes()


def test_another_folder_is_asked_for(made, bank):
    with pytest.raises(WorldError, match='already holds another world'):
        make_annotations(made[0], 500, 5.0, seed=1, bank=bank)
