# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import json

import cv2
import numpy as np
import pytest
import torch

from wsp_mm.apis.inference.order import front_to_back
from wsp_mm.apis.inference.persons import BoxesError, GivenBoxes
from wsp_mm.apis.inference.sources import Arrays, Frame
from wsp_mm.apis.inferencer import WSPInferencer
from wsp_mm.structures.bbox import crop_box
from wsp_mm.structures.camera import PinholeCamera
from wsp_mm.utils.checkpoint import UntrustedCheckpointError

CAMERA = dict(f=[500.0, 520.0], c=[80.0, 60.0])


class Boxes:
    """A detector that finds the fixture's persons, with falling scores, and counts its calls."""

    def __init__(self, boxes):
        self.boxes, self.sizes = np.array(boxes, np.float64).reshape(-1, 4), []

    def detect(self, images):
        self.sizes.append(len(images))
        return [(self.boxes, np.linspace(0.9, 0.5, len(self.boxes))) for _ in images]


@pytest.fixture(scope='module')
def inferencer(pose, fixture):
    return WSPInferencer(pose[:2], det=Boxes(fixture.BOXES), camera=CAMERA, device='cpu')


def close(a, b, **tolerance):
    np.testing.assert_allclose(np.array(a, float), np.array(b, float), **tolerance)


def test_records_are_the_documented_ones(inferencer, fixture):
    record, *others = inferencer(fixture.picture())
    assert others == []
    assert json.loads(json.dumps(record)) == record
    assert (record['frame'], record['file_name'], record['width'], record['height']) == (
        0,
        'array 0',
        160,
        120,
    )
    assert record['camera'] == dict(CAMERA, source='file', principal_point='given')
    assert [person['id'] for person in record['persons']] == [0, 1, 2]
    for person, box in zip(record['persons'], fixture.BOXES, strict=True):
        assert person['bbox'] == box
        assert np.shape(person['keypoints_img']) == (18, 2)
        assert np.shape(person['keypoints_cam']) == (18, 3)
        assert np.shape(person['keypoints_rel']) == np.shape(person['keypoint_scores']) == (18,)


def test_camera_space_is_the_picture_seen_by_the_camera(inferencer, fixture):
    camera = PinholeCamera(f=np.array(CAMERA['f']), c=np.array(CAMERA['c']))
    for person in next(iter(inferencer(fixture.picture())))['persons']:
        cam = np.array(person['keypoints_cam'])
        close(camera.project(cam)[:, :2], person['keypoints_img'], atol=0.02)
        close(cam[:, 2], np.array(person['keypoints_rel']) + person['root_depth'], atol=0.02)


def test_root_depth_is_k_of_the_box_that_is_cropped(inferencer, fixture):
    for person in next(iter(inferencer(fixture.picture())))['persons']:
        _, _, w, h = crop_box(np.array(person['bbox']), (160, 120))
        assert person['root_depth'] == pytest.approx(
            np.sqrt(500 * 520 * 2000**2 / (w * h)), abs=0.01
        )


def test_cells_are_mapped_to_the_picture_as_posenet_does(inferencer, fixture):
    """From the network's own cells, by the formula: box corner + cell * box side / cells."""
    image = fixture.picture()
    person = next(iter(inferencer(image)))['persons'][1]
    network = inferencer.pose
    x, y, w, h = fixture.BOXES[1]
    crop = network.pipeline(
        dict(network.crop_meta, img=image, img_path='', bbox=np.array([[x, y, x + w, y + h]], np.float32),
             bbox_score=np.ones(1))
    )  # fmt: skip
    with torch.no_grad():
        sample = network.model.test_step(
            dict(inputs=[crop['inputs']], data_samples=[crop['data_samples']])
        )[0]
    cells = sample.pred_instances.keypoints_cells[0]
    left, top, side, _ = crop_box(np.array(fixture.BOXES[1]), (160, 120))
    close(person['keypoints_img'], np.array([left, top]) + cells[:, :2] * side / 24, atol=0.02)
    close(person['keypoints_rel'], (cells[:, 2] / 24 * 2 - 1) * 1000, atol=0.1)


def test_persons_are_batched_across_pictures_with_equal_results(pose, fixture):
    pictures = [fixture.picture(i) for i in range(5)]
    out = {}
    for size in (1, 4, 32):
        detector = Boxes(fixture.BOXES)
        inferencer = WSPInferencer(pose[:2], det=detector, device='cpu', batch_size=size)
        forwards = []
        inferencer.pose.model.register_forward_pre_hook(
            lambda module, args, f=forwards: f.append(len(args[0]))
        )
        out[size] = list(inferencer(pictures))
        assert max(forwards) <= size
        if size == 32:
            assert forwards == [15]  # 5 pictures x 3 persons at once
            assert detector.sizes == [5]
    for size in (4, 32):
        for a, b in zip(out[1], out[size], strict=True):
            for p, q in zip(a['persons'], b['persons'], strict=True):
                close(p['keypoints_img'], q['keypoints_img'], atol=0.02)


