# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import json

import numpy as np
import pytest

from wsp_mm.datasets import detections
from wsp_mm.datasets.annotations import AnnotationError
from wsp_mm.datasets.mupots import MuPoTSDataset
from wsp_mm.structures.bbox import crop_box


def load(root, **kwargs):
    return MuPoTSDataset(data_root=str(root), **kwargs)


def samples(dataset):
    return [dataset.get_data_info(i) for i in range(len(dataset))]


def names(dataset):
    return [(sample['frame_key'], sample['det_idx']) for sample in samples(dataset)]


@pytest.fixture
def root(mupots, tmp_path):
    mupots.write(tmp_path)
    return tmp_path


def write_boxes(path, boxes, extended=False, images=(10, 11, 30, 31), name='TS1/img_000001.jpg'):
    """A file of detections: image id -> boxes x, y, w, h; ``name`` is that of image 11."""
    names = {10: 'TS1/img_000000.jpg', 11: name}
    scores = {i: [0.9 - 0.1 * k for k in range(len(found))] for i, found in boxes.items()}
    listed = [(i, names.get(i, f'{i}.jpg')) for i in images]
    detections.write_boxes(path, listed, boxes, scores, extended)


def write_roots(path, rows):
    rows = [dict(image_id=i, bbox=box, root_cam=cam, **more) for i, box, cam, more in rows]
    path.write_text(json.dumps(rows))


# ------------------------------------------------------------------ ground-truth boxes
def test_valid_persons_are_samples(root, mupots):
    dataset = load(root)
    assert names(dataset) == [('TS1_img_000000', 0), ('TS1_img_000000', 1), ('TS1_img_000001', 0)]
    sample, person = samples(dataset)[1], mupots.people()[1]
    joints, pixels = np.array(person['keypoints_cam']), np.array(person['keypoints_img'])
    assert sample['keypoints'].shape == (1, 21, 3) and len(sample['flip_indices']) == 21
    np.testing.assert_allclose(sample['keypoints_cam'][0, :17], joints, atol=1e-3)
    np.testing.assert_allclose(sample['keypoints'][0, :17, :2], pixels, atol=1e-4)
    depth = joints[:, 2] - joints[14, 2]
    np.testing.assert_allclose(sample['keypoints'][0, :17, 2], depth, atol=1e-3)
    # MuPoTS has no hands and no toes.
    assert sample['keypoints_visible'].tolist() == [[1.0] * 17 + [0.0] * 4]
    assert sample['root_depth'].tolist() == [4000] and sample['bbox_extended'] is False
    x, y, w, h = person['bbox']
    np.testing.assert_allclose(sample['bbox'], [[x, y, x + w, y + h]], atol=1e-4)
    assert sample['camera_f'].tolist() == [300, 310] and sample['camera_c'].tolist() == [100, 80]
    assert (sample['sequence'], sample['frame'], sample['img_id'], sample['id']) == (1, 0, 10, 2)
    assert sample['img_path'] == str(root / 'mupots/MultiPersonTestSet/TS1/img_000000.jpg')
    assert sample['dataset_name'] == 'mupots' and sample['bbox_score'].tolist() == [1]
    assert load(root, joint_set='mupots17').get_data_info(0)['keypoints'].shape == (1, 17, 3)


def test_through_the_pipeline(root, pose3d_pipelines):
    dataset = load(root, pipeline=pose3d_pipelines[1], test_mode=True)
    packed = dataset[2]['data_samples']
    assert (packed.frame_key, packed.det_idx, packed.sequence) == ('TS1_img_000001', 0, 1)
    assert packed.root_depth == 3900 and packed.gt_instances.keypoints_cam.shape == (1, 21, 3)


