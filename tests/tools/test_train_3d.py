# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""3D and root networks through the real tools: training, resuming, testing, predicting roots."""

import json

import pytest
import torch
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmpose.registry import MODELS

import wsp_mm.register  # noqa: F401
from wsp_mm.utils.checkpoint import load_file
from wsp_mm.utils.cli import load_config

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures('data')]

# A small network, and loading in the process.
SMALL = [
    f'{split}_dataloader.{option}'
    for split in ('train', 'val', 'test')
    for option in ('num_workers=0', 'persistent_workers=False', 'batch_size=2')
] + [
    'default_hooks.logger.interval=1', 'model.backbone.init_cfg=None',
    'model.head.deconv_out_channels=(16,16,16)',
]  # fmt: skip
R18 = ['model.backbone.depth=18', 'model.head.in_channels=512']
# Few samples of each side of a mixture.
MIXED = [
    'train_dataloader.dataset.datasets.0.indices=4',
    'train_dataloader.dataset.datasets.1.indices=3',
]
ALONE = ['train_dataloader.dataset.indices=4']
TWO_EPOCHS = ['train_cfg.max_epochs=2', 'train_cfg.val_interval=2']


@pytest.mark.parametrize(('name', 'few'), [('h36m', ALONE), ('h36m_mcpc', MIXED), ('muco', MIXED)])
def test_train_test_and_resume(name, few, run_tool, repo, tmp_path):
    """A run that is stopped and resumed ends with the weights of one that was not."""
    config = repo / f'configs/posenet_{name}_r50.py'
    options = ['--cfg-options', *SMALL, *R18, *few, 'test_dataloader.dataset.indices=3']
    run_tool('train', config, '--work-dir', 'whole', *options, *TWO_EPOCHS)
    run_tool('train', config, '--work-dir', 'parts', *options, 'train_cfg.max_epochs=1')
    run_tool('train', config, '--work-dir', 'parts', '--resume', *options, *TWO_EPOCHS)
    whole, parts = (
        load_file(tmp_path / folder / 'epoch_2.pth')['state_dict'] for folder in ('whole', 'parts')
    )
    assert all(torch.equal(whole[key], parts[key]) for key in whole)

    files = ['--dump', 'dump.npz', '--out', 'metrics.json']
    run_tool('test', config, 'whole/epoch_2.pth', *files, *options)
    metrics = json.loads((tmp_path / 'metrics.json').read_text())
    if name == 'muco':  # tested on MuPoTS, where the persons without a prediction are missed
        assert metrics['mupots/n_predictions'] == 3 and 'mupots/PCK_All' in metrics
    else:
        assert metrics['h36m/n'] == 3 and 0 < metrics['h36m/MPJPE'] < 1e5


@pytest.fixture(scope='module')
def pretrained(repo, tmp_path_factory):
    """``pretrained(NAME)``: weights of a pair pre-training; what matters is that they arrive."""
    folder = tmp_path_factory.mktemp('pretrained')

    def make(name):
        init_default_scope('mmpose')
        config = load_config(repo / f'configs/{name}.py')
        config.model.backbone.init_cfg = None
        file = folder / f'{config.model.head.in_channels}.pth'
        torch.save(dict(state_dict=MODELS.build(config.model).state_dict()), file)
        return str(file)

    return make


@pytest.mark.parametrize(
    ('name', 'start'),
    [
        ('posenet_h36m_swin-t', None),
        ('posenet_h36m_hrnet-w32', None),
        ('wsp_h36m_mpii_r50_p2', 'wsp_pretrain_r50'),
        ('wsp_muco_r18', 'wsp_pretrain_r18'),
        ('quickstart/wsp_h36m_mcpc_lite0', 'quickstart/wsp_pretrain_lite0'),
    ],
)
def test_two_iterations_of_the_real_network(name, start, repo, pretrained, tmp_path):
    """At its real size; data and the pre-trained weights are all that a config asks for."""
    weights = {} if start is None else {'model.init_cfg.checkpoint': pretrained(start)}
    config = load_config(repo / f'configs/{name}.py', weights)
    config.model.backbone.init_cfg = None
    config.work_dir = str(tmp_path)
    config.visualizer.name = f'visualizer_{tmp_path.name}'  # one a process and name
    config.experiment_name = tmp_path.name
    config.default_hooks.checkpoint.update(interval=-1, save_last=False)
    loader = config.train_dataloader
    for other in (loader, config.val_dataloader, config.test_dataloader):
        other.update(batch_size=2, num_workers=0, persistent_workers=False)
    datasets = loader.dataset.get('datasets', [loader.dataset])
    for dataset in datasets:
        dataset.indices = 4 // len(datasets)
    length = 'max_iters' if config.train_cfg.type == 'IterBasedTrainLoop' else 'max_epochs'
    config.train_cfg.update({length: 2 if length == 'max_iters' else 1, 'val_interval': 99})
    runner = Runner.from_cfg(config)
    before = {key: value.clone() for key, value in runner.model.state_dict().items()}
    runner.train()
    losses = runner.message_hub.get_scalar('train/loss').data[0]
    assert runner.iter == len(losses) == 2 and all(torch.isfinite(torch.tensor(losses)))
    after = runner.model.state_dict()
    assert any(not torch.equal(before[key], after[key]) for key in before if 'backbone' in key)


@pytest.mark.parametrize(
    ('name', 'few'),
    [
        ('quickstart/root_muco_lite0', ['train_cfg.max_iters=2']),
        ('root_muco_r50', ['train_cfg.max_epochs=1', *MIXED]),
        ('root_h36m_r50', ['train_cfg.max_epochs=1', *ALONE, 'test_dataloader.dataset.indices=3']),
    ],
)
def test_root_networks(name, few, run_tool, load_tool, repo, data, tmp_path):
    config = repo / f'configs/{name}.py'
    own = ['model.head.deconv_out_channels=(16,16)'] if 'lite0' in name else R18
    small = [*SMALL, *own]
    options = ['--cfg-options', *small, 'train_cfg.val_interval=9', *few]
    run_tool('train', config, '--work-dir', 'w', *options)
    log = '\n'.join(path.read_text() for path in tmp_path.glob('w/*/*.log'))
    assert 'err_z_prior' in log and 'err_xy' in log
    checkpoint = (tmp_path / 'w' / 'last_checkpoint').read_text()

    def test(*more):
        run_tool('test', config, checkpoint, '--out', 'm.json', *options, *more)
        return json.loads((tmp_path / 'm.json').read_text())

    metrics = test()
    assert metrics['root/n'] > 0 and 0 < metrics['root/MRPE'] < 1e5 and metrics['root/prior_z'] > 0
    if 'muco' not in name:
        return
    counts = {metrics[f'root/{key}'] for key in ('n', 'n_roots', 'n_detections')}
    assert len(counts) == 1  # labelled boxes
    ann, images = data / 'mupots/MuPoTS-3D.json', data / 'mupots/MultiPersonTestSet'
    common = [*map(str, ('--gt', '--ann', ann, '--images', images))]
    network = [str(config), checkpoint, '--cfg-options', *small]
    predict = load_tool('predict_roots').main
    assert predict([*network, *common, '--out', str(tmp_path / 'net.json')]) == 0
    # The test with the file takes the same boxes and gives the same persons.
    again = test(f'test_dataloader.dataset.bbox_root_file={tmp_path / "net.json"}')
    assert again['root/AP_root'] == pytest.approx(metrics['root/AP_root'], abs=0.5)
