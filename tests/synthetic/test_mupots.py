# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""The MuPoTS world: plan, pictures, json and MATLAB files, the latter read as their users read
them.
"""

import itertools
import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.io import loadmat

from wsp_mm.datasets.mupots_annotations import read_mupots
from wsp_mm.structures.keypoints import get_joint_set
from wsp_mm.synthetic import mupots_scene
from wsp_mm.synthetic.layouts.files import WorldError
from wsp_mm.synthetic.layouts.mupots import UNIVERSAL_MM, knee_to_neck
from wsp_mm.synthetic.muco_scene import studio_identity
from wsp_mm.synthetic.mupots_plan import (
    MUPOTS_PRESETS,
    MupotsPreset,
    get_mupots_preset,
    num_columns,
    plan_mupots,
)
from wsp_mm.synthetic.mupots_scene import (
    MupotsRecord,
    generate_mupots,
    make_mupots_setting,
    mupots_identity,
    mupots_view,
)
from wsp_mm.synthetic.mupots_world import MUPOTS
from wsp_mm.synthetic.parcels import make_parcels, verify_parcels

PRESET = MupotsPreset('test', frames=2, side=64, interval=1.5)
SEED = 3
SET = get_joint_set('mupots17')


# ------------------------------------------------------------------ plan
@pytest.mark.parametrize('name, frames', [('tiny', 3), ('small', 10), ('full', 100)])
def test_twenty_sequences_of_up_to_three_persons(name, frames):
    requests = plan_mupots(MUPOTS_PRESETS[name], 0)
    assert [r.scene_id for r in requests] == list(range(20 * frames))
    assert [r.file_name for r in requests[frames - 1 : frames + 1]] == [
        f'TS1/img_{frames - 1:06d}.jpg', 'TS2/img_000000.jpg',
    ]  # fmt: skip
    for sequence in range(1, 21):
        part = [r for r in requests if r.sequence == sequence]
        assert [r.frame for r in part] == list(range(frames))
        assert len({(r.width, r.height, r.bystander) for r in part}) == 1
        assert {r.num_persons for r in part} - {0} <= {2, 3} and num_columns(sequence) in (2, 3)
        assert (part[0].width == part[0].height) == (sequence <= 5)
    assert [r.file_name for r in requests if not r.num_persons] == [
        'TS10/img_000000.jpg',
        'TS20/img_000000.jpg',
    ]
    assert [r.sequence for r in requests if not r.annotated] == [5, 15]
    assert sorted({r.sequence for r in requests if r.bystander}) == [4, 8, 16, 20]


def test_plans_that_cannot_be():
    for changes in (dict(frames=0), dict(side=32), dict(interval=0.0)):
        with pytest.raises(WorldError, match='a MuPoTS world needs a frame a sequence'):
            plan_mupots(replace(PRESET, **changes), 0)
    with pytest.raises(WorldError, match='negative'):
        plan_mupots(PRESET, -1)
    with pytest.raises(WorldError, match=r"unknown preset 'huge'; there are: tiny, small, full"):
        get_mupots_preset('huge')


# ------------------------------------------------------------------ files, of cardboard people
@pytest.fixture(scope='module')
def painted(upright):
    """People of cardboard; the second of TS1 in frame 1 was missed."""

    def generate(request):
        rng = np.random.default_rng(request.scene_id)
        n = request.num_persons
        view = mupots_view(request)
        world = upright + rng.normal(0, 30, (n, *upright.shape)) + [0, 4000, 0]
        world = world + 900 * np.arange(n)[:, None, None] * [1, 0, 0]
        valid = np.full(n, request.annotated)
        if request.bystander:
            valid[-1:] = False
        if (request.sequence, request.frame) == (1, 1):
            valid[1] = False
        shown = rng.random((n, upright.shape[0])) < 0.8
        record = MupotsRecord(
            request.scene_id, request.sequence, request.frame, request.file_name, request.width, request.height,
            view.camera.f, view.camera.c, view.camera.to_camera(world), shown, valid, np.ones(n, bool),
        )  # fmt: skip
        return [np.full((request.height, request.width, 3), 90, np.uint8)], record

    return replace(MUPOTS, generate=generate, check=lambda record, request: [])


@pytest.fixture(scope='module')
def folder(painted, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp('mupots')
    report = make_parcels(out, painted, PRESET, SEED, workers=0)
    assert (
        report.rendered == 40
        and len(report.paths) == 41
        and all(path.is_file() for path in report.paths)
    )
    assert report.counts['mupots', 'TS1'] == dict(pictures=2, persons=6, annotated=5, with_ankle=5)
    return out


@pytest.mark.parametrize('as_record', [True, False])
@pytest.mark.parametrize('squeeze', [True, False])
def test_matlab_files_have_the_official_fields(folder, as_record, squeeze):
    """As SciPy's users read them, in all four ways."""
    place = folder / 'mupots/MultiPersonTestSet/TS4'
    how = dict(struct_as_record=as_record, squeeze_me=squeeze)
    annotations = loadmat(place / 'annot.mat', **how)['annotations']
    labels = loadmat(place / 'occlusion.mat', **how)['occlusion_labels']
    assert annotations.shape == labels.shape == (2, 2)  # frame, person: no column for the bystander
    cell = annotations[1, 0]
    if not squeeze:
        assert cell.shape == (1, 1)
        cell = cell[0, 0]
    names = cell.dtype.names if as_record else tuple(cell._fieldnames)
    assert names == ('annot2', 'annot3', 'univ_annot3', 'isValidFrame')
    get = (lambda name: cell[name]) if as_record else (lambda name: getattr(cell, name))
    values = {name: np.asarray(get(name)) for name in names}
    if as_record and squeeze:
        values = {
            name: np.asarray(value.item() if value.ndim == 0 else value)
            for name, value in values.items()
        }
    assert values['annot2'].shape == (2, 17) and values['annot3'].shape == values[
        'univ_annot3'
    ].shape == (
        3,
        17,
    )
    assert values['isValidFrame'].size == 1 and bool(values['isValidFrame'].reshape(-1)[0])
    assert np.asarray(labels[1, 0]).size == 17 and set(np.unique(labels[1, 0])) <= {0, 1}


