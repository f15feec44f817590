# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""``tools/train.py``, ``tools/test.py`` and their launchers as a user calls them."""

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
from process_fixture import run

from wsp_mm.evaluation.predictions import load_dump
from wsp_mm.utils.checkpoint import load_file

QUICKSTART = 'configs/quickstart/wsp_pretrain_lite0.py'
EPOCHS = 'configs/wsp_pretrain_r18.py'  # trains by epochs, as the paper's
# Options that shrink a pre-training config; data: ten images with pairs, three pairs to test.
SMALL = [
    'model.head.deconv_out_channels=(16,16,16)',
    'train_dataloader.batch_size=4',
    'default_hooks.logger.interval=1',
    'default_hooks.checkpoint.interval=1',
]
ALONE = ['model.backbone.init_cfg=None'] + [
    f'{part}_dataloader.{option}'
    for part in ('train', 'val', 'test')
    for option in ('num_workers=0', 'persistent_workers=False')
]


# ---------------------------------------------------------------------------------- no training


RUN = '--work-dir --show-dir --cfg-options --launcher --trust-checkpoint'


@pytest.mark.parametrize(
    ('tool', 'options'),
    [
        ('train', RUN),
        ('test', RUN),
        ('detect_persons', '--skip-bad'),
        ('dataset_converters/build_mcpc', '--dedup-distance BITS --skip-bad'),
    ],
)
def test_help_answers_at_once(tool, options, repo):
    done = run(sys.executable, '-X', 'importtime', repo / 'tools' / f'{tool}.py', '--help')
    loaded = {line.split('|')[-1].strip() for line in done.stderr.splitlines()}
    heavy = {'torch', 'mmengine', 'cv2', 'mmcv', 'mmpose', 'scipy', 'PIL'}
    heavy |= {'numpy'} if tool != 'dataset_converters/build_mcpc' else set()
    assert 'argparse' in loaded and not loaded & heavy
    assert all(option in done.stdout for option in options.split())


def merged(load_tool, tool, arguments, **cfg):
    """The config ``cfg`` after the tool's arguments were merged into it."""
    module = load_tool(tool)
    parser = module.build_parser()
    config = Config(dict(cfg))
    module.merge_args(config, parser.parse_args(arguments), parser)
    return config


def test_train_options(load_tool, monkeypatch, tmp_path):
    monkeypatch.delenv('LOCAL_RANK', raising=False)
    show = ['--show-dir', 'drawn', '--interval', '5']
    hooks = dict(visualization=dict(type='PoseVisualizationHook', enable=False))
    given = dict(default_hooks=hooks, auto_scale_lr=dict(base_batch_size=64), val_cfg=dict())
    words = ['a/b.py', '--no-validate', '--auto-scale-lr', '--resume', *show]
    cfg = merged(load_tool, 'train', words, **given)
    assert cfg.work_dir == os.path.join('work_dirs', 'b')
    assert cfg.val_cfg is None and cfg.auto_scale_lr.enable
    assert cfg.resume and cfg.load_from is None
    expected = dict(enable=True, show=False, out_dir='drawn', interval=5)
    assert cfg.default_hooks.visualization == dict(type='PoseVisualizationHook', **expected)
    assert os.environ['LOCAL_RANK'] == '0'

    hooks = dict(visualization=dict(type='DetVisualizationHook'))  # mmdet's names
    (tmp_path / 'c.pth').touch()
    words = ['b.py', *show, '--resume', str(tmp_path / 'c.pth'), '--work-dir', 'w']
    cfg = merged(load_tool, 'train', words, default_hooks=hooks)
    expected = dict(draw=True, show=False, test_out_dir='drawn', interval=5)
    assert cfg.default_hooks.visualization == dict(type='DetVisualizationHook', **expected)
    assert (cfg.resume, cfg.load_from, cfg.work_dir) == (True, str(tmp_path / 'c.pth'), 'w')


