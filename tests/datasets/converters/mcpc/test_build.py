# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import json
import shutil

import numpy as np
import pytest

from wsp_mm.datasets.converters.mcpc.build import build_mcpc
from wsp_mm.datasets.converters.mcpc.options import BuildOptions
from wsp_mm.datasets.converters.mcpc.records import BadDataError
from wsp_mm.structures.keypoints import get_joint_set
from wsp_mm.structures.relative_depth import ground_y, scale_gap

MCPC = get_joint_set('mcpc16')


def build(roots, out, **options):
    return build_mcpc(BuildOptions(roots=roots, out=out, **({'progress': False} | options)))


def load(result, name):
    return json.loads(result.files[name].read_text())


@pytest.fixture
def sample_roots(samples, tmp_path):
    """MMPose's samples in the folders that the data sets come in."""
    places = {
        'coco/annotations/person_keypoints_val2017.json': 'coco/test_coco.json',
        'mpii/annotations/mpii_val.json': 'mpii/test_mpii.json',
        'posetrack18/annotations/val': 'posetrack18/annotations/val',
        'crowdpose/annotations/mmpose_crowdpose_test.json': 'crowdpose/test_crowdpose.json',
        'coco/val2017': 'coco',
        'mpii/images': 'mpii',
        'posetrack18/images': 'posetrack18/images',
        'crowdpose/images': 'crowdpose',
    }
    for place, origin in places.items():
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).symlink_to(samples / origin)
    return {name: tmp_path / name for name in ('coco', 'mpii', 'posetrack18', 'crowdpose')}


def by_source(content):
    """source -> numbers of persons a picture."""
    counts = {}
    for image in content['images']:
        persons = sum(a['image_id'] == image['id'] for a in content['annotations'])
        counts.setdefault(image['source'], []).append(persons)
    return {source: sorted(found) for source, found in counts.items()}


def test_samples(sample_roots, tmp_path):
    result = build(sample_roots, tmp_path / 'out', splits=('test',), max_pairs_per_image=0)
    content = load(result, 'mcpc_test.json')
    assert by_source(content) == {'coco': [4, 5], 'posetrack18': [2, 9], 'crowdpose': [2]}
    pairs = {}
    source = {image['id']: image['source'] for image in content['images']}
    for pair in content['pairs']:
        pairs[source[pair['image_id']]] = pairs.get(source[pair['image_id']], 0) + 1
    assert pairs == {'coco': 16, 'posetrack18': 37, 'crowdpose': 1}
    assert not result.findings.bad and not result.findings.unchecked
    assert any('mpii test: NO picture is kept' in note for note in result.findings.notes)

    crowd = [a for a in content['annotations'] if a['source'] == 'crowdpose']
    assert sorted(a['ground_y'] for a in crowd) == [346, 408]
    merged = sample_roots['posetrack18'] / 'annotations' / 'posetrack18_val.json'
    original = (sample_roots['posetrack18'] / 'annotations' / 'val').resolve().parent
    shutil.copy(original / 'test_posetrack18_val.json', merged)
    again = load(
        build(sample_roots, tmp_path / 'o2', splits=('test',), max_pairs_per_image=0),
        'mcpc_test.json',
    )
    assert {k: v for k, v in again.items() if k != 'info'} == {
        k: v for k, v in content.items() if k != 'info'
    }


def test_samples_by_default_hold_two_pairs_a_picture(sample_roots, tmp_path):
    content = load(build(sample_roots, tmp_path / 'out', splits=('test',)), 'mcpc_test.json')
    counts = np.bincount([pair['image_id'] for pair in content['pairs']])[1:]
    # coco 4 and 5 persons, posetrack18 2 and 9, crowdpose 2
    assert counts.tolist() == [2, 2, 1, 2, 1]


