# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""The MuCo world: plan, pictures, json."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from wsp_mm.structures.keypoints import get_joint_set
from wsp_mm.synthetic import muco_scene
from wsp_mm.synthetic.layouts.files import WorldError
from wsp_mm.synthetic.layouts.muco import muco_joints
from wsp_mm.synthetic.muco_plan import MUCO_PRESETS, MucoPreset, get_muco_preset, plan_muco
from wsp_mm.synthetic.muco_scene import (
    MucoRecord,
    generate_muco,
    make_muco_setting,
    studio_identity,
)
from wsp_mm.synthetic.muco_world import MUCO
from wsp_mm.synthetic.parcels import make_parcels, verify_parcels

PRESET = MucoPreset('test', 8, 96)
COUNTS = {'tiny': 60, 'small': 1500, 'full': 20_000}
SET = get_joint_set('muco21')


@pytest.mark.parametrize('name', list(MUCO_PRESETS))
def test_both_sets_have_one_to_four_persons(name):
    requests = plan_muco(MUCO_PRESETS[name], 0)
    assert [r.scene_id for r in requests] == list(range(COUNTS[name]))
    assert len({r.file_name for r in requests}) == len(requests)
    for augmented, folder in ((True, 'augmented_set/'), (False, 'unaugmented_set/')):
        part = [r for r in requests if r.augmented == augmented]
        assert len(part) == COUNTS[name] / 2 and all(r.file_name.startswith(folder) for r in part)
        persons = Counter(r.num_persons for r in part)
        assert set(persons) == {1, 2, 3, 4} and persons[3] > persons[1]


def test_plans_that_cannot_be():
    for preset, words in (
        (MucoPreset('x', 1, 96), '2 pictures'),
        (MucoPreset('x', 9, 32), 'of 64 px at least'),
    ):
        with pytest.raises(WorldError, match=words):
            plan_muco(preset, 0)
    with pytest.raises(WorldError, match='negative'):
        plan_muco(PRESET, -1)
    with pytest.raises(WorldError, match=r"unknown preset 'huge'; there are: tiny, small, full"):
        get_muco_preset('huge')


