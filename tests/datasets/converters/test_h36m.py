# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import json
import pickle
from collections import Counter

import numpy as np
import pytest

from wsp_mm.datasets.annotations import AnnotationError
from wsp_mm.datasets.h36m import H36MImageDataset
from wsp_mm.datasets.h36m_arrays import open_arrays
from wsp_mm.datasets.transforms.person import PersonCenterScale


@pytest.mark.parametrize(
    'layout, convention, said',
    [
        ('3dmppe', 'centre', 'raw camera centre was converted'),
        ('mmpose', 'world', "world's frame"),
    ],
)
def test_both_conventions_of_a_layout(h36m, tmp_path, layout, convention, said):
    found = []
    for other in (False, True):
        root = tmp_path / str(other)
        getattr(h36m, f'write_{layout}')(root, images_too=False, **{convention: other})
        assert any(said in note for note in h36m.convert(root, layout)) == other
        found.append(h36m.by_frame(h36m.load(root)))
    one, two = found
    assert one.keys() == two.keys()
    for key in one:
        np.testing.assert_allclose(one[key]['keypoints_cam'], two[key]['keypoints_cam'], atol=1e-2)


# ------------------------------------------------------------------ 3DMPPE
def test_a_camera_that_fits_no_convention(h36m, two_subjects):
    h36m.edit(two_subjects, 5, 'camera', lambda c: c['2'].update(t=[0.0, 0.0, 9000.0]))
    with pytest.raises(AnnotationError, match=r'subject5_data.json: subject 5, camera 2 .* px'):
        h36m.convert(two_subjects, skip_bad=True)
    h36m.edit(two_subjects, 5, 'camera', lambda c: c.update({'2': c['1']}))
    with pytest.raises(AnnotationError, match='--convention-tolerance'):
        h36m.convert(two_subjects)
    h36m.convert(two_subjects, tolerance=1e6)
    assert len(h36m.load(two_subjects)) == 64


def nan_joint(content):
    content['2']['1']['0'][4][1] = float('nan')


@pytest.mark.parametrize(
    'kind, change, said, left',
    [
        ('joint_3d', nan_joint, r'joint_3d.json: action 2, sub-action 1, frame 0: .*finite', 60),
        ('joint_3d', lambda c: c['14']['2'].pop('5'), r'action 14, sub-action 2, frame 5: ', 60),
        ('joint_3d', lambda c: c['2']['1']['0'].pop(), r'17 joints', 60),
        ('camera', lambda c: c.pop('3'), r"camera.json: subject 1, camera 3 .*'3'; 12 frames", 56),
        ('camera', lambda c: c['3'].update(R=[[2, 0, 0], [0, 1, 0], [0, 0, 1]]), 'rotation', 56),
        ('camera', lambda c: c['3'].pop('f'), r"camera 3 .*'f'", 56),
        ('data', lambda c: c['annotations'][0].update(bbox=[9, 9, 0, 50]), '510000: .*no area', 63),
        ('data', lambda c: c['annotations'][0].update(bbox=[900, 10, 9, 50]), 'no area', 63),
        ('data', lambda c: c['annotations'][0].update(bbox=[1, 2, 3]), "510000: 'bbox'", 63),
        ('data', lambda c: c['annotations'][0].pop('bbox'), "510000: 'bbox'", 63),
        ('data', lambda c: c['annotations'][0].update(id=10**25), "'id'", 63),
        ('data', lambda c: c['annotations'].append(dict(c['annotations'][0], id=5)),
         '5: .*already', 64),
    ],
)  # fmt: skip
def test_bad_records(h36m, two_subjects, kind, change, said, left):
    h36m.edit(two_subjects, 1, kind, change)
    with pytest.raises(AnnotationError, match=said) as error:
        h36m.convert(two_subjects)
    assert 'Human36M_subject1_' in str(error.value)
    assert any('skipped' in note for note in h36m.convert(two_subjects, skip_bad=True))
    assert len(h36m.load(two_subjects)) == left
    assert len(h36m.load(two_subjects, subjects=[5])) == 32


