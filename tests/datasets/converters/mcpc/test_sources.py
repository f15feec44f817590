# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import numpy as np
import pytest

from wsp_mm.datasets.annotations import AnnotationError
from wsp_mm.datasets.converters.mcpc.images import check_source_images
from wsp_mm.datasets.converters.mcpc.joints import joint_boxes
from wsp_mm.datasets.converters.mcpc.mpii import read_mpii_json
from wsp_mm.datasets.converters.mcpc.sources import read_coco_source, read_coco_style


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
    people = [make.person(7, 3, 100, ankles=(300, None)), make.person(5, 3, x=200, bbox=...)]
    people.append(make.person(6, 4, area=...))
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
    r"""Other programs write 1.0 and "1" for 1, and Windows a\b.jpg for a/b.jpg. Some names carry
    their folder.
    """
    names = {1.0: 'a\\1.jpg', '2': 'train2017/b/2.jpg', 'x3': '3.jpg'}
    images = [make.image(*pair) for pair in names.items()]
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
def test_bad_annotations_are_named_or_skipped(read, make, strict, lenient, change, kind, refused):
    bad = make.person(2, 1) | change if isinstance(change, dict) else change
    people = [make.person(1, 1), bad, make.person(3, 1)]
    with refused(kind, r'a\.json: annotation.*--skip-bad'):
        read([make.image(1)], people, strict)
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
def test_bad_images_are_named_or_skipped(read, make, strict, lenient, change, kind, left, refused):
    images = [make.image(1), make.image(2) | change]
    people = [make.person(1, 1)] + ([make.person(2, 2)] if 'id' not in change else [])
    with refused(kind, r'a\.json: image'):
        read(images, people, strict)
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
def test_files_of_another_kind_are_named(read, lenient, change, kind, refused):
    with refused(kind, r'a\.json'):
        read([], [], lenient, **change)


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


# ---- joints


def test_persons_listed_twice_are_dropped(read, make, strict):
    one = make.person(1, 1)
    people = [one, dict(one, id=2), dict(one, id=3, image_id=2)]
    table = read([make.image(1), make.image(2)], people)
    assert table.persons['id'].tolist() == [1, 3] and sum(table.dropped.values()) == 1


@pytest.mark.parametrize('place', [(0, 0), (-1, -1), (100, 1490), (500, 300)])
def test_ankles_that_cannot_be_there_are_not_labelled(read, make, strict, place):
    bad = make.person(2, 1, ankles=(300, 305))
    bad['keypoints'][-3:] = [*place, 2]  # the right ankle
    table = read([make.image(1)], [make.person(1, 1), bad, make.person(3, 1)])
    assert table.persons['visible'][:, [0, 5]].tolist() == [[2, 2], [0, 2], [2, 2]]
    assert strict.implausible == {'misplaced joint': 1} and not strict.bad
    (note,) = strict.implausible_notes()
    assert 'person 2 on' in note and str([float(v) for v in place]) in note


def test_truncated_persons_and_narrow_boxes_are_good(read, make, strict):
    people = [
        make.person(1, 1, ankles=(500, 560)),  # below an image of 480
        make.person(2, 1, bbox=[100, 100, 40, 150]),
        make.person(3, 1, ankles=(300, None), bbox=...),
    ]
    table = read([make.image(1)], people)
    assert (table.persons['visible'][:, 5] == 2).all() and not strict.implausible


def test_normalised_joints_are_an_error(read, make, strict):
    people = [make.person(n, 1) for n in range(3)]
    for person in people:
        points = np.reshape(person['keypoints'], (17, 3)) / (700, 700, 1)
        person['keypoints'] = points.ravel().tolist()
    with pytest.raises(AnnotationError, match=r'a\.json: person .* normalised'):
        read([make.image(1)], people)
    table = read([make.image(1)], [make.person(7, 1), make.person(8, 1), people[0]])
    assert len(table) == 2 and strict.implausible == {'joints within one pixel': 1}


