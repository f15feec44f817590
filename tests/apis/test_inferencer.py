# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import json

import cv2
import numpy as np
import pytest
import torch
from inference_fixture import BOXES, FixedDetector, make_image, write_boxes_file, write_results_file

from wsp_mm.apis import WSPInferencer
from wsp_mm.apis.models import Network
from wsp_mm.apis.pipeline import front_to_back
from wsp_mm.apis.sources import Frame, ImageSource, open_source
from wsp_mm.structures.bbox import crop_box
from wsp_mm.structures.camera import PinholeCamera

CAMERA = dict(f=[500.0, 520.0], c=[80.0, 60.0])
ONE = make_image()


def make(networks, boxes=BOXES, **options):
    det = None if 'boxes_file' in options else FixedDetector(boxes)
    boxes_file = options.pop('boxes_file', None)
    return WSPInferencer(networks, det=det, boxes=boxes_file, device='cpu', **options)


def first(inferencer, inputs=ONE):
    return next(iter(inferencer(inputs)))


def close(a, b, **tolerance):
    np.testing.assert_allclose(np.array(a, float), np.array(b, float), **tolerance)


@pytest.fixture(scope='module')
def inferencer(pose):
    return make(pose, camera=CAMERA)


def test_records_are_the_documented_ones(inferencer):
    record, *others = inferencer(ONE)
    assert others == [] and json.loads(json.dumps(record)) == record
    assert (record['frame'], record['file_name'], record['width'], record['height']) == (
        0, 'array 0', 160, 120,
    )  # fmt: skip
    assert record['camera'] == dict(CAMERA, source='file', principal_point='given')
    assert [person['id'] for person in record['persons']] == [0, 1, 2]
    for person, box in zip(record['persons'], BOXES, strict=True):
        assert person['bbox'] == box
        shapes = dict(keypoints_img=(18, 2), keypoints_cam=(18, 3))
        shapes |= dict(keypoints_rel=(18,), keypoint_scores=(18,))
        assert {key: np.shape(person[key]) for key in shapes} == shapes


def test_poses_of_fixed_weights(inferencer):
    """Mean joints of a network drawn from a seed, as once recorded (mm)."""
    means = [np.mean(person['keypoints_cam'], axis=0) for person in first(inferencer)['persons']]
    close(means, [(-1021, -426, 9202), (90, -209, 11812), (909, -88, 7432)], atol=15)


def test_camera_space_is_the_image_seen_by_the_camera(inferencer):
    camera = PinholeCamera(f=np.array(CAMERA['f']), c=np.array(CAMERA['c']))
    for person in first(inferencer)['persons']:
        points = np.array(person['keypoints_cam'])
        close(camera.project(points)[:, :2], person['keypoints_img'], atol=0.02)
        close(points[:, 2], np.array(person['keypoints_rel']) + person['root_depth'], atol=0.02)
        _, _, w, h = crop_box(np.array(person['bbox']), (160, 120))
        k = np.sqrt(500 * 520 * 2000**2 / (w * h))  # of the box that is cropped
        assert person['root_depth'] == pytest.approx(k, abs=0.01)


def test_heatmap_px_are_mapped_to_the_image_as_posenet_does(inferencer):
    """From the network's own output, by the formula: box corner + px * box side / map side."""
    person, network = first(inferencer)['persons'][1], inferencer.pipeline.pose
    sample = network.predict([network.crop(ONE, np.array(BOXES[1:2]))])[0]
    heatmap = sample['keypoints_heatmap'][0]
    left, top, side, _ = crop_box(np.array(BOXES[1]), (160, 120))
    close(person['keypoints_img'], np.array([left, top]) + heatmap[:, :2] * side / 24, atol=0.02)
    close(person['keypoints_rel'], (heatmap[:, 2] / 24 * 2 - 1) * 1000, atol=0.1)


def test_persons_are_batched_across_images_with_equal_results(pose):
    images = [make_image(i) for i in range(5)]
    out = {}
    for size in (1, 4, 32):
        inferencer, forwards = make(pose, batch_size=size), []
        backbone = inferencer.pipeline.pose.model.backbone
        backbone.register_forward_pre_hook(lambda _, args, f=forwards: f.append(len(args[0])))
        out[size] = list(inferencer(images))
        assert max(forwards) <= size
    assert set(forwards) == {15} and inferencer.pipeline.detector.calls == [5]  # all at once
    for size in (4, 32):
        for a, b in zip(out[1], out[size], strict=True):
            for p, q in zip(a['persons'], b['persons'], strict=True):
                close(p['keypoints_img'], q['keypoints_img'], atol=0.02)