def test_without_a_camera_nothing_is_made_up(pose, fixture):
    record = next(
        iter(WSPInferencer(pose[:2], det=Boxes(fixture.BOXES), device='cpu')(fixture.picture()))
    )
    assert record['camera'] is None
    assert all(p['keypoints_cam'] is None and p['root_depth'] is None for p in record['persons'])
    assert all(p['keypoints_rel'] is not None for p in record['persons'])


def test_an_assumed_camera_is_recorded_as_assumed(pose, fixture):
    inferencer = WSPInferencer(
        pose[:2], det=Boxes(fixture.BOXES), device='cpu', camera=dict(fov_deg=60)
    )
    record = next(iter(inferencer(fixture.picture())))
    assert record['camera']['source'] == 'assumed-fov'
    assert record['camera']['fov_deg'] == 60
    assert inferencer.info()['camera'] == dict(source='assumed-fov', fov_deg=60.0)


def test_a_camera_of_another_size_is_a_problem_of_that_picture(pose, fixture):
    camera = dict(CAMERA, width=160, height=120)
    inferencer = WSPInferencer(pose[:2], det=Boxes(fixture.BOXES), device='cpu', camera=camera)
    good, bad = inferencer([fixture.picture(), fixture.picture(size=(200, 150))])
    assert 'problems' not in good
    assert bad['camera'] is None
    assert '160 x 120' in bad['problems'][0]
    assert bad['persons'][0]['keypoints_cam'] is None
    assert bad['persons'][0]['keypoints_img'] is not None


def test_root_network(pose, root, fixture):
    boxes = Boxes(fixture.BOXES)
    plain = WSPInferencer(pose[:2], det=boxes, device='cpu', camera=CAMERA)
    learned = WSPInferencer(pose[:2], root=root[:2], det=boxes, device='cpu', camera=CAMERA)
    assert (plain.info()['root_depth'], learned.info()['root_depth']) == ('k-value', 'network')
    head = learned.root.model.head
    ratios = []
    for bias in (1.0, 1.5):  # gamma = bias while its weights are 0: depths are gamma * k
        with torch.no_grad():
            head.gamma_layer.weight.zero_()
            head.gamma_layer.bias.fill_(bias)
        a, b = next(iter(plain(fixture.picture()))), next(iter(learned(fixture.picture())))
        ratios.append(
            [
                q['root_depth'] / p['root_depth']
                for p, q in zip(a['persons'], b['persons'], strict=True)
            ]
        )
    close(ratios, [[1.0] * 3, [1.5] * 3], rtol=1e-4)
    with torch.no_grad():
        head.gamma_layer.bias.fill_(-1.0)  # behind the camera: no depth at all
    person = next(iter(learned(fixture.picture())))['persons'][0]
    assert person['root_depth'] is None
    assert person['keypoints_cam'] is None


@pytest.mark.parametrize('precision', ['bf16', 'fp16'])
def test_half_precision_is_near_full_precision(precision, pose, inferencer, fixture):
    half = WSPInferencer(
        pose[:2], det=Boxes(fixture.BOXES), device='cpu', camera=CAMERA, precision=precision
    )
    try:
        record = next(iter(half(fixture.picture())))
    except RuntimeError as error:  # processors without fp16 kernels
        pytest.skip(f'{precision} on this processor: {error}')
    full = next(iter(inferencer(fixture.picture())))
    a, b = (np.array([p['keypoints_img'] for p in r['persons']]) for r in (full, record))
    # drawn weights have joints with two peaks, which rounding may tip
    assert 0 < np.quantile(np.abs(a - b), 0.8) < 1


def test_nobody_and_unusable_pictures(pose, fixture):
    nobody = WSPInferencer(pose[:2], det=Boxes([]), device='cpu')
    empty, bad = nobody([fixture.picture(), 'gone.jpg'])
    assert empty['persons'] == bad['persons'] == []
    assert 'skipped' not in empty
    assert 'cannot be read' in bad['skipped']


def test_boxes_without_area_in_the_picture_are_left_out(pose, fixture):
    boxes = [[10, 10, 30, 60], [500, 10, 30, 60], [10, 10, 0, 60]]
    record = next(iter(WSPInferencer(pose[:2], det=Boxes(boxes), device='cpu')(fixture.picture())))
    assert [p['bbox'][0] for p in record['persons']] == [10.0]
    assert len(record['problems']) == 2


