# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import copy
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from wsp_mm.datasets.annotations import AnnotationError
from wsp_mm.datasets.h36m import H36MImageDataset
from wsp_mm.datasets.h36m_arrays import open_arrays
from wsp_mm.structures.keypoints import get_joint_set


def load(root, folder='human36m', **kwargs):
    return H36MImageDataset(f'{folder}/arrays', data_root=str(root), **kwargs)


def test_a_sample_against_the_fixture(h36m_root, h36m):
    sample = h36m.by_frame(load(h36m_root))['s_06_act_14_subact_02_ca_03_000006']
    world = h36m.pose(6, 14, 2, 5)
    cam, pixels = h36m.project(world, 3)
    thorax, thorax_px = h36m.project(np.array([(world[11] + world[14]) / 2]), 3)
    close = dict(rtol=0, atol=1e-2)
    np.testing.assert_allclose(sample['keypoints_cam'][0], [*cam, *thorax], **close)
    np.testing.assert_allclose(sample['keypoints'][0, :, :2], [*pixels, *thorax_px], **close)
    np.testing.assert_allclose(sample['keypoints'][0, :17, 2], cam[:, 2] - cam[0, 2], **close)
    x, y, w, h = h36m.box(pixels)
    np.testing.assert_allclose(sample['bbox'], [[x, y, x + w, y + h]], **close)
    np.testing.assert_allclose(sample['root_depth'], [cam[0, 2]], **close)
    expected = dict(
        bbox_extended=False, subject=6, action='Walking', subaction=2, camera_id=3, frame=5,
        dataset_name='h36m', image_size=(200, 200),
        flip_indices=list(get_joint_set('h36m18').flip_indices),
        keypoints_visible=[[1.0] * 18], has_depth=[1.0], camera_f=h36m.F.tolist(),
        camera_c=h36m.C.tolist(),
    )  # fmt: skip
    for key, value in expected.items():
        found = sample[key]
        assert (found.tolist() if isinstance(found, np.ndarray) else found) == value, key
    assert sample['img_path'].endswith('s_06_act_14_subact_02_ca_03_000006.jpg')


@pytest.mark.parametrize('test_mode', [False, True])
@pytest.mark.parametrize('joint_set', ['h36m18', 'muco21'])
def test_both_layouts_give_the_same_sample(h36m, h36m_root, test_mode, joint_set):
    options = dict(test_mode=test_mode, joint_set=joint_set)
    one, other = (h36m.by_frame(load(h36m_root, f, **options)) for f in ('human36m', 'h36m'))
    # 2 actions x 2 subactions x 4 cameras x 3 or 2 frames a subject, less the broken sequence's 3.
    assert one.keys() == other.keys() and len(one) == (2 * 48 - 3 if test_mode else 5 * 32)
    for key, sample in one.items():
        assert sample.keys() == other[key].keys()
        for name, value in sample.items():
            if name in ('id', 'img_id', 'img_path', 'sample_idx', 'image_size_slack'):
                continue
            if isinstance(value, np.ndarray) and value.dtype.kind == 'f':
                np.testing.assert_allclose(value, other[key][name], atol=2e-3, err_msg=name)
            else:
                assert np.all(value == other[key][name]), (key, name)


@pytest.mark.parametrize(
    'kwargs, subjects, count',
    [
        (dict(), (1, 5, 6, 7, 8), 160),
        (dict(protocol=2), (1, 5, 6, 7, 8, 9), 160 + 32),
        (dict(protocol=2, test_mode=True), (11,), 45),
        (dict(subjects=[7, 5], test_mode=True, frame_step=3), (5, 7), 64),
        (dict(subjects=[1, 5], frame_step=1), (1, 5), 96),
        (dict(subjects=[1], actions='Walking'), (1,), 16),
        (dict(subjects=[1], actions=['Walking', 'Directions']), (1,), 32),
    ],
)
def test_selections(h36m_root, kwargs, subjects, count):
    dataset = load(h36m_root, check_images=False, **kwargs)
    samples = [dataset.get_data_info(i) for i in range(len(dataset))]
    assert dataset.subjects == subjects and {s['subject'] for s in samples} == set(subjects)
    assert len(samples) == count
    if kwargs.get('actions') == 'Walking':
        assert {sample['action'] for sample in samples} == {'Walking'}


@pytest.mark.parametrize(
    'kwargs, said',
    [
        (dict(actions=['Photo']), 'Photo'),
        (dict(actions=['Running']), r'Running.*Directions'),
        (dict(bbox_root_file='x.json'), 'test_mode'),
        (dict(bbox_root_file='x.json', test_mode=True, folder='h36m'), 'image ids'),
        (dict(joint_set='crowdpose14'), 'pelvis'),
    ],
)
def test_bad_arguments(h36m_root, tmp_path, monkeypatch, kwargs, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'x.json').write_text('[]')
    with pytest.raises((ValueError, KeyError), match=said):
        load(h36m_root, **kwargs)
    with pytest.raises(TypeError, match='serialize_data'):
        load(h36m_root, serialize_data=True)