def test_what_is_left_out_is_logged(mupots, tmp_path, log):
    people = mupots.people()
    people[1]['bbox'] = [500, 10, 20, 20]
    for person in people:
        person['keypoints_img'] = (np.array(person['keypoints_img']) + np.array([40, 0])).tolist()
    mupots.write(tmp_path, people)
    assert names(load(tmp_path)) == [('TS1_img_000000', 0), ('TS1_img_000001', 0)]
    for text in ('1 persons of 3', '2 images without a valid person', '40.0 px from keypoints_img'):
        assert any(text in line for line in log), text


def test_nobody(root, mupots, tmp_path_factory, log):
    """Nobody annotated is an error; nobody detected is a result."""
    write_boxes(root / 'boxes.json', {})
    (root / 'roots.json').write_text('[]')
    for file in (dict(boxes_file='boxes.json'), dict(bbox_root_file='roots.json')):
        assert len(load(root, **file)) == 0
        assert any('in 4 images: MuPoTS3DPCK counts everybody' in text for text in log)
        log.clear()
    other = tmp_path_factory.mktemp('nobody')
    mupots.write(other, [mupots.person(1, 10, (0.0, 0.0, 3000.0), is_valid=0)])
    with pytest.raises(AnnotationError, match=r'MuPoTS-3D.json: .*4 images'):
        load(other)


def test_bad_files(root, mupots):
    (root / 'mupots/MultiPersonTestSet/TS1/img_000000.jpg').unlink()
    with pytest.raises(AnnotationError, match=r'TS1/img_000000.jpg'):
        load(root)
    assert len(load(root, check_images=False)) == 3
    (root / 'mupots/MuPoTS-3D.json').unlink()
    with pytest.raises(AnnotationError, match=r'MuPoTS-3D.json: there is no such file'):
        load(root)


# ------------------------------------------------------------------ predicted boxes and roots
ROOTS = [
    (11, [20, 30, 60, 60], [1, 2, 3300], dict(score=0.5)),
    (31, [-5, 30, 50, 50], [1, 2, 2800], dict(score=0.7)),
    (11, [90, 10, 80, 80], [1, 2, 4100], {}),
]


def test_predicted_roots(root, pose3d_pipelines, log):
    write_roots(root / 'roots.json', ROOTS)
    dataset = load(root, bbox_root_file='roots.json', pipeline=pose3d_pipelines[1], test_mode=True)
    assert names(dataset) == [('TS1_img_000001', 0), ('TS1_img_000001', 1), ('TS2_img_000001', 0)]
    first, second, third = samples(dataset)
    assert first['bbox'].tolist() == [[20, 30, 80, 90]]
    assert third['bbox'].tolist() == [[-5, 30, 45, 80]]
    assert [s['root_depth'].tolist() for s in (first, second, third)] == [[3300], [4100], [2800]]
    assert [round(float(s['bbox_score'][0]), 3) for s in (first, second, third)] == [0.5, 1.0, 0.7]
    assert len({s['id'] for s in (first, second, third)}) == 3 and first['img_id'] == 11
    for s in (first, third):
        assert s['bbox_extended'] and not {'keypoints', 'keypoints_cam'} & s.keys()
    # The crop is the box itself: extended once, by who wrote the file.
    packed = dataset[2]['data_samples']
    assert packed.gt_instances.bbox_scales.tolist() == [[50, 50]]
    assert packed.input_center.tolist() == [20, 55]
    assert set(packed.gt_instances.keys()) == {'bboxes', 'bbox_scores', 'bbox_scales', 'root_depth'}
    assert (packed.frame_key, packed.det_idx, packed.root_depth) == ('TS2_img_000001', 0, 2800)
    assert any('2 images without a detected person' in text for text in log)