@pytest.mark.parametrize(
    'change, said',
    [
        (lambda c: c['images'][3].update(subject=5), "image 10003: 'subject' must be 1 to 1"),
        (lambda c: c['images'][3].update(action_idx=1),
         "image 10003: 'action_idx' must be 2 to 16"),
        (lambda c: c['images'][3].pop('frame_idx'), "image 10003: 'frame_idx'"),
        (lambda c: c['images'][3].update(width='wide'), "image 10003: 'width'"),
        (lambda c: c['images'][3].update(frame_idx=0.5), "image 10003: 'frame_idx'"),
        (lambda c: c['images'][3].update(file_name=None), "image 10003: 'file_name'"),
        (lambda c: c.update(images=None), 'images'),
        (lambda c: c.update(annotations=None), 'annotations'),
        (lambda c: c['images'].clear(), 'images'),
        (lambda c: c.update(annotations=c['annotations'][:1], images=c['images'][1:]),
         'nothing|no annotated'),
    ],
)  # fmt: skip
def test_files_of_another_layout(h36m, two_subjects, change, said):
    h36m.edit(two_subjects, 1, 'data', change)
    with pytest.raises(AnnotationError, match=f'subject1_data.json: .*{said}'):
        h36m.convert(two_subjects, skip_bad=True)


@pytest.mark.parametrize('kind', ['data', 'camera', 'joint_3d'])
def test_truncated_and_missing_files(h36m, two_subjects, kind):
    path = two_subjects / 'human36m' / 'annotations' / f'Human36M_subject5_{kind}.json'
    path.write_text(path.read_text()[:-40])
    with pytest.raises(AnnotationError, match=f'{path.name}: .*json'):
        h36m.convert(two_subjects)
    path.unlink()
    with pytest.raises(AnnotationError, match=f'{path.name}: there is no such file'):
        h36m.convert(two_subjects)


def test_the_action_is_the_annotations_not_the_paths(h36m, two_subjects):
    def rename(content):
        for image in content['images']:
            image['file_name'] = 'act_16/x.jpg'

    h36m.edit(two_subjects, 1, 'data', rename)
    h36m.convert(two_subjects)
    found = h36m.by_frame(h36m.load(two_subjects, subjects=[1])).values()
    assert {sample['action'] for sample in found} == {'Directions', 'Walking'}


def change_poses(h36m, root, subject, change, scale=1.0):
    """Change every pose (17, 3) mm, and scale the translations of the cameras."""

    def poses(content):
        for frames in (frames for parts in content.values() for frames in parts.values()):
            frames.update({key: change(np.array(pose)).tolist() for key, pose in frames.items()})

    def cameras(content):
        for camera in content.values():
            camera['t'] = (np.array(camera['t']) * scale).tolist()

    h36m.edit(root, subject, 'joint_3d', poses)
    h36m.edit(root, subject, 'camera', cameras)


@pytest.mark.parametrize(
    'change, scale, said',
    [
        (lambda pose: pose * 1e-3, 1e-3, r'subject5_data.json: annotation .*\Wmetres\?'),
        (lambda pose: pose * 0.1, 0.1, r'subject5_data.json: annotation .*\Wcentimetres\?'),
        (lambda pose: pose * 1e3, 1e3, r'subject5_data.json: annotation .*\Wunit\?'),
        (lambda pose: pose - pose[0], 1.0, r'subject 5, camera 1 .*root-relative'),
    ],
)
def test_other_units_and_origins(h36m, two_subjects, change, scale, said):
    change_poses(h36m, two_subjects, 5, change, scale)
    with pytest.raises(AnnotationError, match=said):
        h36m.convert(two_subjects)


def test_an_odd_pose_is_left_out_and_children_are_kept(h36m, two_subjects):
    def lose_a_knee(content):
        content['2']['1']['0'][2][0] += 5000

    h36m.edit(two_subjects, 1, 'joint_3d', lose_a_knee)
    change_poses(h36m, two_subjects, 5, lambda pose: pose * 0.4, 0.4)  # a child of 63 cm
    (note,) = [n for n in h36m.convert(two_subjects) if 'left out' in n]
    assert '4 x implausible' in note and 'subject1_data.json: annotation' in note
    assert len(h36m.load(two_subjects)) == 60


