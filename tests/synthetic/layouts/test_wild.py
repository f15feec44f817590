# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""COCO, CrowdPose, MPII and PoseTrack18, read as their users read them."""

import json

import numpy as np
import pytest
from mmpose.datasets import datasets
from pycocotools import mask as mask_utils
from pycocotools.coco import COCO
from xtcocotools.coco import COCO as XtCOCO

from wsp_mm.structures.keypoints import get_joint_set
from wsp_mm.synthetic.layouts import coco, crowdpose, mpii, posetrack18
from wsp_mm.synthetic.layouts.coco import run_lengths
from wsp_mm.synthetic.layouts.crowdpose import crowd_index
from wsp_mm.synthetic.layouts.labelling import is_seen
from wsp_mm.synthetic.layouts.posetrack18 import labelled_box

COCO_FILE = 'coco/annotations/person_keypoints_{}2017.json'
CROWDPOSE_FILE = 'crowdpose/annotations/mmpose_crowdpose_{}.json'
MPII_FILE = 'mpii/annotations/mpii_{}.json'
VIDEOS = 'posetrack18/annotations'
POSETRACK_FILE = VIDEOS + '/posetrack18_{}.json'
# Source, file, what stands before its file names, its splits, MMPose's class, a real file.
FILES = [
    *(('coco', COCO_FILE.format(s), f'coco/{s}2017/', [s], 'CocoDataset', 'coco/test_coco.json')
      for s in ('train', 'val')),
    *(('crowdpose', CROWDPOSE_FILE.format(name), 'crowdpose/images/', splits, 'CrowdPoseDataset',
       'crowdpose/test_crowdpose.json')
      for name, splits in (('train', ['train']), ('trainval', ['train', 'val']),
                           ('test', ['test']))),
    *(('posetrack18', POSETRACK_FILE.format(s), 'posetrack18/', [s], 'PoseTrack18Dataset',
       'posetrack18/annotations/test_posetrack18_val.json') for s in ('train', 'val')),
]  # fmt: skip


@pytest.mark.parametrize(('source', 'file', 'prefix', 'splits', 'kind', 'real'), FILES)
def test_layout_and_content(world, scenes_of, samples, source, file, prefix, splits, kind, real):
    """Keys are those of the real file; COCO's tools find every image and person, MMPose what was
    labelled.
    """
    scenes, path = scenes_of(source, *splits), world.folder / file
    ours, real = json.loads(path.read_text()), json.loads((samples / real).read_text())
    assert set(real) <= set(ours)
    (mine,), (theirs,) = ours['categories'], real['categories']
    assert mine['keypoints'] == theirs['keypoints']
    if source != 'crowdpose':  # its real files carry another data set's skeleton
        assert sorted(mine['skeleton']) == sorted(theirs['skeleton'])
    for part in ('images', 'annotations'):
        assert set(ours[part][0]) == set(real[part][0])
    api = COCO(path)
    assert sorted(XtCOCO(path).anns) == sorted(api.anns) and len(api.imgs) == len(scenes) > 0
    for image, scene in zip(ours['images'], scenes, strict=True):
        request = scene.request
        assert prefix + image['file_name'] == request.path
        assert (world.folder / request.path).is_file()
        assert (image['width'], image['height']) == (request.width, request.height)
        anns = api.loadAnns(api.getAnnIds(imgIds=image['id']))
        crowds = [a for a in anns if a['iscrowd']]
        seen = sum(is_seen(person) for person in scene.persons)
        if source != 'posetrack18':
            assert len(anns) - len(crowds) == seen - 3 * len(crowds)
        for ann in anns if source == 'coco' else ():
            mask = api.annToMask(ann)
            x, y, w, h = ann['bbox']
            if ann['area'] > 400:
                ys, xs = np.nonzero(mask)
                assert mask.sum() == pytest.approx(ann['area'], rel=0.3)
                assert x - 1.5 <= xs.min() and xs.max() <= x + w + 1.5
                assert y - 1.5 <= ys.min() and ys.max() <= y + h + 1.5
    dataset = getattr(datasets, kind)(ann_file=str(path), data_prefix=dict(img=''))
    items = {dataset[i]['id']: dataset[i] for i in range(len(dataset))}
    labelled = {k: a for k, a in api.anns.items() if a['num_keypoints'] > 0 and not a['iscrowd']}
    assert set(items) == set(labelled) and len(items) > 1
    for key, item in items.items():
        flat = np.reshape(labelled[key]['keypoints'], (-1, 3))
        np.testing.assert_allclose(item['keypoints'][0], flat[:, :2])
        np.testing.assert_array_equal(item['keypoints_visible'][0], flat[:, 2] > 0)
        assert labelled[key]['num_keypoints'] == (flat[:, 2] > 0).sum()


