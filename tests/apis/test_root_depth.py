# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import json

import cv2
import numpy as np
import pytest
import torch
from mmpose.registry import MODELS

import wsp_mm.codecs.root_depth
import wsp_mm.datasets.transforms.person
import wsp_mm.models.estimators.topdown_root
import wsp_mm.models.heads.root_depth_head  # noqa: F401  (register what is built)
from wsp_mm.apis.root_depth import RootDepthNetwork, k_roots, predict_roots, root_depths
from wsp_mm.apis.root_inputs import gather_persons, read_pictures
from wsp_mm.datasets.box_files import read_boxes, write_boxes
from wsp_mm.datasets.converters.mcpc.records import BadDataError
from wsp_mm.structures.bbox import crop_boxes, k_value
from wsp_mm.utils.checkpoint import CheckpointError
from wsp_mm.utils.cli import load_config

W, H = 120, 90
CAMERA = [200.0, 190.0, 60.0, 45.0]
BOXES = {1: [[10, 10, 30, 60], [70, 20, 25, 50]], 2: [[40, 5, 30, 80]], 3: []}


@pytest.fixture
def world(tmp_path):
    """Three pictures: two valid persons and one who is not, one, none."""
    images, annotations, rng = [], [], np.random.default_rng(0)
    for image_id, boxes in BOXES.items():
        name = f'TS1/img_{image_id:06d}.jpg'
        (tmp_path / 'TS1').mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / name), rng.integers(0, 255, (H, W, 3), dtype=np.uint8))
        images.append(dict(id=image_id, file_name=name, width=W, height=H, intrinsic=CAMERA))
        annotations += [dict(image_id=image_id, bbox=box, is_valid=1) for box in boxes]
    annotations.insert(0, dict(image_id=1, bbox=[0, 0, 0, 0], is_valid=0))
    path = tmp_path / 'MuPoTS-3D.json'
    path.write_text(json.dumps(dict(images=images, annotations=annotations)))
    return path


@pytest.fixture(scope='module')
def config(repo):
    config = load_config(repo / 'configs/quickstart/root_muco_r18.py')
    config.model.head.deconv_out_channels = (8, 8, 8)
    return config


@pytest.fixture
def checkpoint(config, tmp_path):
    """A random network whose gamma is no longer 1."""
    torch.manual_seed(0)
    model = MODELS.build(config.model)
    torch.nn.init.normal_(model.head.gamma_layer.weight, std=0.005)
    torch.save(dict(state_dict=model.state_dict(), meta={}), tmp_path / 'root.pth')
    return tmp_path / 'root.pth'


def extended():
    return np.concatenate(
        [crop_boxes(np.array(boxes), np.array([W, H])) for boxes in BOXES.values() if boxes]
    )


def predict(world, out, network=None, boxes=None, **kwargs):
    pictures, truth = read_pictures(world)
    persons, _ = gather_persons(boxes or truth, pictures)
    summary = predict_roots(persons, out, network, world.parent, **kwargs)
    return json.loads(out.read_text()), summary


def test_k_value_by_hand(world, tmp_path):
    records, summary = predict(world, tmp_path / 'out' / 'roots.json')
    assert (summary.pictures, summary.persons, summary.behind) == (2, 3, 0)
    assert [record['image_id'] for record in records] == [1, 1, 2]
    boxes = extended()
    np.testing.assert_allclose([record['bbox'] for record in records], boxes, atol=1e-3)
    for record, (x, y, w, h) in zip(records, boxes, strict=True):
        depth = np.sqrt(200 * 190 * 4e6 / (w * h))
        root = [(x + w / 2 - 60) / 200 * depth, (y + h / 2 - 45) / 190 * depth, depth]
        np.testing.assert_allclose(record['root_cam'], root, atol=2e-3)
        assert set(record) == {'image_id', 'bbox', 'root_cam', 'score'} and record['score'] == 1