def test_amp(load_tool, monkeypatch):
    optimizer = dict(type='BFloat16OptimWrapper', enabled='auto', optimizer=dict(type='Adam'))
    with pytest.raises(SystemExit):
        merged(load_tool, 'train', ['b.py', '--amp'], optim_wrapper=ConfigDict(optimizer))
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    cfg = merged(load_tool, 'train', ['b.py', '--amp'], optim_wrapper=ConfigDict(optimizer))
    expected = dict(type='AmpOptimWrapper', optimizer=dict(type='Adam'), loss_scale='dynamic')
    assert cfg.optim_wrapper == expected


@pytest.mark.parametrize(
    ('tool', 'arguments', 'name'),
    [
        ('train', ['b.py', '--resume', '/nowhere.pth'], '/nowhere.pth'),
        ('train', ['b.py', '--auto-scale-lr'], 'base_batch_size'),
        ('train', ['b.py', '--show'], 'default_hooks.visualization'),
        ('test', ['b.py', '/nowhere.pth'], '/nowhere.pth'),
        ('test', ['b.py', 'torchvision://resnet50', '--out', 'a.txt'], '.json'),
        ('test', ['b.py', 'torchvision://resnet50', '--dump', 'a.json'], '.npz'),
    ],
)
def test_wrong_options_are_explained(tool, arguments, name, load_tool, capsys):
    with pytest.raises(SystemExit) as stop:
        merged(load_tool, tool, arguments)
    assert stop.value.code == 2 and name in capsys.readouterr().err


def test_dump_adds_an_evaluator(load_tool):
    metric = dict(type='RelativeDepthMetric')
    for evaluators in (metric, [metric]):
        arguments = ['b.py', 'torchvision://resnet50', '--dump', 'a.npz']
        cfg = merged(load_tool, 'test', arguments, test_evaluator=evaluators)
        assert cfg.test_evaluator == [metric, dict(type='mmpose.DumpPredictions', out_file='a.npz')]


SCRIPTS = ['dist_train', 'dist_test', 'slurm_train', 'slurm_test']


@pytest.mark.parametrize('script', SCRIPTS)
def test_launchers_without_arguments_print_their_use(script, repo):
    done = run('bash', repo / 'tools' / f'{script}.sh', status=2)
    assert f'tools/{script}.sh' in done.stderr and 'launch.sh' not in done.stderr


def test_launcher_commands(repo, tmp_path):
    """What torchrun and srun are called with, seen by stand-ins for python and srun."""
    fake = tmp_path / 'bin' / 'python'
    fake.parent.mkdir()
    fake.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    fake.chmod(0o755)
    (tmp_path / 'bin' / 'srun').symlink_to(fake)
    env = {'PATH': f'{fake.parent}:{os.environ["PATH"]}', 'PYTHON': str(fake)}

    def words(script, *arguments, **extra):
        return run('bash', repo / 'tools' / script, *arguments, **env, **extra).stdout.splitlines()

    train, test = (str(repo / 'tools' / f'{name}.py') for name in ('train', 'test'))
    assert words('dist_train.sh', 'c d.py', '3', '--amp') == [
        '-m', 'torch.distributed.run', '--standalone', '--nproc-per-node=3',
        train, 'c d.py', '--amp', '--launcher', 'pytorch',
    ]  # fmt: skip
    where = dict(NNODES='2', NODE_RANK='1', MASTER_ADDR='host', PORT='77')
    assert words('dist_test.sh', 'c.py', 'w.pth', '8', **where)[2:] == [
        '--nnodes=2', '--node-rank=1', '--master-addr=host', '--master-port=77',
        '--nproc-per-node=8',
        test, 'c.py', 'w.pth', '--launcher', 'pytorch',
    ]  # fmt: skip
    sizes = dict(GPUS='2', SRUN_ARGS='-t 5')
    slurm = words('slurm_train.sh', 'gpu', 'job', 'c.py', 'w d', '--amp', **sizes)
    assert slurm == [
        '-p', 'gpu', '--job-name=job', '--gres=gpu:2', '--ntasks=2', '--ntasks-per-node=2',
        '--cpus-per-task=5', '--kill-on-bad-exit=1', '-t', '5',
        str(fake), '-u', train, 'c.py', '--work-dir=w d', '--amp', '--launcher=slurm',
    ]  # fmt: skip
    nodes = words('slurm_train.sh', 'gpu', 'job', 'c.py', 'w', GPUS='4', GPUS_PER_NODE='2')
    assert nodes[3:6] == ['--gres=gpu:2', '--ntasks=4', '--ntasks-per-node=2']
    slurm = words('slurm_test.sh', 'gpu', 'job', 'c.py', 'w.pth', '--out', 'm.json')
    assert slurm[3:6] == ['--gres=gpu:8', '--ntasks=8', '--ntasks-per-node=8']
    assert slurm[-7:] == ['-u', test, 'c.py', 'w.pth', '--out', 'm.json', '--launcher=slurm']


