# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import numpy as np
import pytest

from wsp_mm.datasets.annotations import AnnotationError
from wsp_mm.datasets.converters.mcpc.sources import (
    check_source_images,
    joint_boxes,
    read_coco_source,
    read_coco_style,
)


@pytest.fixture
def read(tree, make, strict):
    """``read(images, annotations, findings)`` reads a file of COCO's training set."""

    def read(images, annotations, findings=strict, joint_set='coco17', **changes):
        path = tree.write('a.json', make.coco_file(images, annotations, joint_set, **changes))
        return read_coco_style(path, 'coco', 'train', joint_set, 'train2017/', findings)

    return read


def test_joint_boxes_by_hand():
    keypoints = np.array([[[10, 20], [30, 120], [999, 999]], [[5, 5], [9, 9], [9, 9]]], dtype=float)
    visible = np.array([[1, 2, 0], [1, 0, 0]])
    # 20 x 100 around (20, 70), times 1.2; one joint has no extent.
    np.testing.assert_allclose(joint_boxes(keypoints, visible), [[8, 10, 24, 120], [5, 5, 0, 0]])


def test_a_sound_file(read, make):
    people = [
        make.person(7, 3, ankles=(300, None)),
        make.person(5, 3, x=200, bbox=...),
        make.person(6, 4, area=...),
    ]
    table = read([make.image(3), make.image(4, width=..., height=...)], people)
    assert [image.file_name[-7:] for image in table.images] == ['003.jpg', '004.jpg']
    assert table.images[0].file_name.startswith('train2017/')
    assert [(image.width, image.height) for image in table.images] == [(640, 480), (None, None)]
    persons = table.persons
    assert persons['id'].tolist() == [7, 5, 6] and persons['image'].tolist() == [0, 0, 1]
    # MCPC's joints: 0 right ankle, 5 left ankle, 9 head top.
    assert persons['keypoints'].shape == (3, 16, 2)
    np.testing.assert_array_equal(persons['keypoints'][0, 5], (100, 300))
    assert persons['visible'][0, [0, 5, 9]].tolist() == [0, 2, 0]
    assert persons['box_made'].tolist() == [False, True, False]
    np.testing.assert_allclose(persons['bbox'][0], [80, 50, 60, 280])
    assert persons['area'][0] == 5000 and np.isnan(persons['area'][2])
    assert not persons['crowd'].any() and table.dropped == {}


def test_ids_as_text_or_floats_and_backslashes(read, make):
    """Other programs write 1.0 and "1" for 1, and Windows a\\b.jpg for a/b.jpg."""
    images = [make.image(1.0, 'a\\1.jpg'), make.image('2', 'b/2.jpg'), make.image('x3', '3.jpg')]
    people = [
        make.person('5', '1', category_id=1.0), make.person(6.0, 2), make.person('007', 'x3'),
    ]  # fmt: skip
    table = read(images, people)
    names = ['train2017/a/1.jpg', 'train2017/b/2.jpg', 'train2017/3.jpg']
    assert [image.file_name for image in table.images] == names
    assert table.persons['id'].tolist() == [5, 6, '007']
    assert table.persons['image'].tolist() == [0, 1, 2]
    with pytest.raises(AnnotationError, match=r'image 1\.5'):
        read([make.image(1.5, 'a.jpg')], [])


def test_left_out_on_purpose_is_counted(read, make):
    people = [
        make.person(1, 1),
        make.person(2, 1, category_id=2),
        make.person(3, 1, keypoints=...),
        make.person(4, 1, keypoints=[0] * 51),
        make.person(5, 1, iscrowd=1),
        make.person(6, 1, segmentation=[[1.5] * 100]),
    ]
    others = [dict(id=1, name='person'), dict(id=2, name='dog')]
    table = read([make.image(1)], people, categories=others)
    assert table.persons['id'].tolist() == [1, 5, 6]
    assert table.persons['crowd'].tolist() == [False, True, False]
    reasons = ('not a person', 'no keypoints', 'no labelled joint')
    assert table.dropped == {('coco', 'train', why): 1 for why in reasons}