def test_json_and_matlab_files_say_the_same(folder):
    content = json.loads((folder / 'mupots/MuPoTS-3D.json').read_text())
    assert len(content['images']) == 40 and set(content) == {'images', 'annotations'}
    assert [a['id'] for a in content['annotations']] == list(range(len(content['annotations'])))
    truth = read_mupots(folder / 'mupots/MuPoTS-3D.json', folder / 'mupots/MultiPersonTestSet')
    assert truth.source == 'annot.mat' and truth.notes == () and len(truth.frames) == 40
    by_id = {a['id']: a for a in content['annotations']}
    frames = {frame.key: frame for frame in truth.frames}
    assert len(frames['TS1_img_000001'].occluded) == 2  # of three
    assert not len(frames['TS5_img_000001'].occluded) and len(frames['TS5_img_000000'].occluded)
    assert not len(frames['TS10_img_000000'].occluded)
    by_image = {}
    for annotation in by_id.values():
        if annotation['is_valid']:
            by_image.setdefault(annotation['image_id'], []).append(annotation)
    checked = 0
    for frame in truth.frames:
        for i, listed in enumerate(by_image.get(frame.image_id, ())):
            cam, f, c = frame.keypoints_cam[i], frame.intrinsic[:2], frame.intrinsic[2:]
            np.testing.assert_allclose(listed['keypoints_cam'], cam, atol=1e-3)
            np.testing.assert_allclose(
                cam[:, :2] / cam[:, 2:] * f + c, frame.keypoints_img[i], atol=1e-3
            )
            # Universal: seen by the same camera in the same pixels, and as large as everybody else.
            univ = frame.keypoints_univ[i]
            np.testing.assert_allclose(
                univ[:, :2] / univ[:, 2:] * f + c, frame.keypoints_img[i], atol=1e-3
            )
            assert knee_to_neck(univ[None])[0] == pytest.approx(UNIVERSAL_MM)
            assert (frame.occluded[i] == ~np.array(listed['keypoints_vis'], bool)).all()
            checked += 1
    # 2 frames of 2 or 3 columns, less the missed one, the empty frames and those without
    # annotations
    assert checked == sum(2 * num_columns(s) for s in range(1, 21)) - 1 - (3 + 2) - (3 + 2)


def test_knee_to_neck_does_not_depend_on_the_posture():
    """Hand-made: thighs 400 and 420, pelvis to spine 200, spine to neck 300 mm; lying, bent,
    anywhere.
    """
    pose = np.zeros((1, 17, 3))
    at = {'pelvis': (0, 0, 0), 'spine': (0, -200, 0), 'thorax': (300, -200, 0)}
    at |= {'left_hip': (100, 0, 0), 'left_knee': (100, 0, 400), 'right_hip': (-100, 0, 0)}
    at |= {'right_knee': (-100, 420, 0)}
    for concept, point in at.items():
        pose[0, SET.index(concept)] = point
    assert knee_to_neck(pose + np.array([5, 6, 3000]))[0] == pytest.approx(410 + 200 + 300)