@pytest.mark.parametrize(('many', 'notes'), [(19, 0), (20, 1)])
def test_joints_in_another_order_are_said(read, make, strict, many, notes):
    people = [make.person(n, 1, x=10.0 + n) for n in range(many)]
    for person in people:
        person['keypoints'] = np.reshape(person['keypoints'], (17, 3))[::-1].ravel().tolist()
    category = [dict(id=1, name='person')]
    read([make.image(1)], people, categories=category)
    assert len(strict.notes) == notes


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
    # Images of one person are not compared: none of them is kept.
    assert [image.width for image in three.images] == [640, 320, 640]
    assert three.images[1].height == 200 and not strict.unchecked and not strict.notes


@pytest.fixture
def pairs(tree, read, make):
    """``pairs(size, ...)``: images of two persons each, listed as 640 x 480, on disk as given."""

    def pairs(*sizes, **options):
        numbers = range(1, len(sizes) + 1)
        people = [make.person(10 * n + k, n) for n in numbers for k in range(2)]
        for n, size in zip(numbers, sizes, strict=True):
            tree.image(f'train2017/{n:012d}.jpg', size=size, **options)
        return read([make.image(n) for n in numbers], people)

    return pairs


def test_exchanged_sizes_are_taken_from_the_image(tree, pairs, strict):
    table = pairs((640, 480), (480, 640), (480, 640))
    check_source_images(table, dict(coco=tree.root), strict)
    assert [(im.width, im.height) for im in table.images] == [(640, 480), (480, 640), (480, 640)]
    assert len(strict.notes) == 1 and 'exchanged in 2 of 3' in strict.notes[0]


def test_images_resized_after_their_annotation(tree, pairs, strict, lenient):
    with pytest.raises(AnnotationError, match=r'320 x 240 .* 640 x 480'):
        check_source_images(pairs((320, 240), (320, 240), (640, 480)), dict(coco=tree.root), strict)
    table = pairs((320, 240), (640, 480), (640, 480))
    check_source_images(table, dict(coco=tree.root), strict)
    assert len(table.images) == 2 and strict.implausible == {'image of another size': 1}
    table = pairs((320, 240), (320, 240), (640, 480))
    check_source_images(table, dict(coco=tree.root), lenient)
    assert len(table.images) == 1 and lenient.counts() == {'image of another size': 2}


def test_images_labelled_before_they_were_turned(tree, pairs, strict):
    table = pairs((640, 480), (640, 480), exif=6)
    with pytest.raises(AnnotationError, match=r'480 x 640 .* 640 x 480: .*EXIF'):
        check_source_images(table, dict(coco=tree.root), strict)


def test_exchanged_sizes_without_an_image(tree, read, make, strict):
    images = [make.image(n, width=480, height=640) for n in (1, 2)]
    people = [make.person(10 * n + k, n, x=500.0 + k) for n in (1, 2) for k in range(2)]
    table = read(images, [dict(p, bbox=[470, 50, 90, 300]) for p in people])
    with pytest.raises(AnnotationError, match=r'a\.json: image 1: .*exchanged'):
        check_source_images(table, dict(coco=tree.root), strict)


def test_absent_and_unreadable_images(tree, three, strict, lenient, refused):
    tree.write('train2017/000000000002.jpg', 'no image')
    tree.image('train2017/000000000003.jpg')
    with refused('missing image', r'a\.json: image 1: .*0001\.jpg'):
        check_source_images(three, dict(coco=tree.root), strict)
    check_source_images(three, dict(coco=tree.root), lenient)
    assert three.persons['id'].tolist() == [3] and three.persons['image'].tolist() == [0]
    assert [image.source_id for image in three.images] == [3]
    assert lenient.counts() == {'missing image': 1, 'unreadable image': 1}


def test_joints_of_mpii_are_looked_at_when_sizes_are_known(tree, make, strict):
    rows = [make.row('1.jpg'), make.row('1.jpg', joints=[[9.0 * k, 99] for k in range(16)])]
    rows[1]['joints'][0] = [50, 1490]
    table = read_mpii_json(tree.write('annotations/mpii_train.json', rows), 'train', strict)
    assert table.persons['visible'].all() and table.persons['bbox'][1, 3] > 1000
    tree.image('images/1.jpg')
    check_source_images(table, dict(mpii=tree.root), strict)
    assert table.persons['visible'].sum(axis=1).tolist() == [16, 15]
    assert table.persons['bbox'][1, 3] == 0 and strict.implausible == {'misplaced joint': 1}
