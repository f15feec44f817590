# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import study_results
from mmpose.registry import MODELS
from networks import read_config
from process_fixture import run
from study import (
    BASE,
    CURVE_INTERVAL,
    POSE,
    ROOT,
    ROWS,
    Study,
    length,
    parse_args,
    stage_b,
    stage_c,
)
from study_results import Cell, Variant, variant_row, write_starts, write_variants
from worlds import worlds_of


def steps_of(stage, *arguments):
    args = parse_args([*arguments, '--stage', stage.__name__[-1].upper(), '--data-root', 'nowhere'])
    planned = Study(args, worlds_of(args))
    stage(planned)
    return {step.name: step for step in planned.steps}


def option(step, key):
    """Value of a --cfg-options entry of a step, None if it has none."""
    found = [o.partition('=')[2] for o in map(str, step.command) if o.startswith(f'{key}=')]
    return found[-1] if found else None


@pytest.fixture(autouse=True)
def in_checkout(repo, monkeypatch):
    monkeypatch.chdir(repo)
    monkeypatch.setenv('WSP_DATA', 'data/')


# ------------------------------------------------------------------------------------- rows
@pytest.mark.parametrize('name', ROWS)
def test_every_row_trains_a_network_and_tests_the_same(name):
    """Training and tests build equal networks, and the data sets of the tests are those of all."""
    row = ROWS[name]
    trained, tested = (read_config(config, row.options) for config in (row.config, BASE))
    assert trained.model == tested.model
    assert trained.test_dataloader == tested.test_dataloader == read_config(BASE).test_dataloader
    tested.model.backbone.init_cfg = None  # no downloads in tests
    assert MODELS.build(tested.model).head.num_joints == 16


def test_rows_differ_from_each_other():
    assert len({(row.config, row.labels, *row.options) for row in ROWS.values()}) == len(ROWS)
    assert len({row.label for row in ROWS.values()}) == len(ROWS)


@pytest.mark.parametrize('config', [*POSE.values(), *ROOT.values()])
def test_length(config):
    cfg = read_config(config, length(77))
    base = read_config(config)
    assert cfg.train_cfg.pop('max_iters') == 77 and cfg.train_cfg.pop('val_interval') == 78
    assert cfg.param_scheduler[1].pop('end') == cfg.param_scheduler[1].pop('T_max') == 77
    for name in ('max_iters', 'val_interval'):
        base.train_cfg.pop(name)
    for name in ('end', 'T_max'):
        base.param_scheduler[1].pop(name)
    assert cfg.to_dict() == base.to_dict()


def test_starts_of_root_networks_differ_by_the_start_alone():
    scratch, wsp = (read_config(config) for config in ROOT.values())
    assert wsp.model.pop('init_cfg').parts == ('backbone',)
    assert scratch.to_dict() == wsp.to_dict()


# ------------------------------------------------------------------------------------- steps
def test_stage_b_tests_all_rows_on_the_same_pairs():
    steps = steps_of(stage_b, '--only', 'scratch', '2d', 'plane')
    trainings = [name for name, step in steps.items() if 'tools/train.py' in step.command]
    assert trainings == [
        'pose-scratch-all-300-seed0-train', '2d-seed0-train', 'pose-2d-all-300-seed0-train',
        'plane-seed0-train', 'pose-plane-all-300-seed0-train',
    ]  # fmt: skip
    key = 'train_dataloader.dataset.ann_file'
    assert option(steps['plane-seed0-train'], key) == 'mcpc_plane/mcpc_train.json'
    assert option(steps['2d-seed0-train'], key) is None
    assert steps['plane-seed0-train'].needs(steps['mcpc_plane'])
    assert '--labels' in steps['mcpc_plane'].command and '--labels' not in steps['mcpc'].command
    for row in ('2d', 'plane'):
        test = steps[f'{row}-seed0-test-p1']
        assert Path('nowhere/mcpc_all_pairs/mcpc_test.json') in test.inputs
        assert test.needs(steps['mcpc_all_pairs'])
        assert steps[f'pose-{row}-all-300-seed0-train'].needs(steps[f'{row}-seed0-train'])


