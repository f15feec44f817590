# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import pytest

from wsp_mm.datasets.converters.mcpc.options import BuildOptions
from wsp_mm.datasets.converters.mcpc.records import BadDataError
from wsp_mm.datasets.converters.mcpc.sources import MPII_MAT, read_source


def read(source, tree, findings, **options):
    chosen = BuildOptions(roots={source: tree.root / source}, out=tree.root / 'out', **options)
    return read_source(source, chosen, findings, lambda loop, label: loop)


def test_coco(tree, strict):
    tree.two_splits()
    parts = read('coco', tree, strict)
    assert set(parts) == {'train', 'test'}
    assert parts['train'].pictures[0].file_name == 'train2017/000000000001.jpg'
    assert parts['test'].pictures[0].file_name == 'val2017/000000000011.jpg'
    assert set(read('coco', tree, strict, splits=('test',))) == {'test'}


@pytest.mark.parametrize(('source', 'name'), [
    ('coco', 'person_keypoints_train2017.json'), ('mpii', 'mpii_train.json'),
    ('posetrack18', 'posetrack18_train.json'), ('crowdpose', 'mmpose_crowdpose_trainval.json'),
])  # fmt: skip
def test_what_is_missing_is_named(tree, strict, lenient, source, name):
    with pytest.raises(BadDataError, match='no such folder'):
        read(source, tree, strict)
    (tree.root / source).mkdir()
    with pytest.raises(BadDataError, match=name):
        read(source, tree, strict)
    assert read(source, tree, lenient) == {}
    assert lenient.counts() == {'missing file': 2}


def crowdpose(tree, make, part, keys):
    people = [make.person(key, key, joint_set='crowdpose14') for key in keys]
    content = make.coco_file([make.image(key, f'{key}.jpg') for key in keys], people, 'crowdpose14')
    tree.write(f'crowdpose/annotations/mmpose_crowdpose_{part}.json', content)


def test_crowdpose_takes_the_most_that_is_there(tree, make, strict):
    crowdpose(tree, make, 'test', [9])
    crowdpose(tree, make, 'train', [1])
    assert read('crowdpose', tree, strict)['train'].source_ids == [1]
    crowdpose(tree, make, 'val', [2])
    assert read('crowdpose', tree, strict)['train'].source_ids == [1, 2]
    crowdpose(tree, make, 'trainval', [1, 2, 3])
    parts = read('crowdpose', tree, strict)
    assert parts['train'].source_ids == [1, 2, 3] and parts['test'].source_ids == [9]
    assert parts['test'].pictures[0].file_name == 'images/9.jpg'


def video(tree, make, split, name, image_ids, person_ids):
    images = [make.image(key, f'images/{split}/{name}/{key:06d}.jpg') for key in image_ids]
    people = [
        make.person(key, image, joint_set='posetrack18')
        for key, image in zip(person_ids, image_ids, strict=True)
    ]
    content = make.coco_file(images, people, 'posetrack18')
    return tree.write(f'posetrack18/annotations/{split}/{name}.json', content)


def test_posetrack_by_video(tree, make, strict):
    video(tree, make, 'train', 'b', [20, 21], [200, 201])
    video(tree, make, 'train', 'a', [10], [100])
    data = read('posetrack18', tree, strict, splits=('train',))['train']
    assert data.source_ids == [100, 200, 201]
    assert data.pictures[0].file_name == 'images/train/a/000010.jpg'


def test_posetrack_ids_shared_by_videos(tree, make, strict):
    video(tree, make, 'val', 'a', [1], [5])
    video(tree, make, 'val', 'b', [1], [5])
    data = read('posetrack18', tree, strict, splits=('test',))['test']
    assert data.source_ids == ['a/5', 'b/5']
    assert [p.source_id for p in data.pictures] == ['a/1', 'b/1'] and data.picture.tolist() == [
        0,
        1,
    ]


