# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Both layouts of Human3.6M, read as their users read them, without the package's own readers."""

import os
import pickle

import cv2
import numpy as np
import pytest

from wsp_mm.structures.h36m import CAMERA_IDS

SUBJECTS = (1, 5, 6, 7, 8, 9, 11)
MMPOSE = 'h36m/annotation_body3d'


@pytest.fixture(scope='module')
def cameras(world):
    return pickle.loads((world.folder / MMPOSE / 'cameras.pkl').read_bytes(), encoding='latin1')


@pytest.fixture(scope='module')
def table(world):
    return lambda rate, split: dict(np.load(world.folder / MMPOSE / f'fps{rate}/h36m_{split}.npz'))


def read(load, subject, *names):
    file = f'human36m/annotations/Human36M_subject{subject}_{{}}.json'
    return [load(file.format(name)) for name in names]


def test_3dmppe_files(world, load):
    ids = []
    for subject in SUBJECTS:
        data, camera, joints = read(load, subject, 'data', 'camera', 'joint_3d')
        shapes = {k: np.shape(v) for k, v in camera['1'].items()}
        assert set(camera) == {'1', '2', '3', '4'}
        assert shapes == {'R': (3, 3), 't': (3,), 'f': (2,), 'c': (2,)}
        assert set(joints) == {'2', '14'} and set(joints['2']) == {'1', '2'}
        assert [a['image_id'] for a in data['annotations']] == [i['id'] for i in data['images']]
        for image, annotation in zip(data['images'], data['annotations'], strict=True):
            ids.append(image['id'])
            parts = ('subject', 'action_idx', 'subaction_idx', 'cam_idx', 'frame_idx')
            s, a, sub, cam, frame = (image[k] for k in parts)
            name = f's_{s:02d}_act_{a:02d}_subact_{sub:02d}_ca_{cam:02d}'
            assert image['file_name'] == f'{name}/{name}_{frame + 1:06d}.jpg'
            assert s == subject and image['action_name'] == {2: 'Directions', 14: 'Walking'}[a]
            pixels = cv2.imread(str(world.folder / 'human36m/images' / image['file_name']))
            assert pixels.shape == (image['height'], image['width'], 3) == (64, 64, 3)
            joints_world = np.array(joints[str(a)][str(sub)][str(frame)])
            # mm, z up
            assert joints_world.shape == (17, 3) and joints_world[:, 2].min() > -200
            assert joints_world[10, 2] > 1100
            K = {k: np.array(v) for k, v in camera[str(cam)].items()}
            local = joints_world @ K['R'].T + K['t']
            px = local[:, :2] / local[:, 2:] * K['f'] + K['c']
            inside = (px >= 0).all(axis=1) & (px < 64).all(axis=1)
            assert annotation['keypoints_vis'] == inside.tolist()
            x, y, w, h = annotation['bbox']
            low, high = px.min(axis=0), px.max(axis=0)
            assert (x + w / 2, y + h / 2) == pytest.approx((low + high) / 2, abs=1e-3)
            assert (w, h) == pytest.approx(1.2 * np.maximum(high - low - 1, 1), abs=1e-3)
            assert K['t'][2] > 3000  # of R X + t; a camera's center would be half as high as a room
    assert ids == list(range(len(world.requests['h36m'])))


def test_mmpose_files_say_the_same(world, load, cameras, table):
    assert set(cameras) == {(f'S{s}', c) for s in SUBJECTS for c in CAMERA_IDS}
    listed = 0
    for split, subjects in (('train', {1, 5, 6, 7, 8}), ('test', {9, 11})):
        data = table(50, split)
        assert {int(name.split('/')[0][1:]) for name in data['imgname']} == subjects
        listed += len(data['imgname'])
        for row, name in enumerate(data['imgname']):
            subject, sequence, file = name.split('/')
            action, camera_id = sequence.removeprefix(f'{subject}_').split('.')
            camera = cameras[subject, camera_id]
            subaction = 1 if action.endswith('_1') else 2
            frame = int(file.removesuffix('.jpg').rpartition('_')[2]) - 1
            index = {'Directions': 2, 'Walking': 14}[action.removesuffix('_1')]
            (joints,) = read(load, int(subject[1:]), 'joint_3d')
            joints_world = np.array(joints[str(index)][str(subaction)][str(frame)])
            # MMPose's convention: T is the center, in metres.
            local = (joints_world / 1000 - camera['T'].ravel()) @ camera['R']
            assert data['S'][row, :, :3] == pytest.approx(local, abs=1e-6)
            px = local[:, :2] / local[:, 2:] * camera['f'].ravel() + camera['c'].ravel()
            assert data['part'][row, :, :2] == pytest.approx(px, abs=1e-3)
            assert (data['part'][row, :, 2] == 1).all() and (data['S'][row, :, 3] == 1).all()
            low, high = px.min(axis=0), px.max(axis=0)
            assert data['center'][row] == pytest.approx((low + high) / 2, abs=1e-3)
            assert data['scale'][row] == pytest.approx(1.2 * (high - low).max() / 200, abs=1e-5)
            # The same image under both names.
            number = CAMERA_IDS.index(camera_id) + 1
            s = int(subject[1:])
            other = f's_{s:02d}_act_{index:02d}_subact_{subaction:02d}_ca_{number:02d}'
            first = world.folder / 'human36m/images' / other / f'{other}_{frame + 1:06d}.jpg'
            assert os.path.samefile(first, world.folder / 'h36m/images' / name)
    assert listed == len(world.requests['h36m'])


def test_ten_frames_a_second_are_those_of_fifty(table):
    for split in ('train', 'test'):
        all_rows, tenth = table(50, split), table(10, split)
        frames = np.array([int(name[-10:-4]) - 1 for name in all_rows['imgname']])
        kept = frames % 5 == 0
        assert kept.any() and (split == 'train') == kept.all()
        for key in all_rows:
            assert (all_rows[key][kept] == tenth[key]).all()


def test_types_are_those_of_the_real_files(world, cameras, table, samples):
    file = (samples / 'h36m/cameras.pkl').read_bytes()
    real = pickle.loads(file, encoding='latin1')['S1', '54138969']
    ours = cameras['S1', '54138969']
    assert set(ours) == set(real)
    for key, value in real.items():
        assert type(ours[key]) is type(value) and np.shape(ours[key]) == np.shape(value), key
    assert ours['id'] == real['id'] and ours['name'] == real['name']
    with np.load(samples / 'h36m/test_h36m_body3d.npz') as data:
        for key, value in table(10, 'train').items():
            assert value.dtype.kind == data[key].dtype.kind, key
            assert value.shape[1:] == data[key].shape[1:], key
    # Pickled by the names that every NumPy knows.
    data = (world.folder / MMPOSE / 'cameras.pkl').read_bytes()
    assert data[1] == 3 and b'numpy._core' not in data and b'numpy.core.multiarray' in data
