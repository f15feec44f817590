# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from wsp_mm.datasets.annotations import AnnotationError
from wsp_mm.datasets.converters.mcpc.build import build_mcpc
from wsp_mm.datasets.converters.mcpc.options import BuildOptions
from wsp_mm.datasets.converters.mcpc.sources import SOURCES
from wsp_mm.structures.keypoints import get_joint_set
from wsp_mm.structures.relative_depth import ground_y, scale_gap

MCPC = get_joint_set('mcpc16')
OLD = Path(__file__).parents[2] / 'data'


@pytest.fixture
def build(tmp_path):
    """``build(roots, **options)`` builds, into ``tmp_path / 'out'`` by default."""

    def build(roots, out='out', **options):
        return build_mcpc(BuildOptions(roots, tmp_path / out, progress=False, **options))

    return build


def load(result, name='mcpc_test.json'):
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
    return {name: tmp_path / name for name in SOURCES[:4]}


def test_labels_by_the_ground_plane(sample_roots, build):
    from wsp_mm.datasets.mcpc import MCPCDataset

    options = dict(splits=('test',), max_pairs_per_image=0)
    by_rule = load(build(sample_roots, **options))
    result = build(sample_roots, out='plane', labels='plane', **options)
    content = load(result)
    assert (by_rule['info']['labels'], content['info']['labels']) == ('rule', 'plane')
    assert not any('nearer' in image for image in by_rule['images'])
    ids = [{(p['ann_a'], p['ann_b']) for p in c['pairs']} for c in (by_rule, content)]
    assert {frozenset(p) for p in ids[0]} == {frozenset(p) for p in ids[1]}
    file, prefix = str(result.files['mcpc_test.json']), {k: str(v) for k, v in sample_roots.items()}
    common = dict(data_prefix=prefix, item='pair', lazy_init=False)
    fixed = MCPCDataset(file, test_mode=True, **common)
    prob = {pair['id']: pair['prob'] for pair in content['pairs']}
    right = 0
    for item in (fixed[i] for i in range(len(fixed))):
        a, b = item['pair']
        assert item['nearer_probs'][a, b] == pytest.approx(prob[item['id']], abs=1e-6)
        assert item['pair_label'] == (prob[item['id']] >= 0.5)
        right += item['pair_label'] == (item['log_depth'][a] < item['log_depth'][b])
    assert right >= 0.9 * len(fixed)
    by_id = {a['id']: a for a in content['annotations']}
    for item in (images := MCPCDataset(file, **common)):
        nearer, n = item['nearer_probs'], len(item['bbox'])
        assert nearer.shape == (n, n) and nearer.dtype == item['log_depth'].dtype == np.float32
        np.testing.assert_allclose(nearer + nearer.T, 1, atol=1e-6)
        expected = [by_id[i]['log_depth'] for i in item['ann_ids'].tolist()]
        np.testing.assert_allclose(item['log_depth'], expected, rtol=1e-6)
    assert len(images) == len(content['images'])
    content['images'][0]['nearer'][0] = 1.5
    Path(file).write_text(json.dumps(content))
    with pytest.raises(AnnotationError, match='nearer'):
        MCPCDataset(file, **common)


def test_samples(sample_roots, samples, build):
    result = build(sample_roots, splits=('test',), max_pairs_per_image=0)
    content = load(result)
    persons = np.bincount([a['image_id'] for a in content['annotations']])[1:].tolist()
    pairs = np.bincount([pair['image_id'] for pair in content['pairs']])[1:].tolist()
    sources = [image['source'] for image in content['images']]
    assert sorted(zip(sources, persons, strict=True)) == [
        ('coco', 4), ('coco', 5), ('crowdpose', 2), ('posetrack18', 2), ('posetrack18', 9)
    ]  # fmt: skip
    assert sorted(pairs) == [1, 1, 6, 10, 36]
    assert not result.findings.bad and not result.findings.unchecked
    assert any('mpii test: NO image' in note for note in result.findings.notes)
    crowd = [a['ground_y'] for a in content['annotations'] if a['source'] == 'crowdpose']
    assert sorted(crowd) == [346, 408]
    # The merged file of PoseTrack18 holds the same as those by video.
    folder = sample_roots['posetrack18'] / 'annotations'
    origin = samples / 'posetrack18' / 'annotations' / 'test_posetrack18_val.json'
    shutil.copy(origin, folder / 'posetrack18_val.json')
    again = load(build(sample_roots, splits=('test',), max_pairs_per_image=0))
    for name in ('images', 'annotations', 'pairs'):
        assert again[name] == content[name]
    # By default two pairs an image.
    few = load(build(sample_roots, splits=('test',)))
    few = np.bincount([pair['image_id'] for pair in few['pairs']])
    assert sorted(few[1:].tolist()) == [1, 1, 2, 2, 2]