def test_what_was_not_converted(h36m, two_subjects, tmp_path):
    with pytest.raises(AnnotationError, match=r'arrays/header\.json.*convert_h36m\.py'):
        h36m.load(two_subjects)
    h36m.convert(two_subjects, subjects=(1,), steps=(5,))
    with pytest.raises(AnnotationError, match=r'subjects \[1\].*convert_h36m\.py'):
        h36m.load(two_subjects)
    with pytest.raises(AnnotationError, match=r'multiples of 3 .*--steps'):
        h36m.load(two_subjects, subjects=[1], frame_step=3)
    assert len(h36m.load(two_subjects, subjects=[1], frame_step=10)) == 16
    (two_subjects / 'arrays/joints.npy').write_bytes(b'cut off')
    with pytest.raises(AnnotationError, match=r'joints\.npy: .*convert_h36m\.py'):
        h36m.load(two_subjects, subjects=[1])


def test_rows_are_mapped_and_shared(h36m_root):
    arrays = load(h36m_root).arrays
    joints = arrays.columns['joints']
    assert isinstance(joints, np.memmap) and not joints.flags.writeable
    # A worker that is started afresh, or a subset, maps the files again: what is kept is a path.
    sent = pickle.dumps(arrays)
    assert len(sent) < 500
    for other in (pickle.loads(sent), copy.deepcopy(load(h36m_root)).arrays):
        assert isinstance(other.columns['joints'], np.memmap)


def test_folders_of_images(h36m, two_subjects, log):
    h36m.convert(two_subjects)
    with pytest.raises(AnnotationError, match=r'data_prefix'):
        h36m.load(two_subjects, check_images=True)
    h36m.write_3dmppe(two_subjects, (1, 5))
    assert len(h36m.load(two_subjects, check_images=True)) == 64
    folder = two_subjects / 'human36m/images/s_05_act_02_subact_01_ca_02'
    folder.rename(folder.with_name('moved'))
    with pytest.raises(AnnotationError, match=r's_05_act_02_subact_01_ca_02: '):
        h36m.load(two_subjects, check_images=True)
    assert len(h36m.load(two_subjects, check_images=True, skip_bad=True)) == 62
    assert any('2 frames of 1 sequences' in line and folder.name in line for line in log)


def test_predicted_boxes(h36m, h36m_root, tmp_path, pose3d_pipelines, monkeypatch):
    plain = load(h36m_root, test_mode=True)
    records = []
    for i, info in enumerate(h36m.by_frame(plain).values()):
        found = dict(bbox=[10.0, 20.0, 80.0, 80.0], root_cam=[1.0, 2.0, 3000.0 + i])
        records.append(dict(found, image_id=info['img_id']))
    monkeypatch.chdir(tmp_path)  # looked for here first, then below the data root
    (tmp_path / 'roots.json').write_text(json.dumps(records))
    options = dict(test_mode=True, bbox_root_file='roots.json', pipeline=pose3d_pipelines[1])
    dataset = load(h36m_root, **options)
    info, true = dataset.get_data_info(7), plain.get_data_info(7)
    assert info['bbox'].tolist() == [[10, 20, 90, 100]] and info['bbox_extended'] is True
    assert info['root_depth'].tolist() == [3007.0]
    for key in ('keypoints', 'keypoints_cam'):
        np.testing.assert_array_equal(info[key], true[key])
    sample = dataset[7]['data_samples']
    assert sample.input_center.tolist() == [50, 60] and sample.input_scale.tolist() == [80, 80]
    assert sample.root_depth == 3007.0
    (tmp_path / 'roots.json').write_text(json.dumps(records[2:]))
    with pytest.raises(AnnotationError, match='90000, 90001'):
        load(h36m_root, **options)


def test_an_image_of_another_size(h36m, two_subjects, pose3d_pipelines):
    h36m.write_3dmppe(two_subjects, (1,))
    h36m.convert(two_subjects, subjects=(1,))
    dataset = h36m.load(two_subjects, subjects=[1], pipeline=pose3d_pipelines[0])
    h36m.write_image(Path(dataset.get_data_info(0)['img_path']), (201, 200))
    with pytest.raises(ValueError, match=r'000001.jpg is 201 x 200 px'):
        dataset[0]
    assert dataset[1]['inputs'].shape == (3, 64, 64)


