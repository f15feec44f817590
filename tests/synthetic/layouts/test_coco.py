# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import json

import numpy as np
import pytest
from mmpose.datasets.datasets import CocoDataset
from pycocotools import mask as mask_utils
from pycocotools.coco import COCO
from xtcocotools.coco import COCO as XtCOCO

from wsp_mm.synthetic.layouts.coco import CocoWriter, run_lengths
from wsp_mm.synthetic.layouts.labelling import is_seen

FILE = 'annotations/person_keypoints_{}2017.json'


def written(scene):
    writer = CocoWriter()
    writer.add(scene)
    return writer.files()[FILE.format(scene.split)]


@pytest.fixture(scope='module', params=['train', 'val'])
def split(request):
    return request.param


@pytest.fixture(scope='module')
def scenes(world_scenes, split):
    return [s for s in world_scenes if s.source == 'coco' and s.split == split]


@pytest.fixture(scope='module')
def file(annotated, split):
    return annotated / 'coco' / FILE.format(split)


def test_layout_equals_the_real_one(annotated, sample_data):
    ours = json.loads((annotated / 'coco' / FILE.format('val')).read_text())
    real = json.loads((sample_data / 'coco' / 'test_coco.json').read_text())
    assert set(real) <= set(ours)
    (mine,), (theirs,) = ours['categories'], real['categories']
    assert sorted(mine.pop('skeleton')) == sorted(theirs.pop('skeleton'))
    assert mine == theirs
    for part in ('images', 'annotations', 'licenses'):
        assert set(ours[part][0]) == set(real[part][0])
    person = next(a for a in ours['annotations'] if a['num_keypoints'] > 0)
    assert {type(c) for c in person['keypoints']} == {int}
    assert len(ours['images'][0]['file_name']) == len(real['images'][0]['file_name'])


def test_pycocotools_finds_every_picture_and_person(file, scenes):
    coco = COCO(file)
    assert coco.getCatIds(catNms=['person']) == [1]
    assert len(coco.getImgIds()) == len(scenes)
    for scene in scenes:
        image_id = int(scene.file_name[-16:-4])
        info = coco.loadImgs(image_id)[0]
        assert (info['width'], info['height']) == (scene.width, scene.height)
        anns = coco.loadAnns(coco.getAnnIds(imgIds=image_id, iscrowd=False))
        crowds = coco.loadAnns(coco.getAnnIds(imgIds=image_id, iscrowd=True))
        seen = [person for person in scene.persons if is_seen(person)]
        assert len(anns) == len(seen) - 3 * len(crowds)
        areas = [person.area for person in seen]
        assert all(a['area'] in areas for a in anns)


def test_outlines_fill_the_persons_area(file):
    coco = COCO(file)
    for ann in coco.anns.values():
        mask = coco.annToMask(ann)
        x, y, w, h = ann['bbox']
        ys, xs = np.nonzero(mask)
        if ann['area'] < 50:
            continue
        # The record's outlines are approximate in this test's scenes: same place, about the same
        # size.
        assert mask.sum() == pytest.approx(ann['area'], rel=0.25)
        assert x - 1.5 <= xs.min() and xs.max() <= x + w + 1.5
        assert y - 1.5 <= ys.min() and ys.max() <= y + h + 1.5


def test_xtcocotools_agrees_with_pycocotools(file):
    ours, theirs = COCO(file), XtCOCO(file)
    assert sorted(ours.anns) == sorted(theirs.anns) and sorted(ours.imgs) == sorted(theirs.imgs)
    for key in ours.anns:
        np.testing.assert_array_equal(
            ours.annToMask(ours.anns[key]), theirs.annToMask(theirs.anns[key])
        )


def test_mmpose_reads_what_was_labelled(file, scenes):
    dataset = CocoDataset(ann_file=str(file), data_prefix=dict(img=''), data_mode='topdown')
    raw = json.loads(file.read_text())['annotations']
    expected = {a['id']: a for a in raw if a['num_keypoints'] > 0 and not a['iscrowd']}
    got = {dataset[i]['id']: dataset[i] for i in range(len(dataset))}
    assert len(got) > 20
    assert set(got) == set(expected)
    for key, item in got.items():
        flat = np.reshape(expected[key]['keypoints'], (17, 3))
        np.testing.assert_allclose(item['keypoints'][0], flat[:, :2])
        np.testing.assert_array_equal(item['keypoints_visible'][0], flat[:, 2] > 0)
    together = CocoDataset(ann_file=str(file), data_prefix=dict(img=''), data_mode='bottomup')
    assert len(together) <= len(scenes)