# ------------------------------------------------------------------------------------ whole runs
@pytest.mark.slow
def test_train_test_resume_on_two_processes(data, repo, tmp_path, monkeypatch):
    def start(tool, *arguments):
        run('bash', repo / 'tools' / f'dist_{tool}.sh', *arguments, PYTHON=sys.executable)

    monkeypatch.chdir(tmp_path)
    config, options = repo / EPOCHS, ['--work-dir', 'w', '--cfg-options', *SMALL, *ALONE]
    start('train', config, 2, *options, 'train_cfg.max_epochs=1')
    meta = load_file('w/epoch_1.pth')['meta']
    assert set(meta['wsp_mm']) == {'version', 'git', 'seed'} and meta['train_subjects'] == []
    files = ['--out', 'results/m.json', '--dump', 'p.npz']
    start('test', config, 'w/epoch_1.pth', 2, *files, *options)
    metrics = json.loads((tmp_path / 'results' / 'm.json').read_text())
    assert {'rd/AUC', 'rd/Acc', 'pck/PCK'} <= set(metrics)
    predictions = load_dump('p.npz')
    assert len(set(predictions['id'])) == 3  # the test pairs, once each
    assert predictions['pred_instances.keypoints'].shape == (3, 2, 16, 2)

    start('train', config, 2, '--resume', *options, 'train_cfg.max_epochs=2')
    text = '\n'.join(path.read_text() for path in tmp_path.glob('w/*/*.log'))
    found = re.findall(r'Epoch\(train\)\s+\[(\d)\].* loss: ([\d.einfa]+)', text)
    # ten images in batches of four a process
    assert sorted(epoch for epoch, _ in found) == ['1', '1', '2', '2']
    assert all(0 < float(loss) < 100 for _, loss in found)
    assert load_file('w/epoch_2.pth')['meta']['epoch'] == 2