@pytest.mark.parametrize('folder', ['human36m', 'h36m'])
def test_through_the_pipelines(h36m_root, pose3d_pipelines, folder):
    dataset = load(h36m_root, folder, pipeline=pose3d_pipelines[0])
    dataset.set_item_seed(3, 1)
    first, again = dataset[5], dataset[5]
    assert torch.equal(first['inputs'], again['inputs']) and first['inputs'].dtype == torch.uint8
    dataset.set_item_seed(3, 2)
    assert not torch.equal(dataset[5]['inputs'], first['inputs'])
    labels = first['data_samples'].gt_instance_labels
    assert labels.keypoint_labels.shape == (1, 18, 3) and (labels.depth_weights == 1).all()
    assert labels.keypoint_labels[0, 0, 2] == 8  # the root lies in the middle of the range
    first['data_samples'].cpu()  # fields of different lengths would not survive this

    test = load(h36m_root, folder, test_mode=True, pipeline=pose3d_pipelines[1])
    sample, info = test[0]['data_samples'], test.get_data_info(0)
    np.testing.assert_array_equal(sample.gt_instances.keypoints_cam, info['keypoints_cam'])
    np.testing.assert_array_equal(sample.camera_f, info['camera_f'])
    np.testing.assert_allclose(sample.gt_instances.bboxes, info['bbox'], atol=1e-3)
    assert sample.root_depth == pytest.approx(float(info['root_depth'][0]))
    assert sample.action == info['action'] and sample.frame_key == info['frame_key']


def test_subsets(h36m, h36m_root):
    def loaded(**kwargs):
        return load(h36m_root, subjects=[1, 5], **kwargs)

    whole = loaded()
    assert len(loaded(indices=10)) == 10 and len(loaded(indices=-7)) == 7
    part = loaded(indices=[3, 5])
    assert part.get_data_info(1)['frame_key'] == whole.get_data_info(5)['frame_key']
    assert len(whole.get_subset([1, 2, 3])) == 3
    with pytest.raises(ValueError, match='indices=0'):
        loaded(indices=0)
    assert whole.get_data_info(-1)['sample_idx'] == 63


@pytest.mark.slow
@pytest.mark.parametrize('share', [0.1, 0.25])
def test_share_of_the_samples(h36m_root, share):
    whole, some = load(h36m_root), load(h36m_root, share=share)
    ids = [sample['id'] for sample in some]
    assert abs(len(some) - share * len(whole)) <= 1
    places = [i for i, sample in enumerate(whole) if sample['id'] in ids]
    assert ids == [whole[i]['id'] for i in places]
    assert max(np.diff(places)) <= 2 / share  # no hole
    for name, values in (('subject', {1, 5, 6, 7, 8}), ('camera_id', {1, 2, 3, 4})):
        assert {sample[name] for sample in some} == values
    some.full_init()  # a second time changes nothing
    assert [sample['id'] for sample in some] == ids


def test_shares_that_are_refused(h36m_root):
    for share in (0, 1.5):
        with pytest.raises(ValueError, match='share'):
            load(h36m_root, share=share)


def test_a_whole_training_set_opens_at_once(tmp_path):
    """As many frames as Human3.6M's training set has of every fifth: under 1 s and 50 MB."""
    import subprocess
    import sys

    from wsp_mm.datasets.h36m_arrays import write_arrays

    count, rows = 312_188, np.arange(312_188)
    columns = dict(
        subject=np.array([1, 5, 6, 7, 8])[rows % 5], action=rows % 15, subaction=rows % 2 + 1,
        camera=rows % 4 + 1,
        frame=rows // 120 * 5, id=rows, image_id=rows, size=np.full((count, 2), 1000),
        bbox=np.ones((count, 4)), joints=np.ones((count, 17, 3)),
        file_name=np.array([b's_01/s_01_act_02_subact_01_ca_01_%06d.jpg' % i for i in rows]),
    )  # fmt: skip
    header = dict(
        layout='3dmppe', images='human36m/images', subjects=[1, 5, 6, 7, 8], steps=[5],
        size_slack=0, notes=[],
        cameras=[(s, c, 1000, 1000, 500, 500) for s in (1, 5, 6, 7, 8) for c in (1, 2, 3, 4)],
    )  # fmt: skip
    write_arrays(tmp_path / 'arrays', header, columns)
    assert len(open_arrays(tmp_path / 'arrays').select((1, 5), 5)) == 124_876
    code = """
import sys, time
from pathlib import Path
from wsp_mm.datasets.h36m import H36MImageDataset
def private():
    lines = Path('/proc/self/smaps_rollup').read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith('Private_Dirty')) / 1024
before, start = private(), time.perf_counter()
dataset = H36MImageDataset('arrays', data_root=sys.argv[1], check_images=False)
print(len(dataset), time.perf_counter() - start, private() - before)
"""
    command = [sys.executable, '-c', code, tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found, seconds, megabytes = map(float, done.stdout.split()[-3:])
    assert found == count and seconds < 1 and megabytes < 50
