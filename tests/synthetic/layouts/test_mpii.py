# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import json

import numpy as np
import pytest
from mmpose.datasets.datasets import MpiiDataset
from scipy.io import loadmat

from wsp_mm.structures.keypoints import get_joint_set
from wsp_mm.synthetic.layouts.mpii import MAT_NAME, MpiiWriter

FILE = 'annotations/mpii_{}.json'
MPII = get_joint_set('mpii16')


def load(annotated, split):
    return json.loads((annotated / 'mpii' / FILE.format(split)).read_text())


def rows_of(scene):
    writer = MpiiWriter()
    writer.add(scene)
    return writer.files()[FILE.format(scene.split)]


def scene_of(make_scene, people, **more):
    return make_scene(people, source='mpii', file_name='images/001000007.jpg', **more)


def test_layout_equals_the_real_one(annotated, sample_data):
    real = json.loads((sample_data / 'mpii' / 'test_mpii.json').read_text())
    for split in ('train', 'val'):
        ours = load(annotated, split)
        assert isinstance(ours, list) and len(ours) > 5
        for row in ours:
            assert set(row) == set(real[0])
            for joint, seen in zip(row['joints'], row['joints_vis'], strict=True):
                assert (joint == [-1, -1]) == (seen == 0)


@pytest.mark.parametrize('split', ['train', 'val'])
def test_mmpose_reads_what_was_labelled(annotated, split):
    dataset = MpiiDataset(
        ann_file=str(annotated / 'mpii' / FILE.format(split)), data_prefix=dict(img='images/')
    )
    rows = load(annotated, split)
    assert len(dataset) == len(rows)
    for i, row in enumerate(rows):
        item = dataset[i]
        assert item['img_path'] == 'images/' + row['image']
        np.testing.assert_allclose(item['keypoints'][0], row['joints'])
        np.testing.assert_array_equal(item['keypoints_visible'][0], row['joints_vis'])


def test_scale_and_centre_follow_mpii(make_scene, figure, tmp_path):
    # Focal length 500 px, 4 m away, 1.70 m tall: 212.5 px upright.
    scene = scene_of(make_scene, [figure(200, 400, 340)])
    row = rows_of(scene)[0]
    assert row['scale'] == pytest.approx(212.5 / 200)
    # The trunk's middle is between pelvis (920 mm) and thorax (1380 mm), 0.2 px a mm; the file
    # counts from 1.
    assert row['center'] == [201, 400 - 230 + 1]
    path = tmp_path / 'mpii.json'
    path.write_text(json.dumps([row]))
    item = MpiiDataset(ann_file=str(path), data_prefix=dict(img=''))[0]
    # MMPose takes 1 off and moves the centre down by 15 px a unit of scale.
    assert item['bbox_center'][0].tolist() == pytest.approx([200, 170 + 15 * 212.5 / 200], abs=1e-3)
    assert item['bbox_scale'][0].tolist() == pytest.approx([212.5, 212.5])


def test_joints_land_at_their_names(make_scene, figure):
    row = rows_of(scene_of(make_scene, [figure(200, 400, 340)]))[0]
    at = dict(zip(MPII.joints, row['joints'], strict=True))
    assert at['right_ankle'] == [180, 382] and at['left_ankle'] == [220, 382]
    assert (
        at['head_top'] == [200, 60]
        and at['upper_neck'] == [200, 110]
        and at['pelvis'] == [200, 216]
    )
    assert row['joints_vis'] == [1] * 16


def test_persons_of_whom_little_is_seen_have_no_row(make_scene, figure):
    # Only feet and shins of the second one reach into the picture from above.
    scene = scene_of(make_scene, [figure(200, 400, 340), figure(400, 60, 400)])
    rows = rows_of(scene)
    assert len(rows) == 1
    assert rows[0]['joints'][MPII.joints.index('left_ankle')] == [220, 382]


def _person(mat, image):
    """annorects of a picture, read as MPII's users read the official file."""
    release = mat['RELEASE']
    for entry in np.atleast_1d(release.annolist):
        if entry.image.name == image:
            return [rect for rect in np.atleast_1d(entry.annorect) if hasattr(rect, 'annopoints')]
    raise AssertionError(f'{image} is not in the file')


def test_official_mat_says_the_same_from_1(annotated):
    mat = loadmat(annotated / 'mpii' / MAT_NAME, struct_as_record=False, squeeze_me=True)
    rows = [row for split in ('train', 'val') for row in load(annotated, split)]
    by_image = {}
    for row in rows:
        by_image.setdefault(row['image'], []).append(row)
    assert len(by_image) > 10
    for image, people in by_image.items():
        rects = _person(mat, image)
        assert len(rects) == len(people)
        for rect, row in zip(rects, people, strict=True):
            points = np.atleast_1d(rect.annopoints.point)
            assert [p.id for p in points] == [k for k, seen in enumerate(row['joints_vis']) if seen]
            for point in points:
                assert [point.x - 1, point.y - 1] == row['joints'][int(point.id)]
            assert [rect.objpos.x, rect.objpos.y] == row['center'] and rect.scale == row['scale']
    release = mat['RELEASE']
    pictures = len(np.atleast_1d(release.annolist))
    assert len(release.img_train) == len(release.single_person) == len(release.act) == pictures
    assert set(np.atleast_1d(release.img_train)) == {1}


def test_official_mat_keeps_flags_and_head_box(make_scene, figure, tmp_path):
    hidden = ((0, 'left_wrist'), (0, 'right_knee'))
    writer = MpiiWriter()
    for scene_id in range(
        7, 30
    ):  # guesses are dice: take a scene where both hidden joints are labelled
        scene = scene_of(make_scene, [figure(200, 400, 340)], hidden=hidden, scene_id=scene_id)
        writer = MpiiWriter()
        writer.add(scene)
        if all(writer.files()[FILE.format('train')][0]['joints_vis']):
            break
    mat = loadmat(writer.write_mat(tmp_path), struct_as_record=False, squeeze_me=True)
    rect = _person(mat, '001000007.jpg')[0]
    flags = {int(p.id): p.is_visible for p in rect.annopoints.point}
    assert (
        flags[MPII.joints.index('left_wrist')] == 0 and flags[MPII.joints.index('right_knee')] == 0
    )
    assert flags[MPII.joints.index('right_wrist')] == 1
    assert np.size(flags[MPII.joints.index('head_top')]) == 0
    # neck (200, 110) and top (200, 60) are 0.8 of the diagonal apart, its middle at y = 85; from 1
    assert (rect.x1, rect.x2) == (201, 201)
    assert (rect.y1, rect.y2) == pytest.approx((85 - 31.25 + 1, 85 + 31.25 + 1))


def test_official_mat_is_the_same_every_time(make_scene, figure, tmp_path):
    paths = []
    for name in ('a', 'b'):
        writer = MpiiWriter()
        writer.add(scene_of(make_scene, [figure(200, 400, 340)]))
        paths.append(writer.write_mat(tmp_path / name))
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert b'Platform' not in paths[0].read_bytes()[:116]