def test_stage_c_has_equal_trainings_but_for_the_start():
    """And so the same batches: they are a function of the config and its seed."""
    steps = steps_of(stage_c, '--starts', 'scratch', '2d', '--seeds', '2', '--pretrainings', '2',
                     '--iterations', '9', '--no-cross-action')  # fmt: skip
    trainings = {name.removesuffix('-train') for name in steps if name.endswith('-train')}
    kinds = ('pose-{}-all-9', 'pose-{}-tenth-9', 'root-{}-300')
    names = {
        f'{kind.format(s)}-seed{n}' for kind in kinds for s in ('scratch', '2d') for n in (0, 1)
    }
    assert trainings == names | {'2d-seed0', '2d-seed1'}
    assert sum(name.endswith('-outdoors') for name in steps) == 2 * 2 * 2
    for seed in (0, 1):
        for kind in kinds:
            texts = set()
            for start in ('scratch', '2d'):
                step = steps[f'{kind.format(start)}-seed{seed}-train']
                checkpoint = option(step, 'model.init_cfg.checkpoint')
                assert (checkpoint is None) == (start == 'scratch')
                assert checkpoint is None or f'{start}-seed{seed}/' in checkpoint
                config = json.loads(step.text)
                config['model'].pop('init_cfg', None)
                config['train_cfg'].pop('val_interval')
                texts.add(json.dumps(config))
            assert len(texts) == 1
    curves = [
        name
        for name, step in steps.items()
        if option(step, 'train_cfg.val_interval') == str(CURVE_INTERVAL)
    ]
    assert curves == ['pose-scratch-all-9-seed0-train']
    tenth = steps['pose-2d-tenth-9-seed0-train']
    assert option(tenth, 'train_dataloader.dataset.share') == '0.1'


def test_cross_action_and_one_pretraining_for_all_seeds():
    steps = steps_of(stage_c, '--starts', '2d', '--seeds', '2')
    assert [name for name in steps if name.startswith('2d')] == ['2d-seed0-train']
    for action in ('Directions', 'Sitting', 'Walking'):
        name = f'pose-2d-{action}-1000-seed0'
        key = 'train_dataloader.dataset.actions'
        assert option(steps[f'{name}-train'], key) == f'[{action}]'
        assert option(steps[f'{name}-lab'], key) is None  # tested on all actions
        assert f'{name}-outdoors' not in steps
        assert f'pose-2d-{action}-1000-seed1-train' not in steps  # one seed


def test_options_that_are_refused(capsys):
    for arguments in (['--stage', 'D'], ['--stage', 'B', '--only', 'best'],
                      ['--stage', 'C', '--seeds', '0']):  # fmt: skip
        with pytest.raises(SystemExit):
            parse_args(arguments)
        assert arguments[-2] in capsys.readouterr().err


# ------------------------------------------------------------------------------------- tables
ORDER = dict(auc_gap1=90.0, gt_pairs=80.0, gt_pairs_rule_wrong=20.0) | {'auc_gap0.1': 70.0}
CONTROLS = {
    'network, protocol 1': ORDER,
    'network, gray image': ORDER | {'auc_gap1': 60.0},
    'rule: lower box bottom': ORDER | {'auc_gap1': 99.0},
}
AGAINST = dict(only_one=7, only_other=3, p=0.34375)


def test_variant_row():
    pose = {f'h36m/{name}': 100.0 + i for i, name in enumerate(study_results.ERRORS)}
    line = variant_row('x', ({'pck/PCK': 33.0}, CONTROLS, AGAINST), pose)
    assert line[:8] == ['x', 33.0, 90.0, 70.0, 60.0, 80.0, 20.0, '7 : 3, p 0.34']
    assert line[8:] == [100.0, 101.0, 102.0, 103.0]
    assert variant_row('scratch', None, {}) == ['scratch', *[None] * 11]
    assert len(line) == len(study_results.VARIANT_HEADER)