@pytest.mark.parametrize('by_file', [False, True])
def test_detected_boxes(root, pose3d_pipelines, by_file):
    """Raw boxes are extended once, extended ones never; k is of the extended box either way."""
    raw = [40.0, 20.0, 30.0, 90.0]
    extended = crop_box(np.array(raw), (200, 160))
    given = extended.tolist() if by_file else raw
    write_boxes(root / 'boxes.json', {10: [[100, 50, 20, 20], given]}, by_file)
    dataset = load(root, boxes_file='boxes.json', pipeline=pose3d_pipelines[1], test_mode=True)
    assert names(dataset) == [('TS1_img_000000', 0), ('TS1_img_000000', 1)]
    sample = samples(dataset)[1]
    assert sample['bbox_extended'] == by_file
    # (90 - 1) x 1.25 px a side; sqrt(300 x 310 x 2000^2) / 111.25 px
    assert extended[2:] == pytest.approx([111.25, 111.25])
    assert sample['root_depth'][0] == pytest.approx((300 * 310) ** 0.5 * 2000 / 111.25, rel=1e-4)
    assert sample['bbox_score'][0] == pytest.approx(0.8)
    packed = dataset[1]['data_samples']
    assert packed.gt_instances.bbox_scales[0] == pytest.approx([111.25, 111.25], abs=1e-2)


def test_a_plain_list_of_results(root, log):
    rows = [dict(image_id=10, bbox=[4, 5, 30, 40], score=0.5, category_id=1)]
    rows += [dict(image_id=11, bbox=[400, 5, 30, 40], score=0.5, category_id=1)]  # outside
    (root / 'results.json').write_text(json.dumps(rows))
    assert names(load(root, boxes_file='results.json')) == [('TS1_img_000000', 0)]
    assert any('1 boxes of 2' in text for text in log)


def test_boxes_of_other_programs(root, log, refused):
    def write(*rows):
        rows = [dict(bbox=[4, 5, 30, 40]) | row for row in rows]
        (root / 'results.json').write_text(json.dumps(rows))

    write(dict(image_id='TS1/img_000001'), dict(image_id=10, category_id=0))
    assert names(load(root, boxes_file='results.json')) == [('TS1_img_000001', 0)]
    assert any('results.json' in text and '0 (1)' in text for text in log)
    for row, kind in (
        (dict(image_id='img_000001.jpg'), 'ambiguous image'),  # of TS1, or of TS2?
        (dict(image_id=10, category_id=0), 'no persons'),
        (dict(image_id=10, bbox=[120, 60, 150, 150]), 'box of another convention'),
        (dict(image_id=10, bbox=[0.1, 0.2, 0.3, 0.4]), 'normalised box'),
    ):
        write(row)
        with refused(kind, 'results'):
            load(root, boxes_file='results.json')


def test_files_of_boxes_are_looked_for_where_the_tools_write(root, tmp_path, monkeypatch):
    work = tmp_path / 'work'
    work.mkdir()
    monkeypatch.chdir(work)
    write_roots(work / 'here.json', ROOTS[:1])
    write_roots(root / 'there.json', ROOTS)
    assert len(load(root, bbox_root_file='here.json')) == 1
    assert len(load(root, bbox_root_file='there.json')) == 3
    assert len(load(root, bbox_root_file=str(root / 'there.json'))) == 3
    with pytest.raises(ValueError, match=r'none\.json: there is no such file'):
        load(root, bbox_root_file='none.json')


def test_files_for_other_images_are_refused(root):
    def refused(match, **options):
        with pytest.raises(AnnotationError, match=match):
            load(root, **options)

    write_roots(root / 'roots.json', [*ROOTS, (77, [1, 1, 9, 9], [0, 0, 900], {})])
    refused(r'roots.json: image 77: ', bbox_root_file='roots.json')
    found = {10: [[4, 5, 30, 40]]}
    for said, changes in (
        ('image 99: ', dict(images=[10, 11, 30, 31, 99])),
        ('2 of 4 images .*: image 30, 31', dict(images=[10, 11])),
        ('image 11: .*TS4.*TS1', dict(name='TS4/img_000001.jpg')),
    ):
        write_boxes(root / 'boxes.json', found, **changes)
        refused(f'boxes.json: {said}', boxes_file='boxes.json')
    with pytest.raises(ValueError, match='not both'):
        load(root, boxes_file='boxes.json', bbox_root_file='roots.json')