def test_no_further_ahead_than_the_batch(pose, fixture):
    class Counting(Arrays):
        asked = 0

        def frames(self, start=0):
            for index in range(start, 1000):
                self.asked += 1
                yield Frame(index, str(index), fixture.picture())

    source = Counting([])
    inferencer = WSPInferencer(pose[:2], det=Boxes([]), device='cpu', batch_size=4)
    records = inferencer(source)
    assert source.asked == 0
    next(records)
    assert source.asked == 4
    for _ in range(3):
        next(records)
    assert source.asked == 4
    next(records)
    assert source.asked == 8


def test_large_pictures_end_a_chunk_early(pose):
    frames = [np.zeros((4000, 5000, 3), np.uint8)] * 6
    inferencer = WSPInferencer(pose[:2], det=(detector := Boxes([])), device='cpu', batch_size=16)
    assert len(list(inferencer(frames))) == 6
    assert detector.sizes == [4, 2]  # 4 x 20 megapixels are the first to reach 64


def test_boxes_of_a_file(pose, album, fixture):
    folder, boxes = album
    cv2.imwrite(str(folder / 'd.png'), fixture.picture())
    records = list(WSPInferencer(pose[:2], boxes=boxes, device='cpu')(folder))
    assert [len(record['persons']) for record in records] == [3, 1, 0, 0]
    assert 'does not list it' in records[3]['skipped']
    assert 'skipped' not in records[2]


def frame_named(name, index=0):
    return Frame(index, name, np.zeros((4, 4, 3), np.uint8))


def test_boxes_are_never_those_of_another_picture(fixture, tmp_path):
    """Names that are there decide; numbers stand for names only where the file has none."""
    names = [
        'cam1/000000.jpg',
        'cam1/000001.jpg',
        'cam2/000001.jpg',
        '10.jpg',
        'sub/10.jpg',
        'dog.jpg',
    ]
    boxes = {name: [[i + 1.0, 1, 5, 5]] for i, name in enumerate(names)}
    given = GivenBoxes(fixture.write_boxes_file(tmp_path / 'b.json', names, boxes))
    found = {
        name: given.of(frame_named(name))[0][0, 0] - 1
        for name in ('cam2/000001.jpg', '000000.jpg', '10.jpg', 'else/dog.jpg')
    }
    assert found == {'cam2/000001.jpg': 2, '000000.jpg': 0, '10.jpg': 3, 'else/dog.jpg': 5}
    others = [frame_named(name) for name in ('000001.jpg', '5.jpg', 'cam3/000000.jpg')]
    for frame in (*others, frame_named('clip.mp4#2', 2)):
        with pytest.raises(BoxesError, match='does not list it'):
            given.of(frame)

    nameless = tmp_path / 'results.json'
    nameless.write_text(
        json.dumps([dict(image_id=i, bbox=[i, 1, 5, 5], score=1, category_id=1) for i in (2, 3)])
    )
    given = GivenBoxes(nameless)
    for frame, number in ((frame_named('000002.jpg'), 2), (frame_named('clip.mp4#3', 3), 3)):
        assert given.of(frame)[0][0, 0] == number
    with pytest.raises(BoxesError):
        given.of(frame_named('shot#2.jpg', 2))  # a name, not a frame of a video


@pytest.fixture
def spoil(monkeypatch):
    """``spoil(change)``: let ``change(network, samples)`` work on whatever the networks answer."""
    from wsp_mm.apis.inference import pipeline

    plain = pipeline.predict

    def use(change):
        def predict(network, *rest):
            samples = plain(network, *rest)
            change(network, samples)
            return samples

        monkeypatch.setattr(pipeline, 'predict', predict)

    return use


def test_answers_that_are_no_numbers_are_reported(pose, album, spoil):
    spoil(lambda _, samples: samples[1].pred_instances.keypoints_depth.fill(np.nan))
    first = next(
        iter(WSPInferencer(pose[:2], boxes=album[1], camera=CAMERA, device='cpu')(album[0]))
    )
    good, bad, _ = first['persons']
    assert (
        good['keypoints_cam'] is not None and bad['keypoints_img'] is None is bad['keypoints_cam']
    )
    assert first['problems'] == ['person 1: no pose: the network answered with nan or infinity']


def test_an_order_without_numbers_is_reported(pretrained, fixture, spoil):
    spoil(lambda _, samples: samples[0].pred_instances.pair_probs.fill(np.nan))
    inferencer = WSPInferencer(pretrained[:2], det=Boxes(fixture.BOXES), device='cpu')
    record = next(iter(inferencer.order(fixture.picture())))
    assert record['order']['probability'][0][1] == 0.5
    assert record['problems'] == [
        'person 0: not compared with person 1: the network answered with nan or infinity'
    ]


