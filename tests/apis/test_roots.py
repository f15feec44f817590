# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import json

import cv2
import numpy as np
import pytest
import torch
from inference_fixture import write_boxes_file

from wsp_mm.apis.boxes import read_annotations
from wsp_mm.apis.cameras import Cameras
from wsp_mm.apis.images import InputError
from wsp_mm.apis.models import load_network
from wsp_mm.apis.roots import gather_persons, predict_roots
from wsp_mm.datasets.detections import read_boxes
from wsp_mm.structures.bbox import crop_boxes, k_value

W, H = 120, 90
CAMERA = [200.0, 190.0, 60.0, 45.0]
BOXES = {1: [[10, 10, 30, 60], [70, 20, 25, 50]], 2: [[40, 5, 30, 80]], 3: []}
NAMES = {i: f'TS1/img_{i:06d}.jpg' for i in BOXES}


@pytest.fixture
def world(tmp_path):
    """Annotations of three images: two valid persons and one who is not, one, none."""
    (tmp_path / 'TS1').mkdir()
    rng = np.random.default_rng(0)
    for name in NAMES.values():
        cv2.imwrite(str(tmp_path / name), rng.integers(0, 255, (H, W, 3), dtype=np.uint8))
    return write(tmp_path, intrinsic=CAMERA)


def write(folder, **camera):
    images = [dict(id=i, file_name=n, width=W, height=H, **camera) for i, n in NAMES.items()]
    persons = [dict(image_id=i, bbox=box) for i, boxes in BOXES.items() for box in boxes]
    persons.insert(0, dict(image_id=1, bbox=[0, 0, 0, 0], is_valid=0))
    path = folder / 'MuPoTS-3D.json'
    path.write_text(json.dumps(dict(images=images, annotations=persons)))
    return path


@pytest.fixture
def network(root):
    """A network whose gamma is not 1."""
    network = load_network(*root, 'cpu')
    assert network.crop_settings == dict(padding=1.25, aspect=1.0)
    torch.manual_seed(0)
    torch.nn.init.normal_(network.model.head.gamma_layer.weight, std=0.005)
    torch.nn.init.ones_(network.model.head.gamma_layer.bias)
    return network


def extended():
    return np.concatenate([crop_boxes(np.array(b), np.array([W, H])) for b in BOXES.values() if b])


def predict(world, network=None, boxes=None, cameras=None, **options):
    images, gt = read_annotations(world)
    persons, _ = gather_persons(boxes or gt, images, cameras, network=network)
    out = world.parent / 'out' / 'roots.json'
    behind = predict_roots(persons, out, network, world.parent, **options)
    records = json.loads(out.read_text())
    return np.array([record['root_cam'] for record in records]), records, behind


def test_k_value_by_hand(world):
    roots, records, behind = predict(world)
    assert behind == 0
    assert [record['image_id'] for record in records] == [1, 1, 2]
    np.testing.assert_allclose([record['bbox'] for record in records], extended(), atol=1e-3)
    for root, (x, y, w, h) in zip(roots, extended(), strict=True):
        depth = np.sqrt(200 * 190 * 4e6 / (w * h))
        expected = [(x + w / 2 - 60) / 200 * depth, (y + h / 2 - 45) / 190 * depth, depth]
        np.testing.assert_allclose(root, expected, atol=2e-3)
    assert set(records[0]) == {'image_id', 'bbox', 'root_cam', 'score'}


def test_network(world, network):
    roots, _, behind = predict(world, network, batch_size=2)
    alone, *_ = predict(world, network, batch_size=1)
    np.testing.assert_allclose(roots, alone, rtol=1e-3, atol=0.1)
    gamma = roots[:, 2] / k_value(extended(), np.array(CAMERA[:2]))
    assert behind == 0 and (np.abs(gamma - 1) > 1e-4).all()
    layer = network.model.head.gamma_layer
    torch.nn.init.zeros_(layer.weight)  # gamma = 1
    np.testing.assert_allclose(predict(world, network)[0][:, 2], predict(world)[0][:, 2], rtol=1e-6)
    torch.nn.init.constant_(layer.bias, -5.0)  # behind the camera: everybody gets the k-value
    roots, _, behind = predict(world, network)
    np.testing.assert_allclose(roots, predict(world)[0])
    assert behind == 3


def test_box_files_raw_and_extended(world, tmp_path):
    raw = {NAMES[i]: boxes for i, boxes in BOXES.items()}
    big = {n: crop_boxes(np.array(b), np.array([W, H])) if b else [] for n, b in raw.items()}
    names = ['', *NAMES.values()]  # so that image ids begin with 1
    raw[''] = big[''] = []
    one = read_boxes(write_boxes_file(tmp_path / 'raw.json', names, raw))
    two = read_boxes(write_boxes_file(tmp_path / 'big.json', names, big, extended=True))
    roots, records, _ = predict(world, boxes=one)
    np.testing.assert_allclose(roots, predict(world, boxes=two)[0], rtol=1e-4)
    assert [record['score'] for record in records] == [0.9, 0.8, 0.9]
    # without annotations, sizes are those of the files
    persons, _ = gather_persons(one, None, Cameras(CAMERA[:2], CAMERA[2:]), world.parent)
    np.testing.assert_allclose(np.concatenate([p.boxes for p in persons]), extended())
    with pytest.raises(InputError, match='image 2'):
        gather_persons(one, {1: read_annotations(world)[0][1]})


def test_cameras_are_never_guessed(world):
    own, *_ = predict(world)
    given = Cameras(CAMERA[:2], CAMERA[2:])
    with pytest.raises(InputError, match='change nothing'):
        predict(world, cameras=given)
    write(world.parent, f=CAMERA[:2], c=CAMERA[2:])  # as MuCo-3DHP.json has it
    np.testing.assert_array_equal(predict(world)[0], own)
    write(world.parent)
    with pytest.raises(InputError, match=r'img_000001\.jpg .*--focal'):
        predict(world)
    np.testing.assert_array_equal(predict(world, cameras=given)[0], own)
    images, gt = read_annotations(world)
    persons, _ = gather_persons(gt, images, Cameras(CAMERA[:2]))
    assert persons[0].camera['c'] == [(W - 1) / 2, (H - 1) / 2]


def test_cameras_of_other_images_are_refused(world):
    write(world.parent, f=CAMERA[:2], c=[W + 50, 20])
    with pytest.raises(InputError, match=r'img_000001\.jpg .*outside'):
        predict(world)
    write(world.parent)
    with pytest.raises(InputError, match=r'img_000001\.jpg .*mm'):
        predict(world, cameras=Cameras(12))


def test_boxes_outside_are_left_out(world):
    images, gt = read_annotations(world)
    gt.boxes[2] = np.array([[500.0, 5, 10, 10]])
    persons, skipped = gather_persons(gt, images)
    assert skipped == 1 and [p.image.id for p in persons] == [1]


def test_bad_images_leave_nothing_behind(world, network):
    image = world.parent / NAMES[2]
    for content in (b'', cv2.imencode('.jpg', np.zeros((20, 20, 3), np.uint8))[1].tobytes()):
        image.write_bytes(content)
        with pytest.raises(InputError, match='img_000002'):
            predict(world, network)
    assert not (world.parent / 'out').exists()
