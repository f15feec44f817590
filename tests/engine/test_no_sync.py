# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""The training step of the three networks, as their configs run it, never waits for the device."""

import sys
from pathlib import Path

import pytest
import torch
from mmengine.registry import init_default_scope
from mmengine.runner import EpochBasedTrainLoop, Runner
from mmengine.structures import InstanceData
from mmpose.registry import DATASETS
from mmpose.structures import PoseDataSample
from torch.utils.data import Dataset

import wsp_mm.register  # noqa: F401
from wsp_mm.engine.deferred_log import DeferredRuntimeInfoHook
from wsp_mm.utils.config import load_config

sys.path.insert(0, str(Path(__file__).parent))
from no_sync import Waits

ROOT = Path(__file__).resolve().parents[2]
SIDE, MAP = 64, 16


def pair_labels():
    return dict(
        pair_bboxes_input=torch.tensor([[[2.0, 2, 40, 60], [20, 6, 60, 60]]]),
        heatmap_cells=torch.rand(1, 2, 16, 2) * MAP,
        heatmap_labelled=(torch.rand(1, 2, 16) > 0.2).float(),
        heatmap_weights=torch.ones(1, 16),
        depth_labels=torch.randint(2, (1, 16)).float(),
        depth_weights=torch.ones(1, 16),
    )


def pose3d_labels():
    return dict(
        keypoint_labels=torch.rand(1, 18, 3) * MAP,
        keypoint_weights=(torch.rand(1, 18) > 0.2).float(),
        depth_weights=(torch.rand(1, 18) > 0.5).float(),
    )


def root_labels():
    return dict(
        root_cells=torch.rand(1, 2) * MAP,
        root_depths=torch.full((1,), 4000.0),
        root_weights=torch.ones(1),
        depth_weights=torch.ones(1),
        root_priors=torch.full((1,), 3800.0),
    )


CASES = {
    'configs/wsp_pretrain_r50.py': (pair_labels, (MAP, MAP)),
    'configs/posenet_h36m_r50.py': (pose3d_labels, (MAP, MAP, MAP)),
    'configs/root_h36m_r50.py': (root_labels, (MAP, MAP)),
}


@DATASETS.register_module()
class NoSyncSamples(Dataset):
    def __init__(self, case):
        self.labels = CASES[case][0]

    def __len__(self):
        return 12

    def __getitem__(self, index):
        torch.manual_seed(index)
        sample = PoseDataSample(metainfo=dict(input_size=(SIDE, SIDE), sample_idx=index))
        sample.gt_instance_labels = InstanceData(**self.labels())
        return dict(
            inputs=torch.randint(256, (3, SIDE, SIDE), dtype=torch.uint8), data_samples=sample
        )


def small_runner(name, tmp_path, **options):
    """A config's runner with a small network and made-up samples; hooks and optimizer are the
    config's.
    """
    init_default_scope('mmpose')
    cfg = load_config(ROOT / name, options)
    size = CASES[name][1]
    cfg.model.backbone.update(depth=18, init_cfg=None)
    cfg.model.head.update(in_channels=512, deconv_out_channels=(16, 16, 16))
    if 'heatmap_size' in cfg.model.head:
        cfg.model.head.heatmap_size = size
    cfg.model.head.decoder.update(input_size=(SIDE, SIDE), heatmap_size=size)
    cfg.work_dir = str(tmp_path)
    cfg.experiment_name = f'{Path(name).stem}_{tmp_path.name}'
    for key in (
        'val_cfg',
        'val_dataloader',
        'val_evaluator',
        'test_cfg',
        'test_dataloader',
        'test_evaluator',
    ):
        cfg[key] = None
    cfg.train_dataloader = dict(
        batch_size=4,
        num_workers=0,
        dataset=dict(type='NoSyncSamples', case=name),
        sampler=dict(type='DefaultSampler', shuffle=False),
        collate_fn=dict(type='pseudo_collate'),
    )
    cfg.train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=1)
    # those two do nothing in an iteration, ask git and want data sets of ours
    left_out = ('RunInfoHook', 'ItemSeedHook')
    cfg.custom_hooks = [hook for hook in cfg.custom_hooks if hook['type'] not in left_out]
    return Runner.from_cfg(cfg)


def watch(runner, monkeypatch, after=lambda: None):
    """Train; what every iteration waits for."""
    run_iter, iterations = EpochBasedTrainLoop.run_iter, []

    def watched(loop, index, batch):
        with Waits() as waits:
            run_iter(loop, index, batch)
        iterations.append(waits)
        after()

    monkeypatch.setattr(EpochBasedTrainLoop, 'run_iter', watched)
    runner.train()
    return iterations


def test_mmengines_own_hook_and_mmposes_preprocessor_wait(tmp_path, monkeypatch):
    options = {
        'default_hooks.runtime_info.type': 'RuntimeInfoHook',
        'model.data_preprocessor.type': 'PoseDataPreprocessor',
    }
    first, *_ = watch(small_runner('configs/wsp_pretrain_r50.py', tmp_path, **options), monkeypatch)
    assert {'aten._local_scalar_dense', 'from Python numbers'} <= set(first.found)


@pytest.mark.parametrize('bfloat16', [False, True])
@pytest.mark.parametrize('name', CASES)
def test_no_operation_of_a_training_iteration_waits(name, bfloat16, tmp_path, monkeypatch):
    runner = small_runner(name, tmp_path, bfloat16=bfloat16)
    (hook,) = (hook for hook in runner.hooks if isinstance(hook, DeferredRuntimeInfoHook))
    waiting = []
    first, second, _ = watch(runner, monkeypatch, lambda: waiting.append(len(hook.queue._waiting)))
    assert first.found == second.found == []
    assert {
        'aten.convolution_backward',
        'aten._fused_adam_',
    } <= second.seen  # it looked at the whole step
    assert (
        waiting[1] == 2 * waiting[0] > 0 == waiting[2]
    )  # the last iteration writes a line of the log
    assert runner.message_hub.get_scalar('train/loss').data[0].shape == (3,)


@pytest.mark.parametrize(
    'wait',
    [
        lambda x: x.sum().item(),
        lambda x: float(x.max()),
        lambda x: bool((x > 0).all()),
        lambda x: x[x > 0],
        lambda x: x[[1, 0]],
        lambda x: x.nonzero(),
        lambda x: torch.tensor([1.0, 2.0]) * x[:2],
        lambda x: torch.equal(x, x),
    ],
)
def test_the_check_finds_what_waits(wait):
    x = torch.arange(4.0)
    with Waits() as waits:
        wait(x)
    assert waits.found


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
@pytest.mark.parametrize('name', CASES)
def test_cuda_itself_says_so(name, tmp_path, monkeypatch):
    runner = small_runner(name, tmp_path)
    run_iter = EpochBasedTrainLoop.run_iter

    def watched(loop, index, batch):
        torch.cuda.set_sync_debug_mode('error' if index == 1 else 'default')
        run_iter(loop, index, batch)

    monkeypatch.setattr(EpochBasedTrainLoop, 'run_iter', watched)
    try:
        runner.train()
    finally:
        torch.cuda.set_sync_debug_mode('default')