# ------------------------------------------------------------------ MMPose
@pytest.fixture
def npz(h36m, tmp_path):
    """``npz(**changes)`` writes MMPose's layout with other arrays of the training subjects."""
    h36m.write_mmpose(tmp_path)
    path = tmp_path / 'h36m/annotation_body3d/fps50/h36m_train.npz'
    arrays = dict(np.load(path))

    def write(**changes):
        arrays.update(changes)
        np.savez(path, **{key: value for key, value in arrays.items() if value is not None})
        return arrays

    write.path, write.root = path, tmp_path
    return write


@pytest.fixture
def cameras(h36m, tmp_path):
    """``cameras(change)`` edits the cameras of MMPose's layout."""
    h36m.write_mmpose(tmp_path)
    path = tmp_path / 'h36m/annotation_body3d/cameras.pkl'

    def edit(change):
        content = pickle.loads(path.read_bytes())
        change(content)
        path.write_bytes(pickle.dumps(content))

    return edit


def test_mmpose_cameras(h36m, cameras, tmp_path):
    def triple(content):
        content['S5', '60457274']['f'] = content['S5', '60457274']['f'] * 3

    cameras(triple)
    with pytest.raises(AnnotationError, match=r'h36m_train.npz: subject 5, camera 4 .* px'):
        h36m.convert(tmp_path, 'mmpose')
    h36m.convert(tmp_path, 'mmpose', subjects=(1,))
    cameras(lambda content: content.pop(('S5', '60457274')))
    with pytest.raises(AnnotationError, match=r'cameras.pkl: subject 5, camera 4'):
        h36m.convert(tmp_path, 'mmpose')
    h36m.convert(tmp_path, 'mmpose', skip_bad=True)
    assert len(h36m.load(tmp_path)) == 56


def test_a_camera_that_cannot_have_taken_the_images(h36m, cameras, tmp_path):
    cameras(lambda content: content['S1', '60457274'].update(f=np.full((2, 1), 3.0)))
    with pytest.raises(AnnotationError, match=r'cameras.pkl: subject 1, camera 4 .*mm'):
        h36m.convert(tmp_path, 'mmpose', subjects=(1,))


def test_ten_frames_a_second(h36m, tmp_path):
    h36m.write_mmpose(tmp_path, rate='fps10')
    note = 'every fifth frame'
    assert not any(note in line for line in h36m.convert(tmp_path, 'mmpose', steps=(5,)))
    assert len(h36m.load(tmp_path)) == 64
    assert any(note in line for line in h36m.convert(tmp_path, 'mmpose', steps=(64,)))


class Evil:
    def __reduce__(self):
        return print, ('code in a pickle ran',)


def test_a_hostile_pickle_is_not_run(h36m, cameras, tmp_path, capsys):
    cameras(lambda content: content.update({('S1', '54138969'): Evil()}))
    with pytest.raises(AnnotationError, match=r'cameras.pkl: .*builtins.print'):
        h36m.convert(tmp_path, 'mmpose')
    assert 'ran' not in capsys.readouterr().out


def test_bad_npz(h36m, npz):
    def refused(match, **changes):
        npz(**changes)
        with pytest.raises(AnnotationError, match=f'h36m_train.npz: .*{match}'):
            h36m.convert(npz.root, 'mmpose')

    whole = npz()
    joints, names = whole['S'].copy(), whole['imgname']
    joints[6, 3, 1] = np.nan
    refused(r'row 6 \(S1/.*nan', S=joints)
    h36m.convert(npz.root, 'mmpose', skip_bad=True)
    assert len(h36m.load(npz.root, frame_step=1)) == 95
    refused('17 joints', S=joints[:, :16])
    refused('row 0: ', S=joints, imgname=np.array(['x.jpg'] * len(joints)))
    others = [name.replace('S1', 'S6').replace('S5', 'S6') for name in names.tolist()]
    refused(r'\[1, 5\]', imgname=np.array(others))
    refused('part', part=None)
    npz.path.write_bytes(npz.path.read_bytes()[:2000])
    with pytest.raises(AnnotationError, match=r'h36m_train\.npz: '):
        h36m.convert(npz.root, 'mmpose')
    npz.path.unlink()
    with pytest.raises(AnnotationError, match=r'h36m_train\.npz: there is no such file'):
        h36m.convert(npz.root, 'mmpose')


