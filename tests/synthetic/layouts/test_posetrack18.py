# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import json

import numpy as np
import pytest
from mmpose.datasets.datasets import PoseTrack18Dataset
from xtcocotools.coco import COCO

from wsp_mm.synthetic.layouts.posetrack18 import PoseTrack18Writer, labelled_box

SPLITS = ('train', 'val')


def load(annotated, name):
    return json.loads((annotated / 'posetrack18' / 'annotations' / name).read_text())


def scene_of(make_scene, people, frame=1, **more):
    return make_scene(
        people, source='posetrack18', file_name=f'images/train/000123_synthetic/{frame:06d}.jpg',
        sequence=123, frame=frame, **more,
    )  # fmt: skip


def test_layout_equals_the_real_one(annotated, sample_data):
    real = json.loads(
        (sample_data / 'posetrack18/annotations/test_posetrack18_val.json').read_text()
    )
    per_video = json.loads(
        (sample_data / 'posetrack18/annotations/val/009473_mpii_test.json').read_text()
    )
    ours = load(annotated, 'posetrack18_val.json')
    first = next((annotated / 'posetrack18/annotations/val').glob('*.json'))
    for mine, theirs in ((ours, real), (json.loads(first.read_text()), per_video)):
        assert set(mine) == set(theirs)
        assert mine['categories'] == theirs['categories']
        for part in ('images', 'annotations'):
            assert set(mine[part][0]) == set(theirs[part][0])
    # ids are built from video and frame in both
    for content in (real, ours):
        for image in content['images']:
            video, name = image['file_name'].split('/')[-2:]
            assert image['id'] == image['frame_id'] == int(f'1{video[:6]}{name[2:6]}')
            assert image['vid_id'] == video[:6]
        images = {image['id'] for image in content['images']}
        assert all(
            a['id'] // 100 == a['image_id'] and a['image_id'] in images
            for a in content['annotations']
        )


@pytest.mark.parametrize('split', SPLITS)
def test_merged_is_all_videos(annotated, world_scenes, split):
    merged = load(annotated, f'posetrack18_{split}.json')
    files = sorted((annotated / 'posetrack18/annotations' / split).glob('*.json'))
    videos = [json.loads(file.read_text()) for file in files]
    assert {s.sequence for s in world_scenes if s.source == 'posetrack18' and s.split == split} == {
        int(file.stem[:6]) for file in files
    }
    for key in ('images', 'annotations'):
        together = sorted((e for video in videos for e in video[key]), key=lambda e: e['id'])
        assert sorted(merged[key], key=lambda e: e['id']) == together
    for video in videos:
        assert {image['nframes'] for image in video['images']} == {len(video['images'])}
        labelled = {image['id'] for image in video['images'] if image['is_labeled']}
        assert len(labelled) == len(video['images']) - 1
        assert {a['image_id'] for a in video['annotations']} <= labelled


@pytest.mark.parametrize('split', SPLITS)
def test_mmpose_and_xtcocotools_read_what_was_labelled(annotated, world_scenes, split):
    path = annotated / 'posetrack18/annotations' / f'posetrack18_{split}.json'
    coco = COCO(path)
    dataset = PoseTrack18Dataset(ann_file=str(path), data_prefix=dict(img=''))
    items = {dataset[i]['id']: dataset[i] for i in range(len(dataset))}
    assert set(items) == set(coco.anns)
    plain = [
        person
        for scene in world_scenes
        if scene.source == 'posetrack18' and scene.split == split and scene.frame > 0
        for person in scene.persons
        if person.visible.sum() >= 10 and person.visible_share > 0.5
    ]
    assert len(items) >= len(plain) > 0, 'nobody in plain sight goes without labels'
    for key, item in items.items():
        flat = np.reshape(coco.anns[key]['keypoints'], (17, 3))
        np.testing.assert_allclose(item['keypoints'][0], flat[:, :2])
        assert set(flat[:, 2]) <= {0, 1}
        assert (flat[3:5] == 0).all(), 'ears are in the layout but never labelled'
        assert coco.anns[key]['num_keypoints'] == (flat[:, 2] > 0).sum()


def test_tracks_follow_people_and_start_at_0(make_scene, figure):
    writer = PoseTrack18Writer()
    a, b = figure(100, 400, 300), figure(400, 400, 300)
    writer.add(scene_of(make_scene, [a, b], frame=1))
    second = scene_of(make_scene, [a, b], frame=2, scene_id=8)
    second.persons = second.persons[::-1]
    writer.add(second)
    anns = writer.files()['annotations/train/000123_synthetic.json']['annotations']
    tracks = {(a['image_id'] % 10_000, round(a['bbox'][0], -1)): a['track_id'] for a in anns}
    left, right = sorted({x for _, x in tracks})
    assert tracks == {(1, left): 0, (1, right): 1, (2, left): 0, (2, right): 1}


def test_the_first_frame_is_not_labelled(make_scene, figure):
    writer = PoseTrack18Writer()
    writer.add(scene_of(make_scene, [figure(100, 400, 300)], frame=0))
    content = writer.files()['annotations/posetrack18_train.json']
    assert content['annotations'] == [] and content['images'][0]['is_labeled'] is False
    assert writer.truth == {}


def test_people_without_labels_become_ignored_regions(make_scene, figure):
    writer = PoseTrack18Writer()
    writer.add(scene_of(make_scene, [figure(100, 400, 300), figure(400, 300, 12)]))
    content = writer.files()['annotations/posetrack18_train.json']
    assert len(content['annotations']) == 1
    image = content['images'][0]
    assert len(image['ignore_regions_x']) == len(image['ignore_regions_y']) == 1
    assert min(image['ignore_regions_x'][0]) >= 390 and max(image['ignore_regions_y'][0]) <= 301


def test_box_rule_is_that_of_the_real_files(sample_data):
    """15 % of the labels' extent on every side, as can be read off the real annotations."""
    real = json.loads(
        (sample_data / 'posetrack18/annotations/test_posetrack18_val.json').read_text()
    )
    for ann in real['annotations']:
        flat = np.reshape(ann['keypoints'], (17, 3))
        assert labelled_box(flat[:, :2], flat[:, 2]) == pytest.approx(ann['bbox'], abs=0.01)


def test_head_box_holds_the_head(make_scene, figure):
    writer = PoseTrack18Writer()
    writer.add(scene_of(make_scene, [figure(200, 400, 340)]))
    ann = writer.files()['annotations/posetrack18_train.json']['annotations'][0]
    # neck at y = 110, top at y = 60, 0.2 px a mm
    assert ann['bbox_head'] == [180, 60, 40, 50]