def check_consistency(content):
    """What every file must hold to, recomputed from the keypoints."""
    images = {image['id']: image for image in content['images']}
    persons = {a['id']: a for a in content['annotations']}
    assert len(images) == len(content['images']) and len(persons) == len(content['annotations'])
    assert content['categories'][0]['keypoints'] == list(MCPC.joints)
    for a in content['annotations']:
        points = np.array(a['keypoints']).reshape(16, 3)
        reduce = content['info']['ground']
        assert a['ground_y'] == pytest.approx(
            ground_y(points[:, :2], points[:, 2], MCPC.ankles, reduce), abs=1e-3
        )
        assert a['scale'] > 0 and a['scale_source'] in ('head', 'face', 'torso', 'bbox')
        assert a['num_keypoints'] == (points[:, 2] > 0).sum()
        image = images[a['image_id']]
        x, y, w, h = a['bbox']
        assert w > 0 and h > 0 and x >= 0 and y >= 0
        if image['width'] is not None:
            assert x + w <= image['width'] + 1e-3 and y + h <= image['height'] + 1e-3
        if a['scale_source'] == 'head':
            head = points[MCPC.index('head_top')] - points[MCPC.index('upper_neck')]
            assert a['scale'] == pytest.approx(np.hypot(*head[:2]), abs=1e-3)
    for pair in content.get('pairs', ()):
        a, b = persons[pair['ann_a']], persons[pair['ann_b']]
        assert a['image_id'] == b['image_id'] == pair['image_id'] and a['ground_y'] != b['ground_y']
        assert pair['label'] == int(a['ground_y'] > b['ground_y'])
        assert pair['scale_gap'] == pytest.approx(scale_gap(a['scale'], b['scale']), abs=1e-5)


@pytest.mark.parametrize(('ankles', 'ground'), [('any', 'lowest'), ('both', 'mean')])
def test_samples_are_consistent(sample_roots, tmp_path, ankles, ground):
    result = build(sample_roots, tmp_path / 'out', splits=('test',), ankles=ankles, ground=ground)
    content = load(result, 'mcpc_test.json')
    check_consistency(content)
    assert (content['info']['ankles'], content['info']['ground']) == (ankles, ground)
    row = next(r for r in result.rows if (r['source'], r['split']) == ('all', 'test'))
    assert row[ankles]['persons'] == len(content['annotations'])
    assert row[ankles]['images'] == len(content['images'])
    assert row['stored_pairs'] == len(content['pairs'])


def test_pycocotools_reads_it(tree, tmp_path):
    coco = pytest.importorskip('pycocotools.coco')
    result = build({'coco': tree.two_splits()}, tmp_path / 'out')
    found = coco.COCO(str(result.files['mcpc_train.json']))
    assert len(found.getImgIds()) == 2 and len(found.getAnnIds(catIds=[1])) == 4


def test_result_does_not_depend_on_the_order_of_records_or_on_the_run(tree, tmp_path):
    root = tree.two_splits()
    first = build({'coco': root}, tmp_path / 'one')
    again = build({'coco': root}, tmp_path / 'two')
    for path in root.glob('annotations/*.json'):
        content = json.loads(path.read_text())
        content['images'].reverse()
        content['annotations'].reverse()
        path.write_text(json.dumps(content))
    turned = build({'coco': root}, tmp_path / 'three')
    for name in ('mcpc_train.json', 'mcpc_test.json', 'mcpc_table.json', 'mcpc_table.md'):
        assert (
            first.files[name].read_bytes()
            == again.files[name].read_bytes()
            == turned.files[name].read_bytes()
        )
    check_consistency(load(first, 'mcpc_train.json'))
    assert 'pairs' not in load(first, 'mcpc_train.json')