def test_conventions_by_hand(make_scene, figure):
    tall = figure(100, 300, 250)
    cut = figure(300, 560, 400)  # ankles under the edge at 480
    tiny = figure(500, 300, 20)
    scene = make_scene([tall, cut, tiny], hidden=((0, 'left_ear'),))
    anns = {a['id']: a for a in written(scene)['annotations']}
    assert sorted(anns) == [100_001, 100_002, 100_003]
    first, second, third = (np.reshape(anns[100_001 + i]['keypoints'], (17, 3)) for i in range(3))
    assert first[3].tolist() == [0, 0, 0] and first[4, 2] == 2  # a hidden ear is left out
    assert first[15].tolist() == [round(100 + 100 * 250 / 1700), round(300 - 90 * 250 / 1700), 2]
    assert anns[100_001]['num_keypoints'] == 16
    assert (second[[15, 16]] == 0).all() and (second[[5, 6], 2] == 2).all()
    assert anns[100_003]['num_keypoints'] == 0 and (third == 0).all()
    assert anns[100_001]['bbox'] == pytest.approx(scene.persons[0].bbox, abs=0.01)


def test_persons_nobody_sees_are_left_out(make_scene, figure):
    scene = make_scene([figure(100, 300, 250), figure(300, 300, 250)])
    scene.persons[1].area, scene.persons[1].polygons = 0, []
    writer = CocoWriter()
    writer.add(scene)
    assert len(writer.files()[FILE.format('train')]['annotations']) == 1
    assert writer.truth['train'].arrays()['person_ids'].tolist() == [10]


def crowded(make_scene, figure):
    """The first scene number whose dice make a crowd region of seven people."""
    people = [figure(60 + 80 * i, 300 + 20 * i, 150 + 20 * i) for i in range(7)]
    for scene_id in range(50):
        scene = make_scene(people, scene_id=scene_id)
        content = written(scene)
        if any(a['iscrowd'] for a in content['annotations']):
            return scene, content
    raise AssertionError('no crowd in 50 scenes')


def test_crowd_regions(make_scene, figure, tmp_path):
    scene, content = crowded(make_scene, figure)
    crowds = [a for a in content['annotations'] if a['iscrowd']]
    assert len(crowds) == 1 and len(content['annotations']) == 5
    crowd = crowds[0]
    assert crowd['num_keypoints'] == 0 and crowd['keypoints'] == [0] * 51
    (tmp_path / 'a.json').write_text(json.dumps(content))
    mask = COCO(tmp_path / 'a.json').annToMask(crowd)
    assert mask.shape == (480, 640) and mask.sum() == crowd['area']
    assert mask_utils.toBbox(mask_utils.encode(np.asfortranarray(mask))).tolist() == crowd['bbox']
    smallest = sorted(scene.persons, key=lambda p: p.area)[:3]
    for person in smallest:
        x, y = person.bbox[:2] + person.bbox[2:] / 2
        assert mask[int(y), int(x)] == 1
    largest = max(scene.persons, key=lambda p: p.area)
    assert mask[int(largest.bbox[1] + 5), int(largest.bbox[0] + largest.bbox[2] - 2)] == 0


def test_few_people_make_no_crowd(make_scene, figure):
    for scene_id in range(40):
        content = written(
            make_scene([figure(100 * i + 80, 400, 150) for i in range(5)], scene_id=scene_id)
        )
        assert len(content['annotations']) == 5 and not any(
            a['iscrowd'] for a in content['annotations']
        )


@pytest.mark.parametrize('first', [0, 1])
def test_run_lengths_decode_to_the_mask(first):
    mask = (np.random.default_rng(first).random((7, 5)) < 0.5).astype(np.uint8)
    mask[0, 0] = first
    code = run_lengths(mask)
    assert code['size'] == [7, 5] and sum(code['counts']) == 35
    compressed = mask_utils.frPyObjects(code, 7, 5)
    np.testing.assert_array_equal(mask_utils.decode(compressed), mask)


def test_a_scene_of_another_source_is_refused(make_scene):
    with pytest.raises(ValueError, match="belongs to 'mpii'"):
        CocoWriter().add(make_scene([], source='mpii'))