def test_network_equals_one_person_at_a_time(world, config, checkpoint, tmp_path):
    network = RootDepthNetwork(config, checkpoint)
    records, summary = predict(world, tmp_path / 'a.json', network, batch_size=2)
    alone, _ = predict(world, tmp_path / 'b.json', network, batch_size=1)
    roots = np.array([record['root_cam'] for record in records])
    np.testing.assert_allclose(roots, [record['root_cam'] for record in alone], rtol=1e-3, atol=0.1)
    gamma = roots[:, 2] / k_value(extended(), np.array(CAMERA[:2]))
    assert summary.behind == 0 and (np.abs(gamma - 1) > 1e-4).all()
    image = network.read(world.parent / 'TS1/img_000001.jpg')
    direct = root_depths(network, image, extended()[:2], CAMERA[:2], CAMERA[2:])
    np.testing.assert_allclose(direct, roots[:2], rtol=1e-3, atol=0.1)
    assert root_depths(network, image, np.zeros((0, 4)), CAMERA[:2], CAMERA[2:]).shape == (0, 3)


def test_an_untrained_network_is_the_k_value_along_z(world, config, tmp_path):
    model = MODELS.build(config.model)
    torch.save(dict(state_dict=model.state_dict(), meta={}), tmp_path / 'new.pth')
    records, _ = predict(world, tmp_path / 'a.json', RootDepthNetwork(config, tmp_path / 'new.pth'))
    by_prior, _ = predict(world, tmp_path / 'b.json')
    depths = [[record['root_cam'][2] for record in both] for both in (records, by_prior)]
    np.testing.assert_allclose(*depths, rtol=1e-6)


def test_a_person_behind_the_camera_gets_the_prior(world, config, checkpoint, tmp_path):
    network = RootDepthNetwork(config, checkpoint)
    torch.nn.init.constant_(network.model.head.gamma_layer.bias, -5.0)
    records, summary = predict(world, tmp_path / 'a.json', network)
    assert summary.behind == 3
    np.testing.assert_allclose(
        [record['root_cam'] for record in records],
        k_roots(extended(), CAMERA[:2], CAMERA[2:]),
        atol=1e-3,
    )


def test_box_files_raw_and_extended(world, tmp_path):
    names = [(i, f'TS1/img_{i:06d}.jpg') for i in BOXES]
    raw = {i: np.array(boxes, dtype=float).reshape(-1, 4) for i, boxes in BOXES.items()}
    scores = {i: np.linspace(0.9, 0.5, len(boxes)) for i, boxes in raw.items()}
    write_boxes(tmp_path / 'raw.json', names, raw, scores)
    big = {i: crop_boxes(boxes, np.array([W, H])) for i, boxes in raw.items()}
    write_boxes(tmp_path / 'big.json', names, big, scores, extended=True)
    one, _ = predict(world, tmp_path / 'one.json', boxes=read_boxes(tmp_path / 'raw.json'))
    two, _ = predict(world, tmp_path / 'two.json', boxes=read_boxes(tmp_path / 'big.json'))
    np.testing.assert_allclose(
        *([r['root_cam'] for r in records] for records in (one, two)), rtol=1e-4
    )
    assert [record['score'] for record in one] == [0.9, 0.5, 0.9]


def test_cameras(world, tmp_path):
    """Own camera, a given one, and none: never a guess."""
    content = json.loads(world.read_text())
    own, _ = predict(world, tmp_path / 'own.json')
    for image in content['images']:
        fx, fy, cx, cy = image.pop('intrinsic')
        image.update(f=[fx, fy], c=[cx, cy])
    world.write_text(json.dumps(content))
    assert predict(world, tmp_path / 'muco.json')[0] == own
    for image in content['images']:
        del image['f'], image['c']
    world.write_text(json.dumps(content))
    pictures, truth = read_pictures(world)
    with pytest.raises(BadDataError, match=r'img_000001\.jpg: image 1: it has no camera.*--focal'):
        gather_persons(truth, pictures)
    given, _ = gather_persons(truth, pictures, None, CAMERA[:2], CAMERA[2:])
    predict_roots(given, tmp_path / 'given.json')
    assert json.loads((tmp_path / 'given.json').read_text()) == own
    centred, _ = gather_persons(truth, pictures, None, CAMERA[:2], 'centre')
    assert centred[0].picture.c.tolist() == [60, 45]
    with pytest.raises(ValueError, match='belong together'):
        gather_persons(truth, pictures, None, CAMERA[:2])
    with pytest.raises(ValueError, match='two positive focal lengths'):
        gather_persons(truth, pictures, None, [0, 1], CAMERA[2:])


