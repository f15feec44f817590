# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""The lab's files in both layouts, read as their users read them, without the package's own
readers.
"""

import json
import os
import pickle
import re
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from wsp_mm.synthetic.lab import LabRecord, lab_cameras
from wsp_mm.synthetic.lab_plan import CAMERA_NAMES, LabPreset, plan_lab
from wsp_mm.synthetic.lab_world import LAB
from wsp_mm.synthetic.layouts.h36m_mmpose import pickled_cameras
from wsp_mm.synthetic.parcels import make_parcels, verify_parcels

PRESET = LabPreset('test', 64, (2, 14), train_frames=1, test_frames=2, extra_frames=1)
SEED = 4


@pytest.fixture(scope='module')
def painted(request):
    """The lab with cardboard people: real cameras, no bodies, a colour for a picture."""
    upright = request.getfixturevalue('upright')

    def generate(moment):
        rng = np.random.default_rng(moment.scene_id)
        joints = upright + rng.normal(0, 40, upright.shape) + [*rng.uniform(-900, 900, 2), 0]
        record = LabRecord(
            moment.scene_id,
            moment.subject,
            moment.action,
            moment.subaction,
            moment.frame,
            joints,
            'standing',
            1700.0,
        )
        colours = rng.integers(0, 255, (4, 3))
        return [np.full((moment.side, moment.side, 3), c, np.uint8) for c in colours], record

    return replace(LAB, generate=generate, check=lambda record, moment: [])


@pytest.fixture(scope='module')
def folder(painted, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp('lab')
    report = make_parcels(out, painted, PRESET, SEED, workers=0)
    assert report.rendered == 4 * len(plan_lab(PRESET, SEED)) == 160
    assert report.counts['human36m', 'S9'] == dict(
        pictures=48, persons=48, annotated=48, with_ankle=48
    )
    assert all(path.is_file() for path in report.paths)
    return out


def read(folder, subject, name):
    return json.loads(
        (folder / f'human36m/annotations/Human36M_subject{subject}_{name}.json').read_text()
    )


def table(folder, rate, split):
    with np.load(
        folder / f'h36m/annotation_body3d/fps{rate}/h36m_{split}.npz', allow_pickle=False
    ) as data:
        return dict(data)


def test_3dmppe_files(folder):
    ids = []
    for subject in (1, 5, 6, 7, 8, 9, 11):
        data, camera, joints = (
            read(folder, subject, name) for name in ('data', 'camera', 'joint_3d')
        )
        assert set(camera) == {'1', '2', '3', '4'}
        assert {k: np.shape(v) for k, v in camera['1'].items()} == {
            'R': (3, 3),
            't': (3,),
            'f': (2,),
            'c': (2,),
        }
        assert set(joints) == {'2', '14'} and set(joints['2']) == {'1', '2'}
        assert [a['image_id'] for a in data['annotations']] == [i['id'] for i in data['images']]
        for image, annotation in zip(data['images'], data['annotations'], strict=True):
            ids.append(image['id'])
            s, a, sub, cam, frame = (
                image[k] for k in ('subject', 'action_idx', 'subaction_idx', 'cam_idx', 'frame_idx')
            )
            take = f's_{s:02d}_act_{a:02d}_subact_{sub:02d}_ca_{cam:02d}'
            assert image['file_name'] == f'{take}/{take}_{frame + 1:06d}.jpg'
            assert s == subject and image['action_name'] == {2: 'Directions', 14: 'Walking'}[a]
            picture = cv2.imread(str(folder / 'human36m/images' / image['file_name']))
            assert picture.shape == (image['height'], image['width'], 3) == (64, 64, 3)
            world = np.array(joints[str(a)][str(sub)][str(frame)])
            assert (
                world.shape == (17, 3) and world[:, 2].min() > -200 and world[10, 2] > 1400
            )  # mm, z up
            K = {k: np.array(v) for k, v in camera[str(cam)].items()}
            local = world @ K['R'].T + K['t']
            px = local[:, :2] / local[:, 2:] * K['f'] + K['c']
            inside = (px >= 0).all(axis=1) & (px < 64).all(axis=1)
            assert annotation['keypoints_vis'] == inside.tolist()
            x, y, w, h = annotation['bbox']
            low, high = px.min(axis=0), px.max(axis=0)
            assert (x + w / 2, y + h / 2) == pytest.approx((low + high) / 2, abs=1e-3)
            assert (w, h) == pytest.approx(1.2 * (high - low - 1), abs=1e-3)
            assert K['t'][2] > 3000  # of R X + t; a camera's centre would be half as high as a room
    assert sorted(ids) == list(range(160)) == ids


def test_mmpose_files_say_the_same(folder):
    cameras = pickle.loads(
        (folder / 'h36m/annotation_body3d/cameras.pkl').read_bytes(), encoding='latin1'
    )
    assert set(cameras) == {(f'S{s}', c) for s in (1, 5, 6, 7, 8, 9, 11) for c in CAMERA_NAMES}
    listed = {}
    for split, subjects in (('train', {1, 5, 6, 7, 8}), ('test', {9, 11})):
        data = table(folder, 50, split)
        assert {int(name.split('/')[0][1:]) for name in data['imgname']} == subjects
        listed |= {name: row for row, name in enumerate(data['imgname'])}
        for row, name in enumerate(data['imgname']):
            subject, take, file = name.split('/')
            action, camera_id = take.removeprefix(f'{subject}_').split('.')
            camera = cameras[subject, camera_id]
            number = CAMERA_NAMES.index(camera_id) + 1
            subaction = 1 if action.endswith('_1') else 2
            frame = int(file.removesuffix('.jpg').rpartition('_')[2]) - 1
            index = {'Directions': 2, 'Walking': 14}[action.removesuffix('_1')]
            world = read(folder, int(subject[1:]), 'joint_3d')[str(index)][str(subaction)][
                str(frame)
            ]
            # MMPose's convention: T is the centre, in metres.
            local = (np.array(world) / 1000 - camera['T'].ravel()) @ camera['R']
            assert data['S'][row, :, :3] == pytest.approx(local, abs=1e-6)
            px = local[:, :2] / local[:, 2:] * camera['f'].ravel() + camera['c'].ravel()
            assert data['part'][row, :, :2] == pytest.approx(px, abs=1e-3)
            assert (data['part'][row, :, 2] == 1).all() and (data['S'][row, :, 3] == 1).all()
            low, high = px.min(axis=0), px.max(axis=0)
            assert data['center'][row] == pytest.approx((low + high) / 2, abs=1e-3)
            assert data['scale'][row] == pytest.approx(1.2 * (high - low).max() / 200, abs=1e-5)
            # The same picture under both names.
            folder_name = (
                f's_{int(subject[1:]):02d}_act_{index:02d}_subact_{subaction:02d}_ca_{number:02d}'
            )
            first = folder / 'human36m/images' / folder_name / f'{folder_name}_{frame + 1:06d}.jpg'
            assert os.path.samefile(first, folder / 'h36m/images' / name)
    assert len(listed) == 160


def test_ten_frames_a_second_are_those_of_fifty(folder):
    for split in ('train', 'test'):
        all_rows, tenth = table(folder, 50, split), table(folder, 10, split)
        frames = np.array([int(name[-10:-4]) - 1 for name in all_rows['imgname']])
        kept = frames % 5 == 0
        assert kept.any() and (split == 'train') == kept.all()
        for key in all_rows:
            assert (all_rows[key][kept] == tenth[key]).all()


def test_types_are_those_of_the_real_files(folder, sample_data):
    real = pickle.loads((sample_data / 'h36m/cameras.pkl').read_bytes(), encoding='latin1')[
        'S1', '54138969'
    ]
    ours = pickle.loads(
        (folder / 'h36m/annotation_body3d/cameras.pkl').read_bytes(), encoding='latin1'
    )
    ours = ours['S1', '54138969']
    assert set(ours) == set(real)
    for key, value in real.items():
        assert type(ours[key]) is type(value) and np.shape(ours[key]) == np.shape(value), key
    assert ours['id'] == real['id'] and ours['name'] == real['name']
    with np.load(sample_data / 'h36m/test_h36m_body3d.npz') as data:
        for key, value in table(folder, 10, 'train').items():
            assert (
                value.dtype.kind == data[key].dtype.kind and value.shape[1:] == data[key].shape[1:]
            ), key


def test_cameras_are_pickled_by_the_names_that_every_numpy_knows():
    data = pickled_cameras(0, 100)
    assert data[1] == 3 and b'numpy._core' not in data and b'numpy.core.multiarray' in data


def test_the_layouts_invert_each_other():
    cameras = pickle.loads(pickled_cameras(SEED, 64))
    for number, camera in enumerate(lab_cameras(SEED, 8, 64)):
        other = cameras['S8', CAMERA_NAMES[number]]
        assert -other['R'].T @ other['T'].ravel() * 1000 == pytest.approx(camera.t)


def test_nothing_is_wrong_with_it(folder, painted):
    assert verify_parcels(folder, painted, PRESET, SEED, workers=0) == ([], 160)


@pytest.mark.parametrize(
    ('name', 'change', 'words'),
    [
        (
            'camera',
            lambda c: c['2']['t'].__setitem__(0, c['2']['t'][0] + 90),
            'layouts are .* px apart',
        ),
        (
            'joint_3d',
            lambda j: j['2']['1']['5'][3].__setitem__(1, 0.0),
            'joints are not those of record 0',
        ),
        ('data', lambda d: d['images'].pop(), 'is not listed in both layouts'),
        (
            'data',
            lambda d: d['images'].append({**d['images'][0], 'file_name': 'x'}),
            'x is listed, but not planned',
        ),
    ],
)
def test_verify_reads_the_annotations(folder, painted, name, change, words):
    path = folder / f'human36m/annotations/Human36M_subject1_{name}.json'
    before = path.read_text()
    content = json.loads(before)
    change(content)
    try:
        path.write_text(json.dumps(content))
        problems, _ = verify_parcels(folder, painted, PRESET, SEED, workers=0, count=0)
    finally:
        path.write_text(before)
    assert problems and re.search(words, problems[0]), problems


def test_a_real_record_is_checked_against_its_body():
    moment = plan_lab(PRESET, 0)[0]
    _, record = LAB.generate(moment)
    again = LabRecord.from_dict(record.to_dict())
    assert LAB.check(again, moment) == []
    again.joints_world[3, 2] += 20
    assert LAB.check(again, moment) == ['joint 3 is 20.0 mm off the body']
