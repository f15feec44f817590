# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import numpy as np
import pytest


def test_both_meanings_of_t(lab, lab_root, tmp_path_factory, log):
    other = tmp_path_factory.mktemp('centre')
    lab.write_3dmppe(other, (1, 5), centre=True, pictures=False)
    one, two = lab.by_frame(lab.load(lab_root)), lab.by_frame(lab.load(other))
    assert one.keys() == two.keys()
    for key in one:
        np.testing.assert_allclose(one[key]['keypoints_cam'], two[key]['keypoints_cam'], atol=1e-2)
    assert 'camera 1 holds the raw camera centre, it was converted' in '\n'.join(log)


def test_a_camera_that_fits_no_convention(lab, lab_root):
    lab.edit(lab_root, 5, 'camera', lambda c: c['2'].update(t=[0.0, 0.0, 9000.0]))
    with pytest.raises(
        ValueError, match=r'subject5_camera.json: camera 2: .*\(t: [\d,.]+ px, raw camera centre'
    ):
        lab.load(lab_root)
    lab.edit(lab_root, 5, 'camera', lambda c: c.update({'2': c['1']}))
    with pytest.raises(ValueError, match='no camera convention'):
        lab.load(lab_root)
    assert len(lab.load(lab_root, convention_tolerance=1e6)) == 64


def nan_joint(content):
    content['2']['1']['0'][4][1] = float('nan')


@pytest.mark.parametrize(
    'kind, change, said, left',
    [
        ('joint_3d', nan_joint, r'joint_3d.json: action 2, sub-action 1, frame 0: joint 4 holds nan', 60),
        ('joint_3d', lambda c: c['14']['2'].pop('5'), r'action 14, sub-action 2, frame 5: .*no joints', 60),
        ('joint_3d', lambda c: c['2']['1']['0'].pop(), r'17 joints of 3 numbers', 60),
        ('camera', lambda c: c.pop('3'), r"camera.json: camera 3: no '3'; 8 frames", 56),
        ('camera', lambda c: c['3'].update(R=[[2, 0, 0], [0, 1, 0], [0, 0, 1]]), r'not a rotation', 56),
        ('camera', lambda c: c['3'].pop('f'), r"camera 3: no 'f'", 56),
        ('data', lambda c: c['annotations'][0].update(bbox=[9, 9, 0, 50]), r'510000: bbox .*no area', 63),
        ('data', lambda c: c['annotations'][0].update(bbox=[900, 10, 9, 50]), r'200 x 200 px', 63),
        ('data', lambda c: c['annotations'][0].update(bbox=[1, 2, 3]), r'annotation 510000: bbox must be', 63),
        ('data', lambda c: c['annotations'][0].pop('bbox'), r"annotation 510000: no 'bbox'", 63),
        ('data', lambda c: c['annotations'][0].update(id=10**25), r'its id is no number of 64 bits', 63),
        ('data', lambda c: c['annotations'].append(dict(c['annotations'][0], id=5)), 'has an annotation', 64),
    ],
)  # fmt: skip
def test_bad_records(lab, lab_root, log, kind, change, said, left):
    lab.edit(lab_root, 1, kind, change)
    with pytest.raises(ValueError, match=said) as error:
        lab.load(lab_root)
    assert 'Human36M_subject1_' in str(error.value) and 'skip_bad=True' in str(error.value)
    assert len(lab.load(lab_root, skip_bad=True)) == left
    assert 'skipped' in '\n'.join(log)
    assert len(lab.load(lab_root, subjects=[5])) == 32


@pytest.mark.parametrize(
    'change, said',
    [
        (
            lambda c: c['images'][3].update(subject=5),
            r'data.json: image 10003: subject is 5, and must be 1',
        ),
        (
            lambda c: c['images'][3].update(action_idx=1),
            r'image 10003: action_idx is 1, and must be 2 to 16',
        ),
        (lambda c: c['images'][3].pop('frame_idx'), r"image 3: no 'frame_idx'"),
        (
            lambda c: c['images'][3].update(width='wide'),
            r"image 10003: 'width' must be a whole number",
        ),
        (
            lambda c: c['images'][3].update(width=10**25),
            r"image 10003: 'width' must be a whole number",
        ),
        (
            lambda c: c['images'][3].update(frame_idx=0.5),
            r"image 10003: 'frame_idx' must be a whole number",
        ),
        (lambda c: c['images'][3].update(file_name=None), r"image 10003: 'file_name' must be text"),
        (lambda c: c.update(images=None), r"data.json: 'images' is no list"),
        (lambda c: c.update(annotations=None), r"data.json: 'annotations' is no list"),
        (lambda c: c.pop('images'), r"no 'images' and 'annotations'"),
        (lambda c: c.update(annotations=[]), r'no annotated frame of subject 1'),
    ],
)
def test_files_of_another_layout(lab, lab_root, change, said):
    lab.edit(lab_root, 1, 'data', change)
    with pytest.raises(ValueError, match=said):
        lab.load(lab_root)


@pytest.mark.parametrize('kind', ['data', 'camera', 'joint_3d'])
def test_truncated_and_missing_files(lab, lab_root, kind):
    path = lab_root / 'human36m' / 'annotations' / f'Human36M_subject5_{kind}.json'
    path.write_text(path.read_text()[:-40])
    with pytest.raises(
        ValueError, match=f'Human36M_subject5_{kind}.json: this is no json .*cut off'
    ):
        lab.load(lab_root)
    path.unlink()
    with pytest.raises(ValueError, match=f'Human36M_subject5_{kind}.json: there is no such file'):
        lab.load(lab_root)