# ------------------------------------------------------------------ COCO
def test_coco_by_hand(make_scene, figure, write):
    # The ankles of the second are under the edge at 480; the third is too small for joints; nobody
    # sees the last.
    places = ((100, 300, 250), (300, 560, 400), (500, 300, 20), (400, 300, 99))
    people = [figure(*place) for place in places]
    scene = make_scene(people, hidden=((0, 'left_ear'),))
    scene.persons[3].area, scene.persons[3].polygons = 0, []
    anns = {a['id']: a for a in write(coco, scene)[COCO_FILE.format('train')]['annotations']}
    assert sorted(anns) == [100_001, 100_002, 100_003]
    first, second, third = (np.reshape(anns[100_001 + i]['keypoints'], (17, 3)) for i in range(3))
    assert first[3].tolist() == [0, 0, 0] and first[4, 2] == 2  # a hidden ear is left out
    assert first[15].tolist() == [round(100 + 100 * 250 / 1700), round(300 - 90 * 250 / 1700), 2]
    assert anns[100_001]['num_keypoints'] == 16
    assert (second[[15, 16]] == 0).all() and (second[[5, 6], 2] == 2).all()
    assert anns[100_003]['num_keypoints'] == 0 and (third == 0).all()
    assert anns[100_001]['bbox'] == pytest.approx(scene.persons[0].bbox, abs=0.01)
    assert write.gt['coco', 'train']['person_ids'].tolist() == [10, 11, 12]


def test_crowd_regions(make_scene, figure, write, tmp_path):
    people = [figure(60 + 80 * i, 300 + 20 * i, 150 + 20 * i) for i in range(7)]
    scenes = [
        make_scene(people[:size], scene_id=n, path=f'coco/train2017/{n:012d}.jpg')
        for n, size in enumerate([7] * 30 + [5] * 30)
    ]
    anns = write(coco, *scenes)[COCO_FILE.format('train')]['annotations']
    crowds = [a for a in anns if a['iscrowd']]
    assert 3 < len(crowds) < 17 and all(a['image_id'] < 30 for a in crowds)
    assert len(anns) == 30 * 7 + 30 * 5 - 2 * len(crowds)
    crowd = crowds[0]
    assert crowd['num_keypoints'] == 0 and crowd['keypoints'] == [0] * 51
    mask = COCO(tmp_path / COCO_FILE.format('train')).annToMask(crowd)
    assert mask.shape == (480, 640) and mask.sum() == crowd['area']
    assert mask_utils.toBbox(mask_utils.encode(np.asfortranarray(mask))).tolist() == crowd['bbox']
    for person in scenes[0].persons[:3]:  # the smallest
        x, y = person.bbox[:2] + person.bbox[2:] / 2
        assert mask[int(y), int(x)] == 1
    x, y, w, _ = scenes[0].persons[6].bbox
    assert mask[int(y + 5), int(x + w - 2)] == 0


@pytest.mark.parametrize('first', [0, 1])
def test_run_lengths_decode_to_the_mask(first):
    mask = (np.random.default_rng(first).random((7, 5)) < 0.5).astype(np.uint8)
    mask[0, 0] = first
    code = run_lengths(mask)
    assert code['size'] == [7, 5] and sum(code['counts']) == 35
    np.testing.assert_array_equal(mask_utils.decode(mask_utils.frPyObjects(code, 7, 5)), mask)


