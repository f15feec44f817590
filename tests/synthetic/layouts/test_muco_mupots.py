# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
from collections import Counter

import cv2
import numpy as np
import pytest
from scipy.io import loadmat

from wsp_mm.structures.keypoints import get_joint_set
from wsp_mm.synthetic.layouts.mupots import (
    UNIVERSAL_MM,
    encode_mat,
    is_valid,
    knee_to_neck,
    num_columns,
)

SET = get_joint_set('mupots17')
SEQUENCES = 'mupots/MultiPersonTestSet'


def check_joints(annotation, f, c, joints):
    local, px = np.array(annotation['keypoints_cam']), np.array(annotation['keypoints_img'])
    assert local.shape == (joints, 3) and px.shape == (joints, 2)
    assert local[:, :2] / local[:, 2:] * f + c == pytest.approx(px, abs=1e-3)
    x, y, w, h = annotation['bbox']
    middle = (px.min(axis=0) + px.max(axis=0)) / 2
    assert (x + w / 2, y + h / 2) == pytest.approx(middle, abs=1e-3) and w > 1 and h > 1
    return local, px


def test_muco_json_reprojects(world, load):
    content = load('muco/MuCo-3DHP.json')
    images = {image['id']: image for image in content['images']}
    asked = {r.scene_id: r.num_persons for r in world.requests['muco']}
    assert Counter(a['image_id'] for a in content['annotations']) == asked
    assert [a['id'] for a in content['annotations']] == list(range(sum(asked.values())))
    for image in images.values():
        pixels = cv2.imread(str(world.folder / 'muco' / image['file_name']))
        assert pixels.shape == (image['height'], image['width'], 3) == (96, 96, 3)
    depths = {}
    for annotation in content['annotations']:
        image = images[annotation['image_id']]
        local, px = check_joints(annotation, image['f'], image['c'], 21)
        pelvis = (local[8] + local[11]) / 2  # between the hips
        assert local[14] == pytest.approx(pelvis, abs=0.01) and 1500 < local[14, 2] < 7500
        outside = (px < -0.5).any(axis=1) | (px >= 95.5).any(axis=1)
        assert not np.array(annotation['keypoints_vis'])[outside].any()
        depths.setdefault(image['id'], []).append(local[14, 2])
    assert all(of_image == sorted(of_image) for of_image in depths.values())  # nearest first


def test_mupots_json_and_mats_say_the_same(world, load):
    content, scenes = load('mupots/MuPoTS-3D.json'), world.scenes['mupots']
    assert [i['file_name'] for i in content['images']] == [
        f'TS{s.request.sequence}/img_{s.request.frame:06d}.jpg' for s in scenes
    ]
    persons = {}
    for annotation in content['annotations']:
        persons.setdefault(annotation['image_id'], []).append(annotation)
    mats = {
        sequence: [
            loadmat(world.folder / SEQUENCES / f'TS{sequence}' / f'{file}.mat')[name]
            for file, name in (('annot', 'annotations'), ('occlusion', 'occlusion_labels'))
        ]
        for sequence in range(1, 21)
    }
    valid = []
    for image, scene in zip(content['images'], scenes, strict=True):
        sequence, frame, there = (
            scene.request.sequence,
            scene.request.frame,
            persons.get(image['id'], []),
        )
        assert cv2.imread(str(world.folder / SEQUENCES / image['file_name'])).shape[0] == 64
        annotations, labels = (mat[frame] for mat in mats[sequence])
        columns = num_columns(sequence)
        assert len(annotations) == len(labels) == columns
        assert len(there) == (columns if scene.persons else 0)
        for i in range(columns):
            struct, occluded = annotations[i][0, 0], labels[i].ravel()
            if i >= len(there):
                assert not struct['isValidFrame'].item() and not struct['annot3'].any()
                continue
            fx, fy, cx, cy = image['intrinsic']
            local, px = check_joints(there[i], (fx, fy), (cx, cy), 17)
            np.testing.assert_allclose(struct['annot2'].T, px)
            np.testing.assert_allclose(struct['annot3'].T, local)
            assert bool(struct['isValidFrame'].item()) == there[i]['is_valid'] == is_valid(scene)[i]
            np.testing.assert_array_equal(1 - occluded, there[i]['keypoints_vis'])
            # The universal pose projects to the same pixels.
            universal = struct['univ_annot3'].T
            assert knee_to_neck(universal[None])[0] == pytest.approx(UNIVERSAL_MM)
            ratio = universal[:, 2] / local[:, 2]
            np.testing.assert_allclose(universal, local * ratio[:, None], rtol=1e-9)
        valid.append(is_valid(scene).sum())
    # The empty frames of TS10 and TS20, the last frames of TS5 and TS15, a few who were missed.
    assert valid.count(0) >= 4 and 60 < sum(valid) < 2 * sum(num_columns(s) for s in range(1, 21))
    bystanders = [is_valid(s)[2] for s in scenes if s.request.sequence in (4, 8, 16) and s.persons]
    assert len(bystanders) == 6 and not any(bystanders)


def test_length_from_knee_to_neck_and_bytes_of_mats():
    joints = np.zeros((1, 17, 3))
    for name, z in dict(pelvis=0, spine=200, thorax=450).items():
        joints[0, SET.index(name), 2] = z
    for side, x in (('left', 90), ('right', -90)):
        joints[0, SET.index(f'{side}_hip'), 0] = x
        joints[0, SET.index(f'{side}_knee')] = x, 0, -400
    assert knee_to_neck(joints) == pytest.approx(850)
    first, second = (encode_mat({'a': np.arange(3)}) for _ in range(2))
    assert first == second and b'Platform' not in first[:116]