def test_a_root_behind_the_camera_is_reported(pose, root, album, spoil):
    def behind(network, samples):
        for sample in samples if network.kind == 'root' else ():
            sample.pred_instances.root_depth[:] = -5

    spoil(behind)
    record = next(
        iter(
            WSPInferencer(pose[:2], root=root[:2], boxes=album[1], camera=CAMERA, device='cpu')(
                album[0]
            )
        )
    )
    assert (
        record['persons'][0]['root_depth'] is None
        and record['persons'][0]['keypoints_rel'] is not None
    )
    assert len(record['problems']) == 3
    assert record['problems'][0].endswith('a root depth of -5 mm is not before the camera')


def test_extended_boxes_are_cropped_as_they_are(pose, album, fixture, tmp_path):
    folder, raw = album
    square = crop_box(np.array(fixture.BOXES[0]), (160, 120)).tolist()
    extended = fixture.write_boxes_file(
        tmp_path / 'e.json', ['a.png'], {'a.png': [square]}, extended=True
    )
    a = next(
        iter(WSPInferencer(pose[:2], boxes=raw, camera=CAMERA, device='cpu')(folder / 'a.png'))
    )
    b = next(
        iter(WSPInferencer(pose[:2], boxes=extended, camera=CAMERA, device='cpu')(folder / 'a.png'))
    )
    p, q = a['persons'][0], b['persons'][0]
    close(p['keypoints_cam'], q['keypoints_cam'], atol=0.1)
    assert q['bbox'][2] == pytest.approx(square[2] / 1.25, abs=0.01)


def test_order_of_a_pretraining_network(pretrained, fixture):
    inferencer = WSPInferencer(pretrained[:2], det=Boxes(fixture.BOXES), device='cpu')
    record = next(iter(inferencer.order(fixture.picture())))
    probability = np.array(record['order']['probability'])
    close(probability + probability.T, np.ones((3, 3)), atol=2e-4)
    assert sorted(record['order']['ids']) == [0, 1, 2]
    assert record['order']['ids'] == front_to_back(probability)
    assert np.shape(record['persons'][0]['keypoints_img']) == (16, 2)
    # who is asked about first does not matter
    swapped = WSPInferencer(pretrained[:2], det=Boxes(fixture.BOXES[::-1]), device='cpu')
    again = np.array(next(iter(swapped(fixture.picture())))['order']['probability'])
    close(probability, again[::-1, ::-1], atol=2e-3)


def test_order_of_one_and_of_nobody(pretrained, fixture):
    one = WSPInferencer(pretrained[:2], det=Boxes(fixture.BOXES[:1]), device='cpu')
    assert next(iter(one(fixture.picture())))['order'] == dict(ids=[0], probability=[[0.5]])
    nobody = WSPInferencer(pretrained[:2], det=Boxes([]), device='cpu')
    assert 'order' not in next(iter(nobody(fixture.picture())))


def test_front_to_back():
    agreed = np.array([[0.5, 0.2, 0.9], [0.8, 0.5, 0.7], [0.1, 0.3, 0.5]])
    assert front_to_back(agreed) == [1, 0, 2]
    circle = np.array(
        [[0.5, 0.9, 0.2], [0.1, 0.5, 0.8], [0.8, 0.2, 0.5]]
    )  # 0 before 1 before 2 before 0
    assert front_to_back(circle) == [0, 2, 1]  # sums 1.1, 1.0, 0.9
    assert front_to_back(np.full((4, 4), 0.5)) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ('options', 'match'),
    [
        (dict(), 'where the persons are'),
        (dict(det=Boxes([]), precision='fp8'), 'precision'),
        (dict(det=Boxes([]), batch_size=0), 'batch_size'),
        (dict(det=Boxes([]), camera=dict(focal=-1)), 'positive'),
        (dict(det=Boxes([]), device='cuda'), 'no GPU'),
    ],
)
def test_wrong_options(options, match, pose, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    with pytest.raises(ValueError, match=match):
        WSPInferencer(pose[:2], **options)


def test_networks_in_the_wrong_place(pose, pretrained):
    with pytest.raises(ValueError, match='order network, not root'):
        WSPInferencer(pose[:2], root=pretrained[:2], det=Boxes([]), device='cpu')
    with pytest.raises(ValueError, match='no use for a camera'):
        WSPInferencer(pretrained[:2], det=Boxes([]), device='cpu', camera=CAMERA)
    with pytest.raises(ValueError, match='needs a pre-training'):
        WSPInferencer(*pose[:2], det=Boxes([]), device='cpu').order([])


def test_trust(pose):
    config, _, training = pose
    with pytest.raises(UntrustedCheckpointError):
        WSPInferencer((config, training), det=Boxes([]), device='cpu')
    WSPInferencer((config, training), det=Boxes([]), device='cpu', trust_checkpoint=True)