@pytest.mark.parametrize(
    ('change', 'kind'),
    [
        (dict(keypoints=[1, 2, 2] * 16), 'bad keypoints'),
        (dict(keypoints=[float('nan'), 2, 2] * 17), 'bad keypoints'),
        (dict(keypoints=[10**400] * 51), 'bad keypoints'),
        (dict(keypoints=['abc', *[1] * 50]), 'bad keypoints'),
        (dict(keypoints=[1, 2, 3] * 17), 'bad keypoints'),  # v is 3
        (dict(bbox=[1, 2, 3]), 'bad bbox'),
        (dict(bbox=[1, 2, 3, None]), 'bad bbox'),
        (dict(id=1), 'duplicate id'),
        (dict(id=[1]), 'incomplete record'),
        (dict(image_id=None), 'incomplete record'),
        (dict(image_id=99), 'unknown image'),
        (dict(category_id=9), 'unknown category'),
        (dict(category_id=[1]), 'unknown category'),
        (5, 'incomplete record'),
    ],
)
def test_bad_annotations_are_named_or_skipped(read, make, strict, lenient, change, kind):
    bad = make.person(2, 1) | change if isinstance(change, dict) else change
    people = [make.person(1, 1), bad, make.person(3, 1)]
    with pytest.raises(AnnotationError, match=r'a\.json: annotation.*--skip-bad') as error:
        read([make.image(1)], people, strict)
    assert error.value.kind == kind
    assert read([make.image(1)], people, lenient).persons['id'].tolist() == [1, 3]
    assert lenient.counts() == {kind: 1}


@pytest.mark.parametrize(
    ('change', 'kind', 'left'),
    [
        (dict(id=1), 'duplicate id', []),  # nobody can tell whose the annotations are
        (dict(file_name='000000000001.jpg'), 'duplicate id', [1]),
        (dict(width=0), 'bad image size', [1]),
        (dict(width=float('inf')), 'bad image size', [1]),
        (dict(file_name=None), 'incomplete record', [1]),
    ],
)
def test_bad_images_are_named_or_skipped(read, make, strict, lenient, change, kind, left):
    images = [make.image(1), make.image(2) | change]
    people = [make.person(1, 1)] + ([make.person(2, 2)] if 'id' not in change else [])
    with pytest.raises(AnnotationError, match=r'a\.json: image') as error:
        read(images, people, strict)
    assert error.value.kind == kind
    assert read(images, people, lenient).persons['id'].tolist() == left
    assert lenient.counts() == {kind: 1}


@pytest.mark.parametrize(
    ('change', 'kind'),
    [
        (dict(categories=None), 'wrong layout'),
        (dict(categories=[1]), 'unknown category'),
        (dict(categories=[dict(id=1, name='cat')]), 'unknown category'),
        (dict(categories=[dict(id=1, name='person', keypoints=['nose'])]), 'wrong joints'),
    ],
)
def test_files_of_another_kind_are_named(read, lenient, change, kind):
    with pytest.raises(AnnotationError, match=r'a\.json') as error:
        read([], [], lenient, **change)
    assert error.value.kind == kind


def test_crowdpose_spells_head_top_in_two_ways(read, make):
    category = make.coco_file([], [], 'crowdpose14')['categories'][0]
    names = ['head' if name == 'top_head' else name for name in category['keypoints']]
    people = [make.person(1, 1, joint_set='crowdpose14')]
    changes = dict(joint_set='crowdpose14', categories=[category | dict(keypoints=names)])
    assert 'head' in names and len(read([make.image(1)], people, **changes)) == 1


# ---- where the files are


@pytest.fixture
def put(tree, make):
    """``put(source, file, joint_set, {image id: person id})`` writes an annotation file."""

    def put(source, name, joint_set, ids):
        people = [make.person(key, i, joint_set=joint_set) for i, key in ids.items()]
        content = make.coco_file([make.image(i) for i in ids], people, joint_set)
        return tree.write(f'{source}/annotations/{name}', content)

    return put