@pytest.fixture(scope='module')
def folder(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp('muco')
    report = make_parcels(out, MUCO, PRESET, 1, workers=0)
    assert report.rendered == 8
    assert report.counts['muco', 'augmented_set']['pictures'] == 4
    return out


@pytest.fixture(scope='module')
def content(folder):
    return json.loads((folder / 'muco/MuCo-3DHP.json').read_text())


def test_the_json_reprojects(folder, content):
    images = {image['id']: image for image in content['images']}
    assert len(images) == 8
    asked = {r.scene_id: r.num_persons for r in plan_muco(PRESET, 1)}
    assert Counter(a['image_id'] for a in content['annotations']) == asked
    assert [a['id'] for a in content['annotations']] == list(range(sum(asked.values())))
    for image in images.values():
        picture = cv2.imread(str(folder / 'muco' / image['file_name']))
        assert picture.shape == (image['height'], image['width'], 3) == (96, 96, 3)
    for annotation in content['annotations']:
        image = images[annotation['image_id']]
        local, px = np.array(annotation['keypoints_cam']), np.array(annotation['keypoints_img'])
        vis = np.array(annotation['keypoints_vis'])
        assert (
            local.shape == (21, 3)
            and px.shape == (21, 2)
            and vis.shape == (21,)
            and vis.dtype == bool
        )
        assert local[:, :2] / local[:, 2:] * image['f'] + image['c'] == pytest.approx(px, abs=1e-3)
        assert 1500 < local[14, 2] < 7500
        assert local[14] == pytest.approx(
            (local[8] + local[11]) / 2, abs=0.01
        )  # the pelvis between the hips
        x, y, w, h = annotation['bbox']
        middle = (px.min(axis=0) + px.max(axis=0)) / 2
        assert (x + w / 2, y + h / 2) == pytest.approx(middle, abs=1e-3) and w > 3 and h > 3
        assert not vis[(px < -0.5).any(axis=1) | (px >= 95.5).any(axis=1)].any()


def test_nothing_is_wrong_with_it_until_something_is_changed(folder, content):
    assert verify_parcels(folder, MUCO, PRESET, 1, workers=0) == ([], 8)
    path = folder / 'muco/MuCo-3DHP.json'
    before = path.read_text()
    content = json.loads(before)
    content['annotations'][0]['keypoints_img'][5][0] += 1
    content['images'].append({**content['images'][0], 'id': 99})
    content['annotations'].pop()
    try:
        path.write_text(json.dumps(content))
        problems, count = verify_parcels(folder, MUCO, PRESET, 1, workers=0, count=0)
    finally:
        path.write_text(before)
    assert count == 0 and len(problems) == 3
    assert 'image 99 is listed' in problems[0] and 'reprojects 1.00 px off' in problems[1]
    assert 'or its persons are not listed' in problems[2]


def test_a_record_of_somebody_else_is_noticed():
    request = plan_muco(PRESET, 1)[0]
    _, record = generate_muco(request)
    record = MucoRecord.from_dict(json.loads(json.dumps(record.to_dict())))
    assert MUCO.check(record, request) == []
    record.joints_cam[0, :, 0] += 30
    assert '30.0 mm off the nearest body' in MUCO.check(record, request)[0]
    fewer = replace(record, joints_cam=record.joints_cam[:0], shown=record.shown[:0])
    assert '0 persons are recorded' in MUCO.check(fewer, request)[0]


def test_pictures_are_a_function_of_the_request():
    request = plan_muco(PRESET, 1)[5]
    first = generate_muco(request)
    for cache in (muco_scene._empty_studio, muco_scene._studio, studio_identity):
        cache.cache_clear()
    second = generate_muco(request)
    assert (first[0][0] == second[0][0]).all() and first[1].to_dict() == second[1].to_dict()


def test_nearer_layers_cover_farther_ones(monkeypatch):
    """Two persons in line with the camera: the nearer is all there, the farther loses the joints
    behind it.
    """
    request = replace(plan_muco(PRESET, 1)[7], num_persons=2, augmented=False)

    def in_line(rng, bodies):
        return np.array([[0.0, 4.0], [0.0, 2.8]]), np.zeros(2)

    monkeypatch.setattr(muco_scene, '_place', in_line)
    setting = make_muco_setting(request)
    (image,), record = generate_muco(request)
    # Nearest first, whatever the order in the setting.
    assert record.joints_cam[0, :, 2].mean() < record.joints_cam[1, :, 2].mean()
    near, far = setting.view.camera.to_camera(setting.joints * 1000)[[1, 0]]
    assert np.abs(record.joints_cam - [near, far]).max() < 1e-6
    assert record.shown[0].mean() > 0.8 and record.shown[1].mean() < 0.6
    # At every joint of the nearer that lies within its outline the picture shows the nearer person.
    (x0, y0, _, _), mask, colors = muco_scene._layer(setting, 1)
    ys, xs = np.nonzero(cv2.erode(mask.astype(np.uint8), np.ones((5, 5))))
    off = np.abs(image[ys + y0, xs + x0].astype(int) - colors[ys, xs]).mean()
    assert len(ys) > 20 and off < 25


def test_what_the_own_body_hides_counts_as_shown():
    record = generate_muco(replace(plan_muco(PRESET, 1)[6], num_persons=1))[1]
    px = record.joints_cam[0, :, :2] / record.joints_cam[0, :, 2:] * record.f + record.c
    inside = (px >= -0.5).all(axis=1) & (px < 95.5).all(axis=1)
    assert (record.shown[0] == inside).all()


def test_backgrounds_vary_only_where_augmented():
    requests = plan_muco(replace(PRESET, side=64), 2)
    corners = {True: [], False: []}
    for request in requests:
        setting = make_muco_setting(request)
        background = muco_scene._background(request, setting.view)
        corners[request.augmented].append(background[:8].reshape(-1, 3).mean(axis=0))
    assert np.std(corners[True], axis=0).mean() > 3 * np.std(corners[False], axis=0).mean()
    assert all(g > r + 20 and g > b + 20 for r, g, b in corners[False])


def test_subjects_have_two_sets_of_clothes():
    a, b = (studio_identity(0, 3, outfit) for outfit in (0, 1))
    assert (a.phenotype == b.phenotype).all() and a.age == b.age
    assert (a.outfit.textures != b.outfit.textures).any()


def test_joints_that_are_not_shown_keep_their_place():
    joints = np.random.default_rng(0).normal((0, 0, 3000), 300, (1, 29, 3))
    record = MucoRecord(
        0, 'x', 64, 64, np.full(2, 50.0), np.full(2, 32.0), joints, np.zeros((1, 29), bool)
    )
    converted, shown = muco_joints(record)
    assert not shown.any() and (np.linalg.norm(converted, axis=2) > 100).all()
    world = get_joint_set('world')
    assert converted[0, SET.index('right_toe')] == pytest.approx(
        joints[0, world.index('right_toe')], abs=1e-3
    )