def test_cameras_are_given_or_assumed_and_never_guessed(pose):
    record = first(make(pose))
    assert record['camera'] is None
    for person in record['persons']:
        assert person['keypoints_cam'] is person['root_depth'] is None
        assert person['keypoints_rel'] is not None
    assumed = make(pose, camera=dict(fov_deg=60))
    assert first(assumed)['camera']['source'] == 'assumed-fov'
    assert assumed.info()['camera'] == dict(source='assumed-fov', fov_deg=60)
    of_another_size = make(pose, camera=dict(CAMERA, width=160, height=120))
    good, bad = of_another_size([ONE, make_image(size=(200, 150))])
    assert 'problems' not in good and bad['camera'] is None and '160 x 120' in bad['problems'][0]
    assert bad['persons'][0]['keypoints_cam'] is None
    assert bad['persons'][0]['keypoints_img'] is not None


def test_a_joint_behind_the_camera_is_a_problem(pose):
    record = first(make(pose, camera=dict(focal=45)))  # 121 degrees: persons appear to be near
    bad = [person for person in record['persons'] if person['keypoints_cam'] is None]
    for person in record['persons']:
        if person['keypoints_cam'] is not None:
            assert np.min(np.array(person['keypoints_cam'])[:, 2]) > 0
    assert bad and len(record['problems']) == len(bad)
    assert 'behind the camera' in record['problems'][0]
    record = first(make(pose, camera=dict(focal=12)))  # 163 degrees
    assert record['camera'] is None and 'mm' in record['problems'][0]


def test_root_network(pose, root):
    plain, learned = make(pose, camera=CAMERA), make(pose, root=root, camera=CAMERA)
    assert (plain.info()['root_depth'], learned.info()['root_depth']) == ('k-value', 'network')
    layer = learned.pipeline.root.model.head.gamma_layer
    torch.nn.init.zeros_(layer.weight)
    k = [person['root_depth'] for person in first(plain)['persons']]
    for gamma in (1.0, 1.5):
        torch.nn.init.constant_(layer.bias, gamma)
        depths = [person['root_depth'] for person in first(learned)['persons']]
        close(depths, gamma * np.array(k), rtol=1e-4)
    torch.nn.init.constant_(layer.bias, -1.0)  # behind the camera: no depth at all
    record = first(learned)
    assert record['persons'][0]['root_depth'] is record['persons'][0]['keypoints_cam'] is None
    assert record['persons'][0]['keypoints_rel'] is not None and len(record['problems']) == 3


@pytest.mark.parametrize('precision', ['bf16', 'fp16'])
def test_half_precision_is_near_full_precision(precision, pose, inferencer):
    try:
        record = first(make(pose, precision=precision))
    except RuntimeError as error:  # processors without fp16 kernels
        pytest.skip(f'{precision} on this processor: {error}')
    a, b = ([p['keypoints_img'] for p in r['persons']] for r in (first(inferencer), record))
    # drawn weights have joints with two peaks, which rounding may tip
    assert 0 < np.quantile(np.abs(np.subtract(a, b)), 0.8) < 1


def test_nobody_and_unusable_images(pose):
    empty, bad = make(pose, [])([ONE, 'gone.jpg'])
    assert empty['persons'] == bad['persons'] == []
    assert 'skipped' not in empty and 'cannot be read' in bad['skipped']
    boxes = [[10, 10, 30, 60], [500, 10, 30, 60], [10, 10, 0, 60]]  # outside, without area
    record = first(make(pose, boxes))
    assert [p['bbox'][0] for p in record['persons']] == [10] and len(record['problems']) == 2


class Endless(ImageSource):
    """Frames without end; ``asked`` counts them, ``released`` tells that they were closed."""

    asked, released = 0, False

    def __init__(self):
        super().__init__('arrays', 'endless', [])

    def frames(self, start=0):
        try:
            for index in range(start, 10**6):
                self.asked += 1
                yield Frame(index, str(index), ONE)
        finally:
            self.released = True