def test_stage_b_page_has_the_rows_that_are_done(tmp_path, monkeypatch):
    order = {'pck/PCK': 33.0}, CONTROLS, AGAINST
    monkeypatch.setattr(study_results, 'order_figures', lambda *_: order)
    scores = {f'h36m/{name}': 100.0 for name in study_results.ERRORS}
    rows, done = [], set()
    for name, test in (('scratch', None), ('2d', tmp_path / '2d'), ('late', tmp_path / 'late')):
        rows.append(Variant(name, name.upper(), test, tmp_path / f'pose-{name}'))
        rows[-1].pose.mkdir()
        (rows[-1].pose / 'metrics.json').write_text(json.dumps(scores))
        if name != 'late':
            done.add(rows[-1].pose / 'metrics.json')
    done |= {tmp_path / '2d' / folder / 'metrics.json' for folder in ('p1', 'p2', 'gray')}
    (tmp_path / 'mean.json').write_text(json.dumps(scores))
    done.add(tmp_path / 'mean.json')
    stem = tmp_path / 'stage_b'
    write_variants(rows, tmp_path, tmp_path / 'mean.json', stem, 'Head.', done)
    page, plain = Path(f'{stem}.md').read_text(), json.loads(Path(f'{stem}.json').read_text())
    assert '| 2D | 33.0 | 90.0 |' in page and '| SCRATCH | - |' in page and 'LATE' not in page
    assert '| rule: lower box bottom | - | 99.0 |' in page and 'mean training pose' in page
    assert list(plain['rows']) == ['scratch', '2d', 'mean_pose']
    assert plain['rows']['2d']['against_label'] == AGAINST