def check_consistency(content):
    """What every file must hold to, recomputed from the keypoints."""
    images = {image['id']: image for image in content['images']}
    persons = {a['id']: a for a in content['annotations']}
    assert len(images) == len(content['images']) and len(persons) == len(content['annotations'])
    assert content['categories'][0]['keypoints'] == list(MCPC.joints)
    for a in content['annotations']:
        points = np.array(a['keypoints']).reshape(16, 3)
        expected = ground_y(points[:, :2], points[:, 2], MCPC.ankles, content['info']['ground'])
        assert a['ground_y'] == pytest.approx(expected, abs=1e-3)
        assert a['scale'] > 0 and a['scale_source'] in ('head', 'face', 'torso', 'bbox')
        assert a['num_keypoints'] == (points[:, 2] > 0).sum()
        image = images[a['image_id']]
        x, y, w, h = a['bbox']
        assert min(w, h) > 0 and min(x, y) >= 0
        size = image['width'] or np.inf, image['height'] or np.inf  # MPII's file has no sizes
        assert x + w <= size[0] + 1e-3 and y + h <= size[1] + 1e-3
        if a['scale_source'] == 'head':
            head = points[MCPC.index('head_top')] - points[MCPC.index('upper_neck')]
            assert a['scale'] == pytest.approx(np.hypot(*head[:2]), abs=1e-3)
    for pair in content.get('pairs', ()):
        a, b = persons[pair['ann_a']], persons[pair['ann_b']]
        assert a['image_id'] == b['image_id'] == pair['image_id'] and a['ground_y'] != b['ground_y']
        assert pair['label'] == int(a['ground_y'] > b['ground_y'])
        assert pair['scale_gap'] == pytest.approx(scale_gap(a['scale'], b['scale']), abs=1e-5)


@pytest.mark.parametrize(('ankles', 'ground'), [('any', 'lowest'), ('both', 'mean')])
def test_samples_are_consistent(sample_roots, build, ankles, ground):
    result = build(sample_roots, splits=('test',), ankles=ankles, ground=ground)
    content = load(result)
    check_consistency(content)
    assert (content['info']['ankles'], content['info']['ground']) == (ankles, ground)
    rows = {(row['source'], row['split'], row['who']): row for row in result.rows}
    row = rows['all', 'test', ankles]
    found = (row['images'], row['persons'], row['stored'])
    assert found == tuple(len(content[key]) for key in ('images', 'annotations', 'pairs'))


def test_pycocotools_reads_it(tree, build):
    coco = pytest.importorskip('pycocotools.coco')
    result = build({'coco': tree.two_splits()})
    found = coco.COCO(str(result.files['mcpc_train.json']))
    assert len(found.getImgIds()) == 2 and len(found.getAnnIds(catIds=[1])) == 4


def test_files_of_version_0_1_0_have_the_same_keys_labels_and_gaps(tree, build):
    result = build({'coco': tree.two_splits()})
    for split in ('train', 'test'):
        old = json.loads((OLD / f'mcpc_{split}_0.1.0.json').read_text())
        new = load(result, f'mcpc_{split}.json')
        assert set(new) == set(old)
        check_consistency(old)
        for name in set(new) - {'info'}:
            assert set(new[name][0]) == set(old[name][0])
        assert set(old['info']) - set(new['info']) == {'mpii_annotations', 'mpii_json_base'}


def test_result_does_not_depend_on_the_order_of_records_or_on_the_run(tree, build):
    root = tree.two_splits()
    first, again = build({'coco': root}, 'one'), build({'coco': root}, 'two')
    for path in root.glob('annotations/*.json'):
        content = json.loads(path.read_text())
        content['images'].reverse()
        content['annotations'].reverse()
        path.write_text(json.dumps(content))
    turned = build({'coco': root}, 'three')
    assert set(first.files) == {
        'mcpc_train.json', 'mcpc_test.json', 'mcpc_table.json', 'mcpc_table.md'
    }  # fmt: skip
    for name, path in first.files.items():
        for other in (again, turned):
            assert path.read_bytes() == other.files[name].read_bytes()
    check_consistency(load(first, 'mcpc_train.json'))
    assert 'pairs' not in load(first, 'mcpc_train.json')