def test_reads_no_further_ahead_than_a_batch(pose):
    source, asked = Endless(), []
    records = make(pose, [], batch_size=4)(source)
    assert source.asked == 0
    for _ in range(5):
        next(records)
        asked.append(source.asked)
    assert asked == [4, 4, 4, 4, 8]
    records.close()
    assert source.released


def test_large_images_end_a_chunk_early(pose):
    inferencer = make(pose, [], batch_size=16)
    assert len(list(inferencer([np.zeros((4000, 5000, 3), np.uint8)] * 6))) == 6
    assert inferencer.pipeline.detector.calls == [4, 2]  # 4 x 20 megapixels are the first beyond 64


def test_boxes_of_a_file(pose, album):
    folder, boxes = album
    cv2.imwrite(str(folder / 'd.png'), ONE)
    records = list(make(pose, boxes_file=boxes)(folder))
    assert [len(record['persons']) for record in records] == [3, 1, 0, 0]
    assert 'boxes.json' in records[3]['skipped'] and 'skipped' not in records[2]


def test_boxes_of_other_programs(pose, tmp_path):
    """A list of a wrong convention ends the run; what was left out is said."""
    folder, file = tmp_path / 'i', tmp_path / 'r.json'
    folder.mkdir()
    cv2.imwrite(str(folder / '1.png'), ONE)
    corners = [[x, y, x + w, y + h] for x, y, w, h in BOXES]
    write_results_file(file, {1: corners})
    with pytest.raises(ValueError, match=r'r\.json.*x1, y1, x2, y2'):
        list(make(pose, boxes_file=file)(folder))
    write_results_file(file, {1: BOXES})
    rows = json.loads(file.read_text())
    rows[0]['category_id'] = 0
    file.write_text(json.dumps(rows))
    source = open_source(folder)
    for _ in range(2):
        (_, records), *_ = make(pose, boxes_file=file).chunks(source)
        assert len(records[0]['persons']) == 2
    assert len(source.notes) == 1 and '0 (1)' in source.notes[0]
    cv2.imwrite(str(folder / '01.png'), ONE)
    with pytest.raises(ValueError, match=r'1\.png and 01\.png|01\.png and 1\.png'):
        list(make(pose, boxes_file=file)(folder))


def test_extended_boxes_are_cropped_as_they_are(pose, album, tmp_path):
    folder, raw = album
    square = crop_box(np.array(BOXES[0]), (160, 120)).tolist()
    extended = tmp_path / 'e.json'
    write_boxes_file(extended, ['a.png'], {'a.png': [square]}, extended=True)
    records = [make(pose, boxes_file=f, camera=CAMERA)(folder / 'a.png') for f in (raw, extended)]
    a, b = (next(found)['persons'][0] for found in records)
    close(a['keypoints_cam'], b['keypoints_cam'], atol=0.1)
    assert b['bbox'][2] == pytest.approx(square[2] / 1.25, abs=0.01)


@pytest.fixture
def spoil(monkeypatch):
    """``spoil(change)``: let ``change(answers)`` work on whatever the networks answer."""

    def use(change):
        def predict(network, crops, plain=Network.predict):
            answers = plain(network, crops)
            change(answers)
            return answers

        monkeypatch.setattr(Network, 'predict', predict)

    return use


def test_answers_that_are_not_finite_are_reported(pose, pretrained, spoil):
    def lose(answers):
        answers[1].get('keypoints_depth', answers[0].get('pair_probs_averaged')).fill(np.nan)

    spoil(lose)
    record = first(make(pose, camera=CAMERA))
    good, bad, _ = record['persons']
    assert good['keypoints_cam'] is not None
    assert bad['keypoints_img'] is bad['keypoints_cam'] is None
    (problem,) = record['problems']
    assert problem.startswith('person 1: no pose')
    record = first(make(pretrained))
    assert record['order']['probability'][0][1] == 0.5
    (problem,) = record['problems']
    assert problem.startswith('person 0: not compared with person 1')


def test_order_of_a_pretraining_network(pretrained):
    record = first(make(pretrained))
    probability = np.array(record['order']['probability'])
    close(probability + probability.T, np.ones((3, 3)), atol=2e-4)
    assert record['order']['ids'] == front_to_back(probability)
    assert np.shape(record['persons'][0]['keypoints_img']) == (16, 2)
    # who comes first does not matter
    again = np.array(first(make(pretrained, BOXES[::-1]))['order']['probability'])
    close(probability, again[::-1, ::-1], atol=2e-3)
    one = first(make(pretrained, BOXES[:1]))
    assert one['order'] == dict(ids=[0], probability=[[0.5]])
    assert 'order' not in first(make(pretrained, []))


