# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import pickle
from collections import Counter

import numpy as np
import pytest

import wsp_mm.datasets.transforms.person_crop  # noqa: F401
from wsp_mm.datasets.h36m_image import H36MImageDataset


def test_mmpose_joints_in_the_worlds_frame(lab, h36m_root, tmp_path):
    lab.write_mmpose(tmp_path, world=True)
    one = lab.by_frame(lab.load(tmp_path, layout='mmpose'))
    for key, sample in lab.by_frame(lab.load(h36m_root, layout='mmpose')).items():
        np.testing.assert_allclose(sample['keypoints_cam'], one[key]['keypoints_cam'], atol=1e-2)


def test_mmpose_cameras_that_fit_no_convention(lab, tmp_path):
    lab.write_mmpose(tmp_path)
    path = tmp_path / 'h36m' / 'annotation_body3d' / 'cameras.pkl'
    cameras = pickle.loads(path.read_bytes())
    cameras['S5', '60457274']['f'] = cameras['S5', '60457274']['f'] * 3
    path.write_bytes(pickle.dumps(cameras))
    with pytest.raises(
        ValueError, match=r"h36m_train.npz: subject 5, camera 60457274: .*camera's frame: [\d.]+ px"
    ):
        lab.load(tmp_path, layout='mmpose')
    assert len(lab.load(tmp_path, layout='mmpose', subjects=[1])) == 32


def test_mmpose_at_ten_frames_a_second_is_said(lab, tmp_path, log):
    lab.write_mmpose(tmp_path, rate='fps10')
    assert len(lab.load(tmp_path, layout='mmpose')) == 64 and 'every fifth frame' not in '\n'.join(
        log
    )
    lab.load(tmp_path, layout='mmpose', subjects=None, test_mode=True)
    assert 'holds every fifth frame' in '\n'.join(log)


class Evil:
    def __reduce__(self):
        return print, ('code in a pickle ran',)


def test_a_hostile_pickle_is_not_run(lab, tmp_path, capsys):
    lab.write_mmpose(tmp_path)
    path = tmp_path / 'h36m' / 'annotation_body3d' / 'cameras.pkl'
    path.write_bytes(pickle.dumps({('S1', '54138969'): Evil()}))
    with pytest.raises(ValueError, match=r'cameras.pkl: .*builtins.print'):
        lab.load(tmp_path, layout='mmpose')
    assert 'ran' not in capsys.readouterr().out


def test_bad_npz(lab, tmp_path):
    lab.write_mmpose(tmp_path)
    path = tmp_path / 'h36m' / 'annotation_body3d' / 'fps50' / 'h36m_train.npz'
    with np.load(path) as content:
        arrays = dict(content)

    def said(match, **changes):
        np.savez(path, **(arrays | changes))
        with pytest.raises(ValueError, match=match):
            lab.load(tmp_path, layout='mmpose')

    joints = arrays['S'].copy()
    joints[6, 3, 1] = np.nan
    said(r'h36m_train.npz: row 6 \(S1/.*holds nan', S=joints)
    assert len(lab.load(tmp_path, layout='mmpose', skip_bad=True, frame_step=1)) == 95
    said('are not 17 joints', S=joints[:, :16])
    said('no name like', imgname=np.array(['x.jpg'] * len(joints)))
    said(r'no frame of subject \[1, 5\]', imgname=np.array([n.replace('S1', 'S6').replace('S5', 'S6')
                                                         for n in arrays['imgname']]))  # fmt: skip
    np.savez(path, imgname=arrays['imgname'], S=arrays['S'])
    with pytest.raises(ValueError, match='part'):
        lab.load(tmp_path, layout='mmpose')
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(ValueError, match=r'h36m_train\.npz: it cannot be read'):
        lab.load(tmp_path, layout='mmpose')


def test_a_missing_mmpose_camera(lab, tmp_path):
    lab.write_mmpose(tmp_path)
    path = tmp_path / 'h36m' / 'annotation_body3d' / 'cameras.pkl'
    cameras = pickle.loads(path.read_bytes())
    del cameras['S5', '54138969']
    path.write_bytes(pickle.dumps(cameras))
    with pytest.raises(ValueError, match=r"cameras.pkl: camera \('S5', '54138969'\)"):
        lab.load(tmp_path, layout='mmpose')
    assert len(lab.load(tmp_path, layout='mmpose', skip_bad=True)) == 56


def test_the_real_sample(lab, samples, tmp_path):
    """Four real frames: the pinhole projection of the 3D joints against the labelled pixels."""
    folder = tmp_path / 'h36m' / 'annotation_body3d' / 'fps10'
    folder.mkdir(parents=True)
    (folder / 'h36m_train.npz').symlink_to(samples / 'h36m' / 'test_h36m_body3d.npz')
    (folder.parent / 'cameras.pkl').symlink_to(samples / 'h36m' / 'cameras.pkl')
    dataset = H36MImageDataset(
        str(tmp_path), 'mmpose', subjects=[1, 5, 7, 8], data_prefix=dict(img=str(samples / 'h36m')),
        pipeline=[dict(type='LoadImage'), dict(type='PersonCenterScale')],
    )  # fmt: skip
    found = lab.by_frame(dataset)
    assert Counter(sample['action'] for sample in found.values()) == dict.fromkeys(
        ['Directions', 'SittingDown', 'Greeting', 'WalkDog'], 1
    )
    with np.load(samples / 'h36m' / 'test_h36m_body3d.npz') as content:
        names = [str(name).rpartition('/')[2] for name in content['imgname']]
        labelled = dict(zip(names, content['part'][..., :2], strict=True))
    for i in range(4):
        info = dataset[
            i
        ]  # every picture is there and has the size that the cameras say, but for two rows of S7's
        error = np.linalg.norm(
            info['keypoints'][0, :17, :2] - labelled[info['img_path'].rpartition('/')[2]], axis=1
        )
        assert error.mean() < 2 and error.max() < 3.5  # what leaving out the lens' distortion costs
        assert 3000 < info['root_depth'][0] < 7000
        low, high = (
            info['bbox_center'] - info['bbox_scale'] / 2,
            info['bbox_center'] + info['bbox_scale'] / 2,
        )
        inside = (info['keypoints'][0, :, :2] > low) & (info['keypoints'][0, :, :2] < high)
        assert inside.all()
