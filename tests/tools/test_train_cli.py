# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""``tools/train.py`` and ``tools/test.py`` as a user calls them."""

import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest
import torch
from mmengine.config import Config, ConfigDict

from wsp_mm.evaluation.predictions import load_dump
from wsp_mm.utils.checkpoint import load_file

QUICKSTART = 'configs/quickstart/wsp_pretrain_r18.py'


@pytest.fixture
def data(repo, tmp_path):
    """A hand-made MCPC tree: three training pictures, two test pictures."""
    path = repo / 'tests' / 'datasets' / 'mcpc_fixture.py'
    spec = importlib.util.spec_from_file_location('mcpc_fixture', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.build_tree(tmp_path / 'data')


@pytest.fixture
def start(repo, data, tmp_path):
    """``start('train', 'CONFIG', ...)`` runs a tool in ``tmp_path`` and returns the finished
    process.
    """

    def command(tool, *arguments, processes=1):
        if processes == 1:
            return [sys.executable, str(repo / 'tools' / f'{tool}.py'), *map(str, arguments)]
        position = 1 if tool == 'train' else 2
        arguments = [*arguments[:position], processes, *arguments[position:]]
        return ['bash', str(repo / 'tools' / f'dist_{tool}.sh'), *map(str, arguments)]

    def run(tool, *arguments, processes=1, check=True):
        env = {**os.environ, 'PYTHON': sys.executable}
        done = subprocess.run(
            command(tool, *arguments, processes=processes),
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=env,
        )
        assert not check or done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done

    run.command = command
    return run


@pytest.fixture
def small(data):
    """Options that shrink the quickstart configuration to three pictures."""
    return [
        f'data_root={data}',
        'model.head.deconv_out_channels=(16,16,16)',
        'train_dataloader.batch_size=2',
        'train_dataloader.num_workers=0',
        'train_dataloader.persistent_workers=False',
        'val_dataloader.num_workers=0',
        'val_dataloader.persistent_workers=False',
        'test_dataloader.num_workers=0',
        'test_dataloader.persistent_workers=False',
        'default_hooks.logger.interval=1',
    ]


# ------------------------------------------------------------------------------------------------ without a
# process
@pytest.mark.parametrize('tool', ['train', 'test'])
def test_help_answers_at_once(tool, repo):
    command = [sys.executable, '-X', 'importtime', repo / 'tools' / f'{tool}.py', '--help']
    done = subprocess.run(command, capture_output=True, text=True)
    loaded = {line.split('|')[-1].strip() for line in done.stderr.splitlines()}
    assert 'argparse' in loaded and not loaded & {'torch', 'numpy', 'mmengine', 'cv2'}
    for option in [
        '--work-dir',
        '--show-dir',
        '--interval',
        '--wait-time',
        '--cfg-options',
        '--launcher',
        '--trust-checkpoint',
    ]:
        assert option in done.stdout


def merged(load_tool, tool, arguments, **cfg):
    """The configuration ``cfg`` after the tool's arguments were merged into it."""
    module = load_tool(tool)
    parser = module.build_parser()
    config = Config(dict(cfg))
    module.merge_args(config, parser.parse_args(arguments), parser)
    return config


def test_train_options(load_tool, monkeypatch, tmp_path):
    monkeypatch.delenv('LOCAL_RANK', raising=False)
    hooks = dict(visualization=dict(type='PoseVisualizationHook', enable=False))
    given = [
        '--no-validate',
        '--auto-scale-lr',
        '--show-dir',
        'pictures',
        '--interval',
        '5',
        '--resume',
    ]
    cfg = merged(
        load_tool,
        'train',
        ['a/b.py', *given],
        default_hooks=hooks,
        auto_scale_lr=dict(base_batch_size=64),
        val_cfg=dict(),
    )
    assert cfg.work_dir == os.path.join('work_dirs', 'b')
    assert cfg.val_cfg is None
    assert cfg.auto_scale_lr.enable is True
    assert cfg.resume is True
    assert cfg.load_from is None
    expected = dict(
        type='PoseVisualizationHook', enable=True, show=False, out_dir='pictures', interval=5
    )
    assert cfg.default_hooks.visualization == expected
    assert os.environ['LOCAL_RANK'] == '0'

    hooks = dict(visualization=dict(type='DetVisualizationHook'))  # mmdet's names
    cfg = merged(load_tool, 'train', ['b.py', '--show-dir', 'pictures'], default_hooks=hooks)
    expected = dict(
        type='DetVisualizationHook', draw=True, show=False, test_out_dir='pictures', interval=1
    )
    assert cfg.default_hooks.visualization == expected

    (tmp_path / 'c.pth').touch()
    cfg = merged(
        load_tool, 'train', ['b.py', '--resume', str(tmp_path / 'c.pth'), '--work-dir', 'w']
    )
    assert (cfg.resume, cfg.load_from, cfg.work_dir) == (True, str(tmp_path / 'c.pth'), 'w')


def test_amp(load_tool, monkeypatch, capsys):
    optimizer = ConfigDict(type='OptimWrapper', optimizer=dict(type='Adam'))
    with pytest.raises(SystemExit):
        merged(load_tool, 'train', ['b.py', '--amp'], optim_wrapper=optimizer)
    assert '--amp needs a GPU' in capsys.readouterr().err
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    cfg = merged(load_tool, 'train', ['b.py', '--amp'], optim_wrapper=optimizer)
    assert cfg.optim_wrapper == dict(
        type='AmpOptimWrapper', optimizer=dict(type='Adam'), loss_scale='dynamic'
    )
    bfloat16 = ConfigDict(type='BFloat16OptimWrapper', enabled='auto', optimizer=dict(type='Adam'))
    assert (
        merged(load_tool, 'train', ['b.py', '--amp'], optim_wrapper=bfloat16).optim_wrapper
        == cfg.optim_wrapper
    )
    with pytest.raises(SystemExit):
        merged(load_tool, 'train', ['b.py', '--amp'], optim_wrapper=dict(type='Other'))
    assert 'Other' in capsys.readouterr().err


@pytest.mark.parametrize(
    'tool, arguments, message',
    [
        ('train', ['b.py', '--resume', '/nowhere.pth'], 'checkpoint /nowhere.pth does not exist'),
        ('train', ['b.py', '--auto-scale-lr'], 'base_batch_size'),
        ('train', ['b.py', '--show'], 'default_hooks.visualization'),
        ('test', ['b.py', '/nowhere.pth'], 'checkpoint /nowhere.pth does not exist'),
        ('test', ['b.py', 'torchvision://nothing'], 'no model of that name'),
        ('test', ['b.py', 'torchvision://resnet50', '--out', 'a.txt'], '.json'),
        ('test', ['b.py', 'torchvision://resnet50', '--dump', 'a.json'], '.npz'),
    ],
)
def test_wrong_options_are_explained(tool, arguments, message, load_tool, capsys):
    with pytest.raises(SystemExit) as stop:
        merged(load_tool, tool, arguments)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def test_dump_adds_an_evaluator(load_tool):
    metric = dict(type='RelativeDepthMetric')
    for evaluators in (metric, [metric]):
        arguments = ['b.py', 'torchvision://resnet50', '--dump', 'a.npz']
        cfg = merged(load_tool, 'test', arguments, test_evaluator=evaluators)
        assert cfg.test_evaluator == [metric, dict(type='mmpose.DumpPredictions', out_file='a.npz')]


@pytest.mark.parametrize(
    'arguments, message',
    [
        (['wsp_pretrain_r50.py'], 'did you mean /'),
        (['configs/nothing.py'], 'no configuration is named'),
        (['CONFIG', '--cfg-options', 'novalue'], 'KEY=VALUE'),
        (['CONFIG', '--cfg-options', 'train_cfg.max_epochs.x=1'], 'train_cfg.max_epochs.x'),
    ],
)
def test_wrong_configurations_are_explained(
    arguments, message, repo, load_tool, capsys, monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    arguments = [str(repo / QUICKSTART) if word == 'CONFIG' else word for word in arguments]
    monkeypatch.setattr(sys, 'argv', ['train.py', *arguments])
    with pytest.raises(SystemExit) as stop:
        load_tool('train').main()
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def test_first_weights_that_cannot_be_had_stop_the_run(repo, load_tool, monkeypatch, tmp_path):
    """Before data is read: the data root does not exist."""
    monkeypatch.chdir(tmp_path)
    options = [
        'data_root=/nowhere',
        'model.backbone.init_cfg.checkpoint=http://127.0.0.1:9/r50.pth',
    ]
    config = str(repo / 'configs' / 'wsp_pretrain_r50.py')
    monkeypatch.setattr(sys, 'argv', ['train.py', config, '--cfg-options', *options])
    with pytest.raises(SystemExit) as stop:
        load_tool('train').main()
    assert '--cfg-options model.backbone.init_cfg=None\n' in str(stop.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('script', ['dist_train', 'dist_test', 'slurm_train'])
def test_launchers_without_arguments_print_their_use(script, repo):
    done = subprocess.run(['bash', repo / 'tools' / f'{script}.sh'], capture_output=True, text=True)
    assert done.returncode == 2
    assert f'tools/{script}.sh' in done.stderr
    assert subprocess.run(['bash', '-n', repo / 'tools' / f'{script}.sh']).returncode == 0


def test_launcher_commands(repo, tmp_path):
    """What torchrun and srun are called with, seen by stand-ins for python and srun."""
    fake = tmp_path / 'bin' / 'python'
    fake.parent.mkdir()
    fake.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    fake.chmod(0o755)
    (tmp_path / 'bin' / 'srun').symlink_to(fake)
    env = {'PATH': f'{fake.parent}:{os.environ["PATH"]}', 'PYTHON': str(fake)}

    def words(script, *arguments, **extra):
        command = ['bash', str(repo / 'tools' / script), *arguments]
        return subprocess.run(
            command, capture_output=True, text=True, check=True, env={**env, **extra}
        ).stdout.split('\n')

    train = str(repo / 'tools' / 'train.py')
    assert words('dist_train.sh', 'c d.py', '3', '--amp')[:-1] == [
        '-m', 'torch.distributed.run', '--standalone', '--nproc-per-node=3',
        train, 'c d.py', '--launcher', 'pytorch', '--amp',
    ]  # fmt: skip
    several = words(
        'dist_test.sh',
        'c.py',
        'w.pth',
        '8',
        NNODES='2',
        NODE_RANK='1',
        MASTER_ADDR='host',
        PORT='77',
    )
    assert several[2:7] == [
        '--nnodes=2', '--node-rank=1', '--master-addr=host', '--master-port=77', '--nproc-per-node=8',
    ]  # fmt: skip
    assert several[8:12] == ['c.py', 'w.pth', '--launcher', 'pytorch']
    slurm = words(
        'slurm_train.sh', 'gpu', 'job', 'c.py', 'w d', '--amp', GPUS='2', SRUN_ARGS='-t 5'
    )
    assert slurm[:10] == [
        '-p', 'gpu', '--job-name=job', '--gres=gpu:2', '--ntasks=2', '--ntasks-per-node=2', '--cpus-per-task=5',
        '--kill-on-bad-exit=1', '-t', '5',
    ]  # fmt: skip
    assert slurm[10:-1] == [
        str(fake),
        '-u',
        train,
        'c.py',
        '--work-dir=w d',
        '--launcher=slurm',
        '--amp',
    ]


# ------------------------------------------------------------------------------------------------------ whole
# runs
def losses(text):
    return [float(value) for value in re.findall(r'Epoch\(train\).* loss: ([\d.einfa]+)', text)]


@pytest.mark.slow
@pytest.mark.parametrize('processes', [1, 2])
def test_train_test_resume(processes, start, small, repo, tmp_path):
    config = repo / QUICKSTART
    options = ['--cfg-options', *small]
    if processes == 2:  # three pictures in two processes
        options.append('train_dataloader.batch_size=1')
    done = start(
        'train', config, '--work-dir', 'w', *options, 'train_cfg.max_epochs=1', processes=processes
    )
    assert len(losses(done.stdout + done.stderr)) == 2
    assert all(0 < loss < 100 for loss in losses(done.stdout + done.stderr))
    assert 'git revision' in done.stdout + done.stderr
    meta = load_file(tmp_path / 'w' / 'epoch_1.pth')['meta']
    assert set(meta['wsp_mm']) == {'version', 'git', 'seed'}
    assert meta['seed'] == 0

    start(
        'test', config, 'w/epoch_1.pth', '--work-dir', 'w', '--out', 'results/m.json', '--dump', 'p.npz',
        *options, processes=processes,
    )  # fmt: skip
    metrics = json.loads((tmp_path / 'results' / 'm.json').read_text())
    assert {'rd/AUC', 'rd/Acc', 'pck/PCK'} <= set(metrics)
    predictions = load_dump(tmp_path / 'p.npz')
    assert len(set(predictions['id'])) == 3  # the pairs of the tree, once each
    assert predictions['pred_instances.keypoints'].shape == (3, 2, 16, 2)

    done = start(
        'train',
        config,
        '--work-dir',
        'w',
        '--resume',
        *options,
        'train_cfg.max_epochs=2',
        processes=processes,
    )
    assert re.search(r'Epoch\(train\)\s+\[2\]', done.stdout + done.stderr)
    assert not re.search(r'Epoch\(train\)\s+\[1\]', done.stdout + done.stderr)
    assert load_file(tmp_path / 'w' / 'epoch_2.pth')['meta']['epoch'] == 2


@pytest.mark.slow
def test_killed_and_resumed_equals_uninterrupted(start, small, repo, tmp_path):
    """The same data order and augmentation, so the same weights, to the last bit."""
    options = [
        repo / QUICKSTART, '--no-validate', '--cfg-options', *small, 'train_cfg.max_epochs=3',
        'train_dataloader.num_workers=1', 'train_dataloader.persistent_workers=True',
        'default_hooks.checkpoint.interval=1',
    ]  # fmt: skip
    start('train', *options[:2], '--work-dir', 'whole', *options[2:])

    victim = subprocess.Popen(
        start.command('train', *options[:2], '--work-dir', 'killed', *options[2:]),
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    # MMEngine writes this file after the checkpoint that it names.
    pointer = tmp_path / 'killed' / 'last_checkpoint'
    while not pointer.exists() and victim.poll() is None:
        time.sleep(0.02)
    victim.send_signal(signal.SIGKILL)
    assert victim.wait() == -signal.SIGKILL
    assert not (tmp_path / 'killed' / 'epoch_3.pth').exists()

    start('train', *options[:2], '--work-dir', 'killed', '--resume', 'auto', *options[2:])
    whole, resumed = (load_file(tmp_path / name / 'epoch_3.pth') for name in ('whole', 'killed'))
    for key, value in whole['state_dict'].items():
        assert torch.equal(value, resumed['state_dict'][key]), key
    first = load_file(tmp_path / 'whole' / 'epoch_1.pth')['state_dict']
    assert any(not torch.equal(first[key], value) for key, value in whole['state_dict'].items())


@pytest.mark.slow
def test_hostile_checkpoint_ends_the_run_with_its_message(start, small, repo, tmp_path):
    class Hostile:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / 'owned'),)

    torch.save(dict(state_dict=dict(), meta=Hostile()), tmp_path / 'h.pth')
    done = start('test', repo / QUICKSTART, 'h.pth', '--cfg-options', *small, check=False)
    assert done.returncode == 1
    assert 'h.pth' in done.stderr
    assert '--trust-checkpoint' in done.stderr
    assert 'Traceback' not in done.stderr
    assert not (tmp_path / 'owned').exists()