@pytest.fixture
def crops_seen(spoil):
    """A list to which every forward pass adds its number of crops."""
    seen = []
    spoil(lambda answers: seen.append(len(answers)))
    return seen


def test_depth_scores_order_a_crowd_in_one_pass(scoring, crops_seen):
    record = first(make(scoring))
    assert crops_seen == [1]
    probability = np.array(record['order']['probability'])
    close(probability + probability.T, np.ones((3, 3)), atol=2e-4)
    assert record['order']['ids'] == front_to_back(probability)
    ranks = {person['id']: person['order'] for person in record['persons']}
    assert [ranks[i] for i in record['order']['ids']] == [1, 2, 3]
    for person in record['persons']:
        assert np.shape(person['keypoints_img']) == (16, 2)
        x, y, w, h = person['bbox']
        low, high = np.array([x, y]) - 2, np.array([x + w, y + h]) + 2
        points = np.array(person['keypoints_img'])
        assert ((points >= low) & (points <= high)).all()
    again = np.array(first(make(scoring, BOXES[::-1]))['order']['probability'])
    close(probability, again[::-1, ::-1], atol=2e-3)
    one = first(make(scoring, BOXES[:1]))
    assert one['order'] == dict(ids=[0], probability=[[0.5]])
    assert 'order' not in first(make(scoring, []))


def test_crowds_of_several_sizes_share_a_pass(scoring, crops_seen):
    frames = [Frame(i, f'{i}.png', make_image(i)) for i in range(3)]
    together = make(scoring)
    together.pipeline.detector = FixedDetector(BOXES, counts=[3, 1, 2])
    records = together.pipeline(frames)
    assert crops_seen == [2]
    for frame, count, record in zip(frames, (3, 1, 2), records, strict=True):
        (alone,) = make(scoring, BOXES[:count]).pipeline([frame])
        assert record['order']['ids'] == alone['order']['ids']
        close(record['order']['probability'], alone['order']['probability'], atol=2e-4)


def test_depth_scores_order_the_persons_of_a_pose_network(pose, scoring, crops_seen):
    record = first(make(pose, order=scoring))
    assert crops_seen == [3, 1]  # three persons, one crowd
    assert record['order'] == first(make(scoring))['order']
    assert np.shape(record['persons'][0]['keypoints_img']) == (18, 2)


def test_scores_that_are_not_finite_are_reported(scoring, spoil):
    spoil(lambda answers: answers[0].depth_scores_averaged.fill(np.nan))
    record = first(make(scoring))
    assert record['order'] == dict(ids=[0, 1, 2], probability=np.full((3, 3), 0.5).tolist())
    (problem,) = record['problems']
    assert problem.startswith('person 0: not compared')


def test_front_to_back():
    agreed = np.array([[0.5, 0.2, 0.9], [0.8, 0.5, 0.7], [0.1, 0.3, 0.5]])
    assert front_to_back(agreed) == [1, 0, 2]
    # 0 before 1 before 2 before 0: sums 1.1, 0.9, 1.0
    circle = np.array([[0.5, 0.9, 0.2], [0.1, 0.5, 0.8], [0.8, 0.2, 0.5]])
    assert front_to_back(circle) == [0, 2, 1]
    assert front_to_back(np.full((4, 4), 0.5)) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ('options', 'named'),
    [
        (dict(det=None), 'det'),
        (dict(precision='fp8'), 'precision'),
        (dict(batch_size=0), 'batch_size'),
        (dict(camera=dict(focal=-1)), 'camera'),
        (dict(device='cuda'), 'GPU'),
    ],
)
def test_wrong_options(options, named, pose, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    with pytest.raises(ValueError, match=named):
        WSPInferencer(pose, **(dict(det=FixedDetector()) | options))


def test_networks_in_the_wrong_place(pose, pretrained):
    with pytest.raises(ValueError, match='RelativeDepthHead'):
        make(pose, root=pretrained)
    with pytest.raises(ValueError, match='camera'):
        make(pretrained, camera=CAMERA)