def test_seed_changes_the_order_only(tree, build, make):
    people = [make.person(n, 1 + n // 2, x=50 + n, ankles=(300 + n, None)) for n in range(80)]
    for split in ('train', 'val'):
        tree.coco(split, [make.image(k) for k in range(1, 41)], people)
    one, two = (load(build({'coco': tree.root / 'coco'}, str(s), seed=s)) for s in (0, 1))
    assert one['pairs'] != two['pairs'] and one['annotations'] == two['annotations']
    for content in (one, two):
        assert 0.48 <= np.mean([pair['label'] for pair in content['pairs']]) <= 0.52


def test_scale_factors_are_calibrated_on_train(tree, build, make):
    """Thirty persons of CrowdPose have a head of 30 px and a box of 280 px; COCO's have no head."""
    kind = dict(joint_set='crowdpose14', head=30)
    people = [make.person(n, 1 + n // 2, ankles=(300 + n, None), **kind) for n in range(30)]
    content = make.coco_file([make.image(k) for k in range(1, 16)], people, 'crowdpose14')
    for part in ('train', 'test'):
        tree.write(f'crowdpose/annotations/mmpose_crowdpose_{part}.json', content)
    for split in ('train', 'val'):
        lone = [[0, 0, 0] * 15 + [100 + n, 300 + n, 2, 0, 0, 0] for n in (0, 30)]
        people = [make.person(n, 1, keypoints=keypoints) for n, keypoints in enumerate(lone)]
        tree.coco(split, [make.image(1)], people)
    content = load(build({source: tree.root / source for source in ('crowdpose', 'coco')}))
    factors = content['info']['scale_factors']
    assert factors['bbox'] == pytest.approx(30 / 280)
    assert factors['persons']['bbox'] == 30
    assert factors['persons']['face'] == 0  # nobody has nose and head
    coco = [a for a in content['annotations'] if a['source'] == 'coco']
    assert [a['scale_source'] for a in coco] == ['bbox'] * 2
    assert [a['scale'] for a in coco] == [pytest.approx(30, abs=1e-3)] * 2
    others = {a['scale_source'] for a in content['annotations'] if a['source'] != 'coco'}
    assert others == {'head'}


def test_ties_gaps_and_limits(tree, build, make):
    for split in ('train', 'val'):
        people = [make.person(n, 1, x=50 + 60 * n, ankles=(300, None)) for n in range(2)]
        for n in range(4):
            people.append(make.person(9 + n, 2, x=50 + 60 * n, ankles=(300 + 5 * n, None)))
        # A pair needs a joint that both have: here a left ankle and a right one.
        ankles = [[0, 0, 0] * 15 + [50, 300, 2, 0, 0, 0], [0, 0, 0] * 16 + [90, 320, 2]]
        people += [make.person(20 + n, 3, keypoints=joints) for n, joints in enumerate(ankles)]
        tree.coco(split, [make.image(1), make.image(2), make.image(3)], people)
    roots = {'coco': tree.root / 'coco'}
    result = build(roots)
    check_consistency(load(result))
    assert [pair['id'] for pair in load(result)['pairs']] == [1, 2]
    # An image of ties stays in train, where another may be drawn, and leaves test.
    assert len(load(result, 'mcpc_train.json')['images']) == 3
    assert [image['source_id'] for image in load(result)['images']] == [2]
    for limit, gap, count in ((0, 0, 6), (2, 0, 2), (0, 6, 3), (0, 15, 1), (5, 0, 5)):
        result = build(roots, max_pairs_per_image=limit, min_gap_px=gap)
        assert len(load(result)['pairs']) == count


def test_an_image_in_both_splits_leaves_train(tree, build, make):
    rows = []
    for name, y in (('a.jpg', 100), ('a.jpg', 120), ('b.jpg', 90), ('b.jpg', 200)):
        rows.append(make.row(name, joints=[[10.0 * k, y - 5.0 * k] for k in range(16)]))
    tree.write('mpii/annotations/mpii_train.json', rows)
    tree.write('mpii/annotations/mpii_val.json', rows[:2])
    result = build({'mpii': tree.root / 'mpii'})
    train = load(result, 'mcpc_train.json')
    assert [image['file_name'] for image in train['images']] == ['images/b.jpg']
    assert train['images'][0]['width'] is None and train['images'][0]['source_id'] == 'b.jpg'
    assert any('1 images are in both splits' in note for note in result.findings.notes)
    assert [a['source_id'] for a in train['annotations']] == [2, 3]


def test_dedup(tree, build):
    root = tree.two_splits()
    for name, seed in (('train2017/000000000001', 1), ('train2017/000000000002', 2)):
        tree.image(f'coco/{name}.jpg', seed=seed)
    for name, seed in (('val2017/000000000011', 1), ('val2017/000000000012', 3)):
        tree.image(f'coco/{name}.jpg', seed=seed, quality=60)
    for mode, kept in (('off', [1, 2]), ('report', [1, 2]), ('drop', [2])):
        result = build({'coco': root}, dedup=mode)
        train = load(result, 'mcpc_train.json')
        assert [image['source_id'] for image in train['images']] == kept
        assert len(load(result)['images']) == 2
        assert ('dedup_report.json' in result.files) == (mode != 'off')
    report = load(result, 'dedup_report.json')
    assert report['mode'] == 'drop' and report['pairs_found']['train-test'] == 1
    assert report['train_images_to_drop'][0]['file_name'] == 'train2017/000000000001.jpg'
    ((what, count),) = load(result, 'mcpc_table.json')['dropped'].items()
    assert 'coco train' in what and 'copy' in what and count == 1


def test_bad_records_stop_or_are_listed(tree, build, make, tmp_path):
    root = tree.two_splits()
    path = root / 'annotations/person_keypoints_train2017.json'
    content = json.loads(path.read_text())
    content['annotations'].append(make.person(999, 1, keypoints=[float('nan')] * 51))
    content['annotations'].append(make.person(998, 2, bbox=[5000, 5000, 5, 5]))
    path.write_text(json.dumps(content))
    with pytest.raises(AnnotationError, match='annotation 999'):
        build({'coco': root})
    assert not (tmp_path / 'out').exists() or not list((tmp_path / 'out').iterdir())
    result = build({'coco': root}, skip_bad=True)
    table = load(result, 'mcpc_table.json')
    assert table['skipped'] == {'bad keypoints': 1, 'box outside the image': 1}
    records = {error['record'].split(' on ')[0] for error in table['bad']}
    assert records == {'annotation 999', 'person 998'}
    assert load(result, 'mcpc_train.json')['info']['skipped'] == table['skipped']
    assert sum(table['unchecked'].values()) == 4  # no image is there
    page = result.files['mcpc_table.md'].read_text()
    assert 'person 998' in page and 'bad keypoints: 1' in page
    for name, text in (('mcpc_train.json', 'old'), ('mcpc_test.json', 'old')):
        (tmp_path / 'out' / name).write_text(text)
    with pytest.raises(AnnotationError):
        build({'coco': root})  # all files or none
    assert (tmp_path / 'out/mcpc_train.json').read_text() == 'old'


def test_table_has_both_rules_and_the_paper(tree, build):
    result = build({'coco': tree.two_splits()}, ankles='both')
    lines = [
        tuple(cell.strip() for cell in line.strip('|').split('|'))
        for line in result.files['mcpc_table.md'].read_text().splitlines()
        if line.startswith('|')
    ]
    assert len({len(line) for line in lines}) == 1
    for line in (
        ('coco', 'test', 'listed', '', '2', '4', '', ''),
        ('coco', 'test', 'any', '4', '2', '4', '2', ''),
        ('all', 'test', 'both', '4', '2', '4', '2', '2'),
        ('mpii', '', 'paper', '', '~17k', '~28k', '', ''),
        ('all', 'train', 'paper', '', '~53k', '~220k', '', ''),
        ('all', 'test', 'paper', '', '~11k', '', '~18k', ''),
    ):
        assert line in lines


def test_never_silently_empty(tree, build, make, refused):
    for split in ('train', 'val'):
        tree.coco(split, [make.image(1)], [make.person(1, 1)])
    with refused('empty split', r"out: no image of train .*'coco': 1"):
        build({'coco': tree.root / 'coco'})
    with pytest.raises(AnnotationError, match='nowhere'):
        build({'coco': tree.root / 'nowhere'}, skip_bad=True)


def test_a_file_of_an_earlier_build_does_not_stay(tree, build, tmp_path):
    root = tree.two_splits()
    build({'coco': root})
    (root / 'annotations/person_keypoints_val2017.json').unlink()
    result = build({'coco': root}, skip_bad=True)
    assert not (tmp_path / 'out/mcpc_test.json').exists() and 'mcpc_test.json' not in result.files
    assert any('removed' in note for note in result.findings.notes)
    # A split that was not asked for stays.
    build({'coco': tree.two_splits()})
    result = build({'coco': root}, splits=('train',))
    assert (tmp_path / 'out/mcpc_test.json').exists()
    assert any('train alone is built' in note for note in result.findings.notes)


@pytest.mark.parametrize(
    'changes',
    [
        dict(roots={'lsp': 'x'}),
        dict(ankles='one'),
        dict(ground='top'),
        dict(splits=('val',)),
        dict(splits=()),
        dict(dedup='yes'),
        dict(dedup_distance=13),
        dict(max_pairs_per_image=-1),
        dict(workers=0),
    ],
)
def test_choices_that_do_not_exist(changes):
    with pytest.raises(ValueError, match=next(iter(changes))):
        BuildOptions(**(dict(roots={'coco': 'x'}, out='y') | changes))
    with pytest.raises(ValueError, match='--coco'):
        BuildOptions({}, 'y')