def test_posetrack_merged_file_wins(tree, make, strict):
    video(tree, make, 'val', 'a', [1], [5])
    merged = video(tree, make, 'val', 'b', [2], [6])
    merged.rename(tree.root / 'posetrack18/annotations/posetrack18_val.json')
    assert read('posetrack18', tree, strict, splits=('test',))['test'].source_ids == [6]
    assert 'posetrack18_val.json' in strict.notes[0]


def test_one_broken_video_does_not_cost_the_others(tree, make, strict, lenient):
    video(tree, make, 'val', 'a', [1], [5])
    tree.write('posetrack18/annotations/val/b.json', '{"images"')
    with pytest.raises(BadDataError, match=r'b\.json'):
        read('posetrack18', tree, strict, splits=('test',))
    assert read('posetrack18', tree, lenient, splits=('test',))['test'].source_ids == [5]
    assert lenient.counts() == {'broken json': 1}
    tree.write('posetrack18/annotations/val/a.json', '[')
    assert read('posetrack18', tree, lenient, splits=('test',)) == {}


ROW = dict(joints=[[k, k] for k in range(16)], joints_vis=[1] * 16)


def test_mpii_json(tree, strict):
    for split in ('train', 'val'):
        tree.write(f'mpii/annotations/mpii_{split}.json', [ROW | {'image': f'{split}.jpg'}])
    parts = read('mpii', tree, strict, mpii_json_base=1)
    assert parts['test'].pictures[0].file_name == 'images/val.jpg'
    assert parts['train'].keypoints[0, 3].tolist() == [2, 2]


def test_a_broken_val_json_does_not_cost_the_train_json(tree, strict, lenient):
    tree.write('mpii/annotations/mpii_train.json', [ROW | {'image': 'train.jpg'}])
    tree.write('mpii/annotations/mpii_val.json', '[{"joints"')
    with pytest.raises(BadDataError, match=r'mpii_val\.json'):
        read('mpii', tree, strict)
    assert list(read('mpii', tree, lenient)) == ['train'] and len(lenient.bad) == 1


@pytest.fixture
def mat(tree, monkeypatch):
    """An .mat in its place; its reader is tested on its own and stands aside here."""
    seen = {}

    def reader(path, names, findings):
        seen.update(path=path, names=names)
        return {'train': 'TRAIN'} | ({'test': 'TEST'} if names else {})

    monkeypatch.setattr('wsp_mm.datasets.converters.mcpc.sources.read_mpii_mat', reader)
    tree.write(f'mpii/mpii_human_pose_v1_u12_2/{MPII_MAT}', 'x')
    return seen


def test_mat_without_val_list_says_so_loudly(tree, mat, strict):
    assert read('mpii', tree, strict) == {'train': 'TRAIN'}
    assert mat['names'] is None and 'ALL of MPII is train' in strict.notes[0]


def test_mat_with_val_list(tree, mat, strict):
    names = tree.write('val.txt', 'a.jpg\n')
    assert read('mpii', tree, strict, mpii_val_list=names) == {'train': 'TRAIN', 'test': 'TEST'}
    assert mat['names'] == {'a.jpg'}
    assert read('mpii', tree, strict, mpii_val_list=names, splits=('test',)) == {'test': 'TEST'}
    assert not strict.notes


def test_mat_takes_mmposes_val_json(tree, mat, strict):
    tree.write('mpii/annotations/mpii_val.json', [ROW | {'image': 'v.jpg'}])
    assert set(read('mpii', tree, strict)) == {'train', 'test'} and mat['names'] == {'v.jpg'}


def test_json_wins_over_mat_unless_told(tree, mat, strict):
    for split in ('train', 'val'):
        tree.write(f'mpii/annotations/mpii_{split}.json', [ROW | {'image': f'{split}.jpg'}])
    assert read('mpii', tree, strict)['train'] != 'TRAIN'
    assert read('mpii', tree, strict, mpii_annotations='mat')['train'] == 'TRAIN'


def test_mat_that_is_asked_for_but_missing(tree, strict):
    (tree.root / 'mpii').mkdir()
    with pytest.raises(BadDataError, match=MPII_MAT):
        read('mpii', tree, strict, mpii_annotations='mat')