def test_the_real_sample(h36m, samples, tmp_path):
    """Four real frames: the pinhole projection of the 3D joints against the labelled pixels."""
    folder = tmp_path / 'h36m' / 'annotation_body3d' / 'fps10'
    folder.mkdir(parents=True)
    (folder / 'h36m_train.npz').symlink_to(samples / 'h36m' / 'test_h36m_body3d.npz')
    (folder.parent / 'cameras.pkl').symlink_to(samples / 'h36m' / 'cameras.pkl')
    h36m.convert(tmp_path, 'mmpose', subjects=(1, 5, 7, 8), steps=(5,))
    dataset = H36MImageDataset(
        'arrays', subjects=[1, 5, 7, 8], data_root=str(tmp_path),
        data_prefix=dict(img=str(samples / 'h36m')), pipeline=[PersonCenterScale()],
    )  # fmt: skip
    actions = Counter(dataset.get_data_info(i)['action'] for i in range(4))
    assert actions == dict.fromkeys(['Directions', 'SittingDown', 'Greeting', 'WalkDog'], 1)
    with np.load(samples / 'h36m' / 'test_h36m_body3d.npz') as content:
        names = [str(name).rpartition('/')[2] for name in content['imgname']]
        labelled = dict(zip(names, content['part'][..., :2], strict=True))
    for i in range(4):
        info = dataset[i]  # every image is there and has the size that the cameras say
        found = info['keypoints'][0, :17, :2]
        error = np.linalg.norm(found - labelled[info['img_path'].rpartition('/')[2]], axis=1)
        assert error.mean() < 2 and error.max() < 3.5  # what leaving out the lens' distortion costs
        assert 3000 < info['root_depth'][0] < 7000
        off = np.abs(info['keypoints'][0, :, :2] - info['bbox_center'])
        assert (off < info['bbox_scale'] / 2).all()


# ------------------------------------------------------------------ the arrays and the tool
def test_what_is_left_out_is_noted(h36m, h36m_root, tmp_path):
    arrays = open_arrays(h36m_root / 'human36m/arrays')
    notes = '\n'.join(arrays.header['notes'])
    assert 'left out 3 frames of the broken sequence' in notes
    # 13 actions x 2 subactions x 4 cameras are not in the fixture.
    assert f'{7 * 104} sequences' in notes and 's_01_act_03_subact_01_ca_01' in notes
    of = arrays.columns
    broken = (of['subject'] == 11) & (of['action'] == 0) & (of['subaction'] == 2)
    assert broken.sum() == 9 and (of['camera'][broken] > 1).all()


def test_the_tool(h36m, two_subjects, load_tool, capsys):
    tool = load_tool('dataset_converters/convert_h36m')
    options = ['--data-root', str(two_subjects), '--subjects', '1', '5']
    arrays = two_subjects / 'human36m' / 'arrays'
    assert tool.main(options) == 0 and f'wrote {arrays}' in capsys.readouterr().out
    assert len(h36m.load(two_subjects, ann_file='human36m/arrays')) == 64
    # A failed conversion leaves the arrays of the last one, and nothing else.
    before = {file.name: file.read_bytes() for file in arrays.iterdir()}
    h36m.edit(two_subjects, 5, 'joint_3d', nan_joint)
    assert tool.main([*options, '--quiet']) == 1
    assert 'subject5_joint_3d.json' in capsys.readouterr().err
    assert {file.name: file.read_bytes() for file in arrays.iterdir()} == before
    assert sorted(p.name for p in arrays.parent.iterdir()) == ['annotations', 'arrays']
    assert tool.main([*options, '--skip-bad', '--quiet']) == 0 and not capsys.readouterr().out
    header = json.loads((arrays / 'header.json').read_text())
    assert any('joint_3d.json' in note for note in header['notes'])
    assert sorted(p.name for p in arrays.parent.iterdir()) == ['annotations', 'arrays']
    for more in (['--subjects', '2'], ['--steps', '0'], ['--convention-tolerance', '-1']):
        with pytest.raises(SystemExit, match='2'):
            tool.main([*options, *more])