@pytest.mark.parametrize(
    ('source', 'name'),
    [('coco', 'train2017'), ('posetrack18', 'train/*.json'), ('crowdpose', 'trainval')],
)
def test_missing_annotations_are_named(tree, strict, source, name):
    with pytest.raises(AnnotationError, match=name.replace('*', r'\*')) as error:
        read_coco_source(tree.root, source, 'train', strict)
    assert error.value.kind == 'missing file' and 'WSP_DATA' in error.value.remedy


def test_crowdpose_takes_the_most_that_is_there(tree, put, strict):
    def ids(split='train'):
        table = read_coco_source(tree.root / 'crowdpose', 'crowdpose', split, strict)
        return table.persons['id'].tolist()

    for part, found, expected in (
        ('train', {1: 10}, [10]), ('val', {2: 20}, [10, 20]), ('trainval', {3: 30}, [30])
    ):  # fmt: skip
        put('crowdpose', f'mmpose_crowdpose_{part}.json', 'crowdpose14', found)
        assert ids() == expected
    put('crowdpose', 'mmpose_crowdpose_test.json', 'crowdpose14', {9: 90})
    assert ids('test') == [90] and len(strict.notes) == 2


def test_posetrack_by_video_or_merged(tree, put, strict, lenient):
    def read(findings=strict):
        return read_coco_source(tree.root / 'posetrack18', 'posetrack18', 'train', findings)

    put('posetrack18', 'train/b.json', 'posetrack18', {20: 200, 21: 201})
    put('posetrack18', 'train/a.json', 'posetrack18', {10: 100})
    table = read()
    assert table.persons['id'].tolist() == [100, 200, 201]
    assert [image.source_id for image in table.images] == [10, 20, 21]
    assert table.persons['image'].tolist() == [0, 1, 2]
    broken = tree.write('posetrack18/annotations/train/b.json', '{"images"')
    with pytest.raises(AnnotationError, match=r'b\.json'):
        read()
    assert read(lenient).persons['id'].tolist() == [100]  # one must not cost the others
    (broken.parent / 'a.json').write_text('[')
    with pytest.raises(AnnotationError, match='can be read'):
        read(lenient)
    put('posetrack18', 'posetrack18_train.json', 'posetrack18', {5: 50})
    assert read().persons['id'].tolist() == [50]


# ---- images


@pytest.fixture
def three(read, make):
    """Three images of one person each; the second image's size is unknown."""
    images = [make.image(1), make.image(2, width=..., height=...), make.image(3)]
    return read(images, [make.person(n, n) for n in (1, 2, 3)])


def test_no_image_is_allowed_and_counted(tree, three, strict):
    tree.write('train2017/.gitkeep', '')
    check_source_images(three, dict(coco=tree.root), strict)
    assert len(three) == 3 and list(strict.unchecked.values()) == [3] and len(strict.notes) == 1


def test_sizes_come_from_the_header(tree, three, strict):
    for n in (1, 2, 3):
        tree.image(f'train2017/{n:012d}.jpg', size=(320, 200))
    check_source_images(three, dict(coco=tree.root), strict)
    # What the file says is not asked of the image.
    assert [image.width for image in three.images] == [640, 320, 640]
    assert three.images[1].height == 200 and not strict.unchecked and not strict.notes


def test_absent_and_unreadable_images(tree, three, strict, lenient):
    tree.write('train2017/000000000002.jpg', 'no image')
    tree.image('train2017/000000000003.jpg')
    with pytest.raises(AnnotationError, match=r'a\.json: image 1: .*0001\.jpg') as error:
        check_source_images(three, dict(coco=tree.root), strict)
    assert error.value.kind == 'missing image'
    check_source_images(three, dict(coco=tree.root), lenient)
    assert three.persons['id'].tolist() == [3] and three.persons['image'].tolist() == [0]
    assert [image.source_id for image in three.images] == [3]
    assert lenient.counts() == {'missing image': 1, 'unreadable image': 1}