def test_a_camera_that_nobody_needs_is_an_error(world):
    pictures, truth = read_pictures(world)
    with pytest.raises(ValueError, match='would change nothing'):
        gather_persons(truth, pictures, None, CAMERA[:2], CAMERA[2:])


def test_pictures_that_only_the_boxes_name(world, tmp_path):
    write_boxes(
        tmp_path / 'raw.json', [(2, 'TS1/img_000002.jpg')], {2: np.array(BOXES[2])}, {2: np.ones(1)}
    )
    boxes = read_boxes(tmp_path / 'raw.json')
    persons, _ = gather_persons(boxes, None, world.parent, CAMERA[:2], 'centre')
    assert persons[0].picture.size == (W, H)
    np.testing.assert_allclose(persons[0].boxes, extended()[2:])
    pictures, _ = read_pictures(world)
    with pytest.raises(BadDataError, match='image 2: no picture of that id'):
        gather_persons(boxes, {1: pictures[1]})


def test_boxes_outside_are_left_out(world):
    pictures, truth = read_pictures(world)
    truth.boxes[2] = np.array([[500.0, 5, 10, 10]])
    persons, skipped = gather_persons(truth, pictures)
    assert skipped == 1 and [p.picture.image_id for p in persons] == [1]


@pytest.mark.parametrize(
    ('change', 'said'),
    [
        (dict(images=[]), "'images' is missing"),
        (dict(images=[dict(file_name='a')]), "images, record 0: no 'id'"),
        (dict(images=[dict(id=1, file_name='a', intrinsic=[0, 1, 2, 3])]), 'its camera is'),
        (dict(images=[dict(id=1, file_name='a')] * 2), 'image 1: it stands twice'),
        (dict(annotations=[dict(image_id=1, bbox=[1, 2, 3])]), 'annotations, record 0: bbox'),
        (dict(annotations=[dict(image_id=99, bbox=[1, 2, 3, 4])]), 'annotations, record 0: no 99'),
    ],
)
def test_bad_jsons(world, change, said):
    world.write_text(json.dumps({**json.loads(world.read_text()), **change}))
    with pytest.raises(BadDataError, match=f'MuPoTS-3D.json: .*{said}'):
        read_pictures(world)


def test_bad_pictures_leave_nothing_behind(world, config, checkpoint, tmp_path):
    network, out = RootDepthNetwork(config, checkpoint), tmp_path / 'new' / 'roots.json'
    (world.parent / 'TS1/img_000002.jpg').write_bytes(b'no picture')
    with pytest.raises(OSError, match='img_000002'):
        predict(world, out, network)
    cv2.imwrite(str(world.parent / 'TS1/img_000002.jpg'), np.zeros((20, 20, 3), np.uint8))
    with pytest.raises(ValueError, match='is of 20 x 20 px'):
        predict(world, out, network)
    assert not out.parent.exists()
    with pytest.raises(ValueError, match='batch_size'):
        predict_roots([], out, batch_size=0)
    with pytest.raises(ValueError, match='pictures_dir'):
        predict_roots([], out, network)


def test_other_networks_are_refused(config, checkpoint, repo, tmp_path):
    with pytest.raises(ValueError, match='no RootDepthHead'):
        RootDepthNetwork(repo / 'configs/quickstart/posenet_h36m_r18.py', checkpoint)
    content = torch.load(checkpoint)
    content['state_dict'].pop('head.gamma_layer.bias')
    torch.save(content, tmp_path / 'other.pth')
    with pytest.raises(CheckpointError, match='gamma_layer'):
        RootDepthNetwork(config, tmp_path / 'other.pth')