# ------------------------------------------------------------------ CrowdPose
def test_crowdpose_by_hand(make_scene, figure, write, load):
    scene = make_scene([figure(200, 400, 340)], 'crowdpose', 'crowdpose/images/100007.jpg')
    content = write(crowdpose, scene)[CROWDPOSE_FILE.format('train')]
    flat = np.reshape(content['annotations'][0]['keypoints'], (14, 3)).tolist()
    at = dict(zip(content['categories'][0]['keypoints'], flat, strict=True))
    # 340 px for 1.70 m: 0.2 px a mm.
    assert at['left_shoulder'] == [236, 124, 2] and at['right_ankle'] == [180, 382, 2]
    assert at['head'] == [200, 60, 2] and at['neck'] == [200, 110, 2]
    both, train, val = (load(CROWDPOSE_FILE.format(s)) for s in ('trainval', 'train', 'val'))
    assert both['annotations'] == train['annotations'] + val['annotations']


def test_crowd_index_by_hand():
    k = len(get_joint_set('crowdpose14'))
    boxes = np.array([[0, 0, 10, 10], [5, 0, 10, 10.0]])
    xy, v = np.zeros((2, k, 2)), np.zeros((2, k), dtype=int)
    v[:, :4] = 2
    xy[0, :4] = [(1, 1), (2, 2), (3, 3), (7, 7)]  # the last one is in both boxes
    xy[1, :4] = [(8, 8), (9, 9), (14, 1), (15, 10)]  # the first two are in both boxes
    # first: 2 of others / 4 own; second: 1 of others / 4 own
    assert crowd_index(boxes, xy, v) == pytest.approx((2 / 4 + 1 / 4) / 2)
    assert crowd_index(boxes[:1], xy[:1], v[:1]) == 0
    assert crowd_index(np.zeros((0, 4)), np.zeros((0, k, 2)), np.zeros((0, k))) == 0
    # the index is at most 1 however dense the crowd
    assert crowd_index(*(np.repeat(a[:1], 9, axis=0) for a in (boxes, xy, v))) == 1


# ------------------------------------------------------------------ MPII
@pytest.mark.parametrize('split', ['train', 'val'])
def test_mmpose_reads_what_was_labelled_in_mpii(world, load, samples, split):
    real = json.loads((samples / 'mpii' / 'test_mpii.json').read_text())
    file = MPII_FILE.format(split)
    people, prefix = load(file), dict(img='images/')
    dataset = datasets.MpiiDataset(ann_file=str(world.folder / file), data_prefix=prefix)
    assert len(dataset) == len(people) > 3
    for i, person in enumerate(people):
        assert set(person) == set(real[0])
        assert (world.folder / 'mpii/images' / person['image']).is_file()
        for joint, seen in zip(person['joints'], person['joints_vis'], strict=True):
            assert (joint == [-1, -1]) == (seen == 0)
        item = dataset[i]
        assert item['img_path'] == 'images/' + person['image']
        np.testing.assert_allclose(item['keypoints'][0], person['joints'])
        np.testing.assert_array_equal(item['keypoints_visible'][0], person['joints_vis'])


def test_mpii_by_hand(make_scene, figure, write, tmp_path):
    # Only feet and shins of the second person reach into the image from above.
    people = [figure(200, 400, 340), figure(400, 60, 400)]
    scene, file = make_scene(people, 'mpii', 'mpii/images/001000007.jpg'), MPII_FILE.format('train')
    (person,) = write(mpii, scene)[file]
    # Focal length 500 px, 4 m away, 1.70 m tall: 212.5 px upright.
    assert person['scale'] == pytest.approx(212.5 / 200)
    # The trunk's middle is between pelvis (920 mm) and thorax (1380 mm), 0.2 px a mm; the file
    # counts from 1.
    assert person['center'] == [201, 400 - 230 + 1]
    at = dict(zip(get_joint_set('mpii16').joints, person['joints'], strict=True))
    assert at['right_ankle'] == [180, 382] and at['left_ankle'] == [220, 382]
    assert at['head_top'] == [200, 60] and at['upper_neck'] == [200, 110]
    assert at['pelvis'] == [200, 216] and person['joints_vis'] == [1] * 16
    item = datasets.MpiiDataset(ann_file=str(tmp_path / file), data_prefix=dict(img=''))[0]
    # MMPose takes 1 off and moves the center down by 15 px a unit of scale.
    assert item['bbox_center'][0].tolist() == pytest.approx([200, 170 + 15 * 212.5 / 200], abs=1e-3)
    assert item['bbox_scale'][0].tolist() == pytest.approx([212.5, 212.5])