def test_nothing_is_wrong_with_it_until_something_is_changed(painted, folder):
    assert verify_parcels(folder, painted, PRESET, SEED, workers=0) == ([], 40)
    place = folder / 'mupots/MultiPersonTestSet'
    moved = [('TS7/annot.mat', 'TS8/annot.mat'), ('TS2/occlusion.mat', 'TS1/occlusion.mat')]
    before = {name: (place / name).read_bytes() for name, _ in moved}
    for name, source in moved:
        try:
            (place / name).write_bytes((place / source).read_bytes())
            problems, _ = verify_parcels(folder, painted, PRESET, SEED, workers=0, count=0)
        finally:
            (place / name).write_bytes(before[name])
        assert problems, name
    assert any('labels of person' in problem for problem in problems)
    path = folder / 'mupots/MuPoTS-3D.json'
    text = path.read_text()
    content = json.loads(text)
    content['annotations'][0]['keypoints_cam'][5][0] += 30
    content['images'] = content['images'][:-1]
    content['annotations'] = [a for a in content['annotations'] if a['image_id'] != 39]
    try:
        path.write_text(json.dumps(content))
        problems, _ = verify_parcels(folder, painted, PRESET, SEED, workers=0, count=0)
    finally:
        path.write_text(text)
    assert any('TS1_img_000000: person 1 is elsewhere' in p for p in problems)
    assert any('TS20_img_000001 is not listed' in p for p in problems)


# ------------------------------------------------------------------ bodies
def test_people_are_none_of_mucos():
    """Other bodies and other clothes, in the same world; the same body in all sequences, dressed
    anew.
    """
    ours = [mupots_identity(SEED, 1, k) for k in range(8)]
    theirs = [studio_identity(SEED, k, outfit) for k in range(8) for outfit in range(2)]
    for a in ours:
        assert all(np.abs(a.phenotype - b.phenotype).max() > 1e-3 for b in theirs)
        assert 18 <= a.age <= 60 and a.outfit is not None
    again = mupots_identity(SEED, 2, 0)
    assert (again.phenotype == ours[0].phenotype).all()
    assert (again.outfit.textures != ours[0].outfit.textures).any()


def test_a_sequence_has_one_camera_and_the_same_people_who_move():
    requests = [
        r for r in plan_mupots(replace(PRESET, frames=5, interval=0.5), SEED) if r.sequence == 7
    ]
    settings = [make_mupots_setting(request) for request in requests]
    first = settings[0]
    for setting in settings[1:]:
        assert (setting.view.camera.R == first.view.camera.R).all()
        assert (setting.view.camera.f == first.view.camera.f).all()
        assert setting.bodies.identities == first.bodies.identities
    for one, two in itertools.pairwise(settings):
        off = np.linalg.norm(one.joints - two.joints, axis=2).max(axis=1)
        # Half a second apart in one piece: everybody moves, nobody jumps.
        assert (off > 0.003).all() and (off < 1.6).all()
    new = make_mupots_setting(replace(requests[0], time=mupots_scene.PIECE_SECONDS))
    assert np.linalg.norm(new.places - first.places, axis=1).max() > 0.3
    empty = make_mupots_setting(replace(requests[0], num_persons=0))
    assert empty.bodies is None and len(empty.surfaces) == 0


def test_a_picture_and_its_record():
    request = next(r for r in plan_mupots(PRESET, SEED) if r.sequence == 8 and r.frame == 1)
    (image,), record = generate_mupots(request)
    assert image.shape == (64, request.width, 3) and image.std() > 5
    assert record.joints_cam.shape == (3, 29, 3) and not record.valid[2]  # the bystander
    assert (record.valid <= record.in_view).all()
    px = record.joints_cam[..., :2] / record.joints_cam[..., 2:] * record.f + record.c
    inside = (px >= -0.5).all(axis=2) & (px < np.array([request.width, 64]) - 0.5).all(axis=2)
    assert not record.shown[~inside].any() and record.shown[:, :].any()
    back = MupotsRecord.from_dict(json.loads(json.dumps(record.to_dict())))
    assert MUPOTS.check(back, request) == []
    back.joints_cam[0, :, 0] += 30
    assert '30.0 mm off the body' in MUPOTS.check(back, request)[0]
    nobody = generate_mupots(replace(request, num_persons=0))[1]
    assert MupotsRecord.from_dict(json.loads(json.dumps(nobody.to_dict()))).joints_cam.shape == (
        0,
        29,
        3,
    )
    assert not generate_mupots(replace(request, annotated=False))[1].valid.any()
    with pytest.raises(ValueError, match='have 2'):
        MupotsRecord.from_dict(record.to_dict() | dict(shown=record.shown[:2].tolist()))


@pytest.mark.slow
def test_a_whole_world(tmp_path):
    preset = replace(PRESET, frames=1)
    make_parcels(tmp_path, MUPOTS, preset, SEED, workers=0)
    assert verify_parcels(tmp_path, MUPOTS, preset, SEED, workers=0) == ([], 20)
    picture = cv2.imread(str(tmp_path / 'mupots/MultiPersonTestSet/TS6/img_000000.jpg'))
    assert picture.shape == (64, 84, 3)
    truth = read_mupots(tmp_path / 'mupots/MuPoTS-3D.json', tmp_path / 'mupots/MultiPersonTestSet')
    valid = [len(frame.occluded) for frame in truth.frames]
    assert 20 <= sum(valid) < sum(num_columns(s) for s in range(1, 21)) and valid.count(0) >= 3