@pytest.mark.slow
def test_killed_and_resumed_equals_uninterrupted(data, repo, run_tool, tmp_path):
    """The same data order and augmentation, so the same weights, to the last bit."""
    options = [
        '--no-validate', '--cfg-options', *SMALL, *ALONE, 'train_cfg.max_epochs=3',
        'train_dataloader.num_workers=1', 'train_dataloader.persistent_workers=True',
    ]  # fmt: skip
    run_tool('train', repo / EPOCHS, '--work-dir', 'whole', *options)
    command = [sys.executable, repo / 'tools/train.py', repo / EPOCHS, '--work-dir', 'killed']
    silent = dict(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    victim = subprocess.Popen([*map(str, command), *options], cwd=tmp_path, **silent)
    # MMEngine writes this file after the checkpoint that it names.
    pointer = tmp_path / 'killed' / 'last_checkpoint'
    while not pointer.exists() and victim.poll() is None:
        time.sleep(0.02)
    victim.send_signal(signal.SIGKILL)
    assert victim.wait() == -signal.SIGKILL
    assert not (tmp_path / 'killed' / 'epoch_3.pth').exists()
    run_tool('train', repo / EPOCHS, '--work-dir', 'killed', '--resume', 'auto', *options)

    first, whole, resumed = (
        load_file(tmp_path / name)['state_dict']
        for name in ('whole/epoch_1.pth', 'whole/epoch_3.pth', 'killed/epoch_3.pth')
    )
    assert all(torch.equal(value, resumed[key]) for key, value in whole.items())
    assert any(not torch.equal(value, first[key]) for key, value in whole.items())


class Hostile:
    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.slow
def test_a_hostile_checkpoint_ends_the_run_with_its_message(data, repo, run_tool, tmp_path):
    torch.save(dict(state_dict=dict(), meta=Hostile(tmp_path / 'owned')), tmp_path / 'h.pth')
    for tool, config, *words in (
        ('test', QUICKSTART, 'h.pth'),
        ('train', 'configs/quickstart/wsp_h36m_lite0.py'),
    ):
        start = [] if words else ['--cfg-options', 'model.init_cfg.checkpoint=h.pth']
        with pytest.raises(SystemExit, match=r'h\.pth.*--trust-checkpoint'):
            run_tool(tool, repo / config, *words, *start)
    assert not (tmp_path / 'owned').exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ('config', 'whose'),
    [('my_experiment', 'ours'), ('my_experiment', "MMPose's"), ('my_scores', 'ours')],
)
def test_the_configs_of_the_documentation(config, whose, data, repo, tmp_path):
    """docs/extend.md: configs elsewhere, with a backbone and a head of their own, are trained."""
    text = (repo / 'docs' / 'extend.md').read_text(encoding='utf-8')
    for name, block in re.findall(r'```python\n# (\w+\.py)\n(.*?)```', text, re.DOTALL):
        (tmp_path / name).write_text(block)
    base = run(sys.executable, '-m', 'wsp_mm.config_path', 'wsp_pretrain_r18').stdout.strip()
    tool = repo / 'tools/train.py'
    if whose != 'ours':
        import mmpose

        tool = f'{mmpose.__path__[0]}/.mim/tools/train.py'
    options = [*SMALL, 'train_cfg.max_epochs=1', 'train_dataloader.num_workers=0']
    options += ['train_dataloader.persistent_workers=False', 'train_dataloader.dataset.indices=8']
    if config == 'my_scores':  # on the ResNet, whose ImageNet weights would be fetched
        options.append('model.backbone.init_cfg=None')
    paths = [str(tmp_path), str(repo), os.environ.get('PYTHONPATH', '')]
    words = [tool, f'{config}.py', '--no-validate', '--cfg-options', *options]
    env = dict(WSP_BASE=base, PYTHONPATH=os.pathsep.join(paths))
    done = run(sys.executable, *words, cwd=tmp_path, **env)
    assert len(re.findall(r'Epoch\(train\)\s+\[1\].* loss: \d', done.stdout + done.stderr)) == 2
    file = tmp_path / f'work_dirs/{config}/epoch_1_weights.pth'
    checkpoint = torch.load(file, weights_only=True)
    if config == 'my_scores':
        assert 'head.log_temperature' in checkpoint['state_dict']
        return
    assert 'MyHead' in checkpoint['meta']['cfg']
    assert any(key.startswith('backbone.model.blocks') for key in checkpoint['state_dict'])


@pytest.mark.slow
def test_another_backbone_is_two_settings(data, repo, run_tool, tmp_path):
    """A config elsewhere names a network of timm and its channels; or those of another."""
    pytest.importorskip('timm', reason="the extra 'timm' is not installed")
    base = repo / 'configs/wsp_pretrain_lite0.py'
    for name, channels in (('right', 64), ('wrong', 320)):
        (tmp_path / f'{name}.py').write_text(
            f'_base_ = {str(base)!r}\n'
            "backbone = dict(model_name='test_efficientnet', init_cfg=None)\n"
            f'model = dict(backbone=backbone, head=dict(in_channels={channels}))\n'
        )
    options = [*SMALL, 'train_cfg.max_epochs=1', 'train_dataloader.num_workers=0']
    options += ['train_dataloader.persistent_workers=False', 'train_dataloader.dataset.indices=4']
    words = ['--no-validate', '--work-dir', 'w', '--cfg-options', *options]
    run_tool('train', tmp_path / 'right.py', *words)
    state = torch.load(tmp_path / 'w/epoch_1_weights.pth', weights_only=True)['state_dict']
    assert 'backbone.model.conv_stem.weight' in state
    with pytest.raises(ValueError, match=r'in_channels is 320.*test_efficientnet, has 64'):
        run_tool('train', tmp_path / 'wrong.py', *words)