def pose_test(folder, shift, lab=True):
    """A test of four poses; the wrist of pose i is ``shift[i]`` mm off along z."""
    folder.mkdir(parents=True)
    gt = np.random.default_rng(0).normal((0, 0, 5000), 300, (4, 18, 3))
    pred = gt.copy()
    pred[:, 16, 2] += shift
    order = np.random.default_rng(len(str(folder))).permutation(4)  # of no meaning
    arrays = {'id': np.arange(4), 'img_id': np.array([5, 5, 5, 6]), 'sequence': np.arange(4) // 2}
    arrays |= dict(
        subject=np.full(4, 9), action=np.array(['Walking'] * 4), subaction=np.arange(4) // 2
    )
    arrays |= {'pred_instances.keypoints_cam': pred, 'gt_instances.keypoints_cam': gt}
    arrays['pred_instances.count'] = np.ones(4, int)
    np.savez(folder / 'predictions.npz', **{k: v[order] for k, v in arrays.items()})
    flat = {'h36m/MPJPE': 1.0} if lab else {'mupots/MPJPE': 1.0}
    (folder / 'metrics.json').write_text(json.dumps(flat))
    return folder


def test_poses_by_hand(tmp_path):
    (samples,) = study_results.load_samples('lab', pose_test(tmp_path / 'a', [17, 34, 0, 1700]))
    assert samples.names == ('MPJPE', 'X', 'Y', 'Z', '3DPCK')
    np.testing.assert_allclose(samples.values[:, 0], [1, 2, 0, 100])
    np.testing.assert_allclose(samples.values[:, 3], [1, 2, 0, 100])
    np.testing.assert_allclose(samples.values[:, [1, 2]], 0)
    np.testing.assert_allclose(samples.values[:, 4], [100, 100, 100, 93.75])
    assert samples.groups.tolist() == [0, 0, 1, 1]
    # outdoors 15 joints are known
    (samples,) = study_results.load_samples('outdoors', pose_test(tmp_path / 'b', [15, 0, 0, 0]))
    np.testing.assert_allclose(samples.values[0, 0], 1)


def test_roots_by_hand(tmp_path):
    gt = np.zeros((4, 21, 3))
    gt[:, 14, 2] = [3000, 4000, 5000, 3000]
    pred = gt[:, 14].copy()
    pred[:, 2] += [0, -1500, 0, 400]
    pred[:, 0] += [300, 0, 0, 300]
    arrays = {'id': np.arange(4), 'img_id': np.array([5, 5, 5, 6]), 'sequence': np.arange(4) // 2}
    arrays |= {'pred_instances.root_cam': pred, 'gt_instances.keypoints_cam': gt}
    np.savez(tmp_path / 'predictions.npz', **arrays)
    roots, order = study_results.load_samples('root', tmp_path)
    np.testing.assert_allclose(roots.values[:, 0], [300, 1500, 0, 500])
    np.testing.assert_allclose(roots.values[:, 3], [0, 1500, 0, 400])
    assert order.values.ravel().tolist() == [0, 100, 100] and order.ids.tolist()[0] == [0, 1]
    assert order.groups.tolist() == [0, 0, 0]
    (tmp_path / 'metrics.json').write_text('{"root/AP_root": 41.0}')
    cell = Cell('root', 'root', {'2d': {0: tmp_path}})
    header, ((*row,),) = cell.table()
    assert header == ['start', 'MRPE', 'MRPE_x', 'MRPE_y', 'MRPE_z', 'order', 'AP_root', 'seeds']
    assert row == ['2d', '575.0', '150.0', '0.0', '475.0', '66.7', '41.0', 1]


@pytest.fixture
def cells(tmp_path):
    """Two starts and two seeds, on all images and on a tenth; the third start has one seed."""
    found = {}
    for data, more in (('all', 0), ('tenth', 170)):
        starts = found[data, 'lab'] = {}
        for start, off, seeds in (('scratch', 34, 2), ('2d', 17, 2), ('wsp', 0, 1)):
            starts[start] = {
                seed: pose_test(tmp_path / f'{data}-{start}-{seed}', [off + more + 17 * seed] * 4)
                for seed in range(seeds)
            }
    return found


def test_stage_c_page(tmp_path, cells):
    one = Cell('all', 'lab', cells['all', 'lab'])
    header, rows = one.table(mean_pose=4.0)
    assert header == ['start', 'MPJPE', 'X', 'Y', 'Z', '3DPCK', 'of mean pose', 'seeds']
    assert rows[0] == ['scratch', '2.5 ± 0.7', '0.0 ± 0.0', '0.0 ± 0.0', '2.5 ± 0.7',
                       '100.0 ± 0.0', '0.62', 2]  # fmt: skip
    assert rows[2][1] == '0.0' and rows[2][-1] == 1
    against = one.against('2d')
    assert list(against) == ['scratch', 'wsp']
    assert against['scratch']['MPJPE'] == pytest.approx([1, 1, 1])
    # 1 of 1.5; resamples of seed 0 alone: 1 of 1, of seed 1 alone 1 of 2
    assert against['scratch']['Z, %'] == pytest.approx([200 / 3, 50, 100])
    assert against['wsp']['MPJPE, %'] == pytest.approx([-100] * 3)  # seed 0 alone

    done = {f / 'metrics.json' for starts in cells.values() for by in starts.values()
            for f in by.values()}  # fmt: skip
    stem, reference = tmp_path / 'out/stage_c', tmp_path / 'mean.json'
    reference.write_text('{"h36m/MPJPE": 4.0}')
    curve = tmp_path / 'curve'
    (curve / '1/vis_data').mkdir(parents=True)
    lines = [json.dumps({'step': s, 'h36m/MPJPE': 9.0 - s}) for s in (1, 2)]
    (curve / '1/vis_data/scalars.json').write_text('\n'.join(lines))
    write_starts(cells, reference, curve, stem, 'Head.', {*done, reference})
    page, plain = Path(f'{stem}.md').read_text(), json.loads(Path(f'{stem}.json').read_text())
    assert '| minus 2d |' in page and '| minus scratch |' in page
    assert page.count('## Pose') == 2
    for name in ('axes', 'shares', 'curve'):
        assert (tmp_path / f'out/{name}.png').stat().st_size > 1000
        assert f'({name}.png)' in page
    assert plain['curve'] == [[1, 8.0], [2, 7.0]]
    assert plain['cells'][0]['figures']['2d']['Z'] == pytest.approx([1, 2])
    assert plain['cells'][0]['seeds'] == {'scratch': [0, 1], '2d': [0, 1], 'wsp': [0]}
    # what is not done does not count, though its files are there
    write_starts(cells, reference, None, stem, 'Head.', set())
    assert json.loads(Path(f'{stem}.json').read_text())['cells'] == []


def test_different_samples_are_not_compared(tmp_path):
    one, other = (pose_test(tmp_path / name, [1] * 4) for name in 'ab')
    arrays = dict(np.load(other / 'predictions.npz'))
    np.savez(other / 'predictions.npz', **arrays | {'id': arrays['id'] + 1})
    with pytest.raises(ValueError, match='different samples'):
        study_results.differences('lab', (one,), (other,))


def test_labels_page(tmp_path):
    (tmp_path / 'label_quality.md').write_text('a table')
    (tmp_path / 'label_quality.json').write_text('{"person/all/all": 5.0}')
    stem = tmp_path / 'stage_a'
    study_results.write_labels(tmp_path, stem, 'Head.', ())
    assert not Path(f'{stem}.md').exists()
    study_results.write_labels(tmp_path, stem, 'Head.', {tmp_path / 'label_quality.json'})
    assert 'a table' in Path(f'{stem}.md').read_text()
    assert json.loads(Path(f'{stem}.json').read_text())['person/all/all'] == 5.0


# ------------------------------------------------------------------------------------- all of it
@pytest.mark.slow
def test_study_tiny(tmp_path, repo):
    """Every stage, two iterations a training: figures exist and a second call runs nothing."""
    folder, world = tmp_path / 'run', tmp_path / 'world'

    def stage(name, *arguments):
        command = [
            sys.executable,
            'tools/experiments/study.py',
            '--stage',
            name,
            '--preset',
            'tiny',
        ]
        command += ['--work-dir', folder, '--data-root', world, '--iterations', '2']
        command += ['--root-iterations', '2', *arguments, '--cfg-options', 'train_cfg.max_iters=2']
        out = run(*command, 'train_dataloader.batch_size=4', cwd=repo).stdout
        stem = folder / f'stage_{name.lower()}'
        assert stem.with_suffix('.md').read_text().startswith('# ')
        return out, json.loads(stem.with_suffix('.json').read_text())

    assert stage('A')[1]['pairs'] > 10
    _, plain = stage('B', '--only', 'scratch', '2d', 'no-shortcut')
    assert list(plain['rows']) == ['scratch', '2d', 'no-shortcut', 'mean_pose']
    assert 0 <= plain['rows']['2d']['controls']['network, gray image']['gt_pairs'] <= 100
    for row in plain['rows'].values():
        assert 0 < row['pose']['h36m/MPJPE'] < 2000
    arguments = ['--starts', 'scratch', '2d', '--seeds', '1', '--no-cross-action']
    out, plain = stage('C', *arguments)
    assert '2d-seed0-train is up to date' in out
    tests = [(cell['data'], cell['test']) for cell in plain['cells']]
    assert tests == [('all', 'lab'), ('all', 'outdoors'), ('tenth', 'lab'),
                     ('tenth', 'outdoors'), ('root', 'root')]  # fmt: skip
    for cell in plain['cells']:
        assert cell['seeds'] == {'scratch': [0], '2d': [0]}
        for difference, low, high in cell['differences']['scratch']['2d'].values():
            assert low <= difference <= high
    assert {'axes.png', 'shares.png'} <= {path.name for path in folder.glob('*.png')}
    again, _ = stage('C', *arguments)
    assert again.count('is up to date') == again.count('[step ') == out.count('[step ') == 24