def test_seed_changes_the_order_only(tree, tmp_path, make):
    people = [make.person(n, 1 + n // 2, x=50 + n, ankles=(300 + n, None)) for n in range(80)]
    for split in ('train', 'val'):
        tree.coco(split, [make.image(k) for k in range(1, 41)], people)
    files = [
        load(build({'coco': tree.root / 'coco'}, tmp_path / str(seed), seed=seed), 'mcpc_test.json')
        for seed in (0, 1)
    ]
    assert (
        files[0]['pairs'] != files[1]['pairs']
        and files[0]['annotations'] == files[1]['annotations']
    )
    for content in files:
        assert 0.48 <= np.mean([pair['label'] for pair in content['pairs']]) <= 0.52


def test_scale_factors_are_calibrated_on_train(tree, tmp_path, make):
    """Thirty persons of CrowdPose have a head of 30 px and a box of 280 px; COCO's have no head."""
    people = []
    for n in range(30):
        person = make.person(n, 1 + n // 2, ankles=(300 + n, None), joint_set='crowdpose14')
        points = make.joints('crowdpose14', 100, (300 + n, None), head=30)
        people.append(person | {'keypoints': [v for p in points for v in p]})
    images = [make.image(k) for k in range(1, 16)]
    for part in ('train', 'test'):
        content = make.coco_file(images, people, 'crowdpose14')
        tree.write(f'crowdpose/annotations/mmpose_crowdpose_{part}.json', content)
    bare = [0, 0, 0] * 15 + [100, 300, 2] + [0, 0, 0]
    for split in ('train', 'val'):
        lone = [
            make.person(1, 1, keypoints=bare),
            make.person(2, 1, ankles=(330, None), keypoints=bare),
        ]
        lone[1]['keypoints'] = [0, 0, 0] * 15 + [120, 333, 2] + [0, 0, 0]
        tree.coco(split, [make.image(1)], lone)
    roots = {'crowdpose': tree.root / 'crowdpose', 'coco': tree.root / 'coco'}
    content = load(build(roots, tmp_path / 'out'), 'mcpc_test.json')
    factors = content['info']['scale_factors']
    assert factors['bbox'] == pytest.approx(30 / 280) and factors['persons']['bbox'] == 30
    assert factors['persons']['face'] == 0  # nobody has nose and head
    coco = [a for a in content['annotations'] if a['source'] == 'coco']
    assert [(a['scale_source'], a['scale']) for a in coco] == [
        ('bbox', pytest.approx(30, abs=1e-3))
    ] * 2
    assert {a['scale_source'] for a in content['annotations'] if a['source'] == 'crowdpose'} == {
        'head'
    }


def test_ties_are_refused_for_test_and_kept_for_train(tree, tmp_path, make):
    for split in ('train', 'val'):
        people = [make.person(n, 1 + n // 2, x=50 + 60 * n, ankles=(300, None)) for n in range(2)]
        people += [make.person(n, 2, x=50 + 60 * n, ankles=(300 + n, None)) for n in (2, 3)]
        tree.coco(split, [make.image(1), make.image(2)], people)
    result = build({'coco': tree.root / 'coco'}, tmp_path / 'out')
    assert len(load(result, 'mcpc_train.json')['images']) == 2
    test = load(result, 'mcpc_test.json')
    assert [image['source_id'] for image in test['images']] == [2] and len(test['pairs']) == 1
    assert '1 test pictures refused' in result.files['mcpc_table.md'].read_text()


def test_a_picture_in_both_splits_leaves_train(tree, tmp_path):
    rows = []
    for name, y in (('a.jpg', 100), ('a.jpg', 120), ('b.jpg', 90), ('b.jpg', 200)):
        joints = [[10.0 * k, y - 5.0 * k] for k in range(16)]
        rows.append(dict(image=name, joints=joints, joints_vis=[1] * 16))
    tree.write('mpii/annotations/mpii_train.json', rows)
    tree.write('mpii/annotations/mpii_val.json', rows[:2])
    result = build({'mpii': tree.root / 'mpii'}, tmp_path / 'out')
    train = load(result, 'mcpc_train.json')
    assert [image['file_name'] for image in train['images']] == ['images/b.jpg']
    assert train['images'][0]['width'] is None and train['images'][0]['source_id'] == 'b.jpg'
    assert any('1 pictures are in both splits' in note for note in result.findings.notes)
    assert [a['source_id'] for a in train['annotations']] == [2, 3]


def test_dedup(tree, tmp_path):
    root = tree.two_splits()
    for name, seed in (('train2017/000000000001', 1), ('train2017/000000000002', 2)):
        tree.picture(f'coco/{name}.jpg', seed=seed)
    for name, seed in (('val2017/000000000011', 1), ('val2017/000000000012', 3)):
        tree.picture(f'coco/{name}.jpg', seed=seed, quality=60)
    off = build({'coco': root}, tmp_path / 'off')
    assert 'dedup_report.json' not in off.files
    report = build({'coco': root}, tmp_path / 'report', dedup='report')
    assert len(load(report, 'mcpc_train.json')['images']) == 2
    dropped = build({'coco': root}, tmp_path / 'drop', dedup='drop')
    train = load(dropped, 'mcpc_train.json')
    assert [image['source_id'] for image in train['images']] == [2]
    assert len(load(dropped, 'mcpc_test.json')['images']) == 2
    found = load(dropped, 'dedup_report.json')
    assert found['mode'] == 'drop' and found['pairs_found']['train-test'] == 1
    assert found['train_pictures_to_drop'][0]['file_name'] == 'train2017/000000000001.jpg'
    row = next(r for r in dropped.rows if r['split'] == 'train')
    assert row['copies'] == 1 and row['any']['images'] == 1


def test_pictures_that_cannot_be_read_are_left_out(tree, tmp_path):
    root = tree.two_splits()
    (root / 'train2017').mkdir()
    (root / 'train2017/000000000001.jpg').write_bytes(b'')
    tree.picture('coco/train2017/000000000002.jpg', seed=2)
    result = build({'coco': root}, tmp_path / 'out', dedup='report', skip_bad=True)
    assert load(result, 'mcpc_table.json')['skipped_counts'] == {'picture unreadable': 1}
    assert [image['source_id'] for image in load(result, 'mcpc_train.json')['images']] == [2]


def test_one_split_alone_is_said(tree, tmp_path):
    result = build({'coco': tree.two_splits()}, tmp_path / 'out', splits=('train',))
    notes = load(result, 'mcpc_table.json')['notes']
    assert any('coco: train alone is built' in note for note in notes)


def test_bad_records_stop_or_are_listed(tree, tmp_path, make):
    root = tree.two_splits()
    path = root / 'annotations/person_keypoints_train2017.json'
    content = json.loads(path.read_text())
    content['annotations'].append(make.person(999, 1, keypoints=[float('nan')] * 51))
    content['annotations'].append(make.person(998, 2, bbox=[5000, 5000, 5, 5]))
    path.write_text(json.dumps(content))
    with pytest.raises(BadDataError, match='annotation id 999'):
        build({'coco': root}, tmp_path / 'out')
    assert not (tmp_path / 'out').exists() or not list((tmp_path / 'out').iterdir())
    result = build({'coco': root}, tmp_path / 'out', skip_bad=True)
    table = load(result, 'mcpc_table.json')
    assert table['skipped_counts'] == {'box outside the picture': 1, 'nan': 1}
    assert {error['record'].split(' on ')[0] for error in table['skipped']} == {
        'annotation id 999',
        'person 998',
    }
    assert load(result, 'mcpc_train.json')['info']['skipped'] == table['skipped_counts']
    assert sum(table['unchecked'].values()) == 4  # no pictures at hand


def test_never_silently_empty(tree, tmp_path, make):
    for split in ('train', 'val'):
        tree.coco(split, [make.image(1)], [make.person(1, 1)])
    with pytest.raises(
        BadDataError, match=r'train has two persons.*1 pictures and 1 persons in .*train2017'
    ):
        build({'coco': tree.root / 'coco'}, tmp_path / 'out')
    with pytest.raises(BadDataError, match='no file at all'):
        build({'coco': tree.root / 'nowhere'}, tmp_path / 'out', skip_bad=True)


def test_a_file_of_an_earlier_build_does_not_stay(tree, tmp_path, make):
    root = tree.two_splits()
    build({'coco': root}, tmp_path / 'out')
    (root / 'annotations/person_keypoints_val2017.json').unlink()
    result = build({'coco': root}, tmp_path / 'out', skip_bad=True)
    assert not (tmp_path / 'out/mcpc_test.json').exists() and 'mcpc_test.json' not in result.files
    assert any('removed' in note for note in result.findings.notes)
    # A split that was not asked for is nobody's business.
    root = tree.two_splits()
    build({'coco': root}, tmp_path / 'out')
    build({'coco': root}, tmp_path / 'out', splits=('train',))
    assert (tmp_path / 'out/mcpc_test.json').exists()


def test_minimum_gap_and_limit(tree, tmp_path, make):
    for split in ('train', 'val'):
        people = [make.person(n, 1, x=50 + 60 * n, ankles=(300 + 5 * n, None)) for n in range(4)]
        tree.coco(split, [make.image(1)], people)
    roots = {'coco': tree.root / 'coco'}

    def count(limit, gap):
        out = tmp_path / f'{limit}_{gap}'
        result = build(roots, out, max_pairs_per_image=limit, min_gap_px=gap)
        return len(load(result, 'mcpc_test.json')['pairs'])

    counts = [count(*case) for case in ((0, 0), (2, 0), (0, 6), (0, 15), (5, 0))]
    assert counts == [6, 2, 3, 1, 5]