# ------------------------------------------------------------------ PoseTrack18
def video_scene(make_scene, people, frame=1, **more):
    path = f'posetrack18/images/train/000123_synthetic/{frame:06d}.jpg'
    return make_scene(people, 'posetrack18', path, sequence=123, frame=frame, **more)


@pytest.mark.parametrize('split', ['train', 'val'])
def test_videos_and_merged_files(world, load, scenes_of, samples, split):
    merged, scenes = load(POSETRACK_FILE.format(split)), scenes_of('posetrack18', split)
    files = sorted((world.folder / VIDEOS / split).glob('*.json'))
    videos = [json.loads(file.read_text()) for file in files]
    assert {s.request.sequence for s in scenes} == {int(file.stem[:6]) for file in files}
    one = samples / 'posetrack18/annotations/val/009473_mpii_test.json'
    assert videos[0]['categories'] == json.loads(one.read_text())['categories']
    for key in ('images', 'annotations'):
        together = sorted((e for video in videos for e in video[key]), key=lambda e: e['id'])
        assert sorted(merged[key], key=lambda e: e['id']) == together
    for video in videos:
        assert {image['nframes'] for image in video['images']} == {len(video['images'])}
        labelled = {image['id'] for image in video['images'] if image['is_labeled']}
        assert len(labelled) == len(video['images']) - 1
        assert {a['image_id'] for a in video['annotations']} <= labelled
    for ann in merged['annotations']:
        flat = np.reshape(ann['keypoints'], (17, 3))
        assert set(flat[:, 2]) <= {0, 1}
        assert (flat[3:5] == 0).all(), 'ears are in the layout but never labelled'
    people = [person for s in scenes if s.request.frame > 0 for person in s.persons]
    plain = sum(person.visible.sum() >= 10 and person.visible_share > 0.5 for person in people)
    assert len(merged['annotations']) >= plain > 0, 'nobody in plain sight goes unlabelled'


def test_posetrack_ids_and_boxes_follow_the_rules_of_the_real_files(load, samples):
    file = samples / 'posetrack18/annotations/test_posetrack18_val.json'
    for content in (json.loads(file.read_text()), load(POSETRACK_FILE.format('val'))):
        for image in content['images']:
            video, name = image['file_name'].split('/')[-2:]
            assert image['id'] == image['frame_id'] == int(f'1{video[:6]}{name[2:6]}')
            assert image['vid_id'] == video[:6]
        images = {image['id'] for image in content['images']}
        for ann in content['annotations']:
            assert ann['id'] // 100 == ann['image_id'] in images
            flat = np.reshape(ann['keypoints'], (17, 3))
            # 15 % of the labels' extent on every side
            assert labelled_box(flat[:, :2], flat[:, 2]) == pytest.approx(ann['bbox'], abs=0.01)


def test_tracks_ignored_regions_and_frames_without_labels(make_scene, figure, write):
    a, b, tiny = figure(100, 400, 300), figure(400, 400, 300), figure(600, 300, 12)
    second = video_scene(make_scene, [a, b], frame=2, scene_id=8)
    second.persons = second.persons[::-1]
    file = POSETRACK_FILE.format('train')
    content = write(posetrack18, video_scene(make_scene, [a, b, tiny]), second)[file]
    anns, (image, _) = content['annotations'], content['images']
    tracks = {(a['image_id'] % 10_000, round(a['bbox'][0], -1)): a['track_id'] for a in anns}
    left, right = sorted({x for _, x in tracks})
    assert tracks == {(1, left): 0, (1, right): 1, (2, left): 0, (2, right): 1}
    # The head from neck to top is 44 px high, and 4/5 as wide.
    assert anns[0]['bbox_head'] == pytest.approx([82, 100, 35, 44], abs=1)
    assert len(image['ignore_regions_x']) == len(image['ignore_regions_y']) == 1
    assert min(image['ignore_regions_x'][0]) >= 590 and max(image['ignore_regions_y'][0]) <= 301
    content = write(posetrack18, video_scene(make_scene, [a], frame=0))[file]
    assert content['annotations'] == [] and content['images'][0]['is_labeled'] is False
