# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Hooks of the tests on several ranks; the processes import them by ``custom_imports``."""

import json
import os
from pathlib import Path
from unittest import mock

import torch
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmpose.registry import HOOKS
from torch import nn


@HOOKS.register_module()
class FrozenNormHook(Hook):
    """All BatchNorm takes its stored statistics in training: those of a batch are a rank's own."""

    priority = 'VERY_LOW'

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        for module in runner.model.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()


@HOOKS.register_module()
class RecordHook(Hook):
    """Writes ``rank_R.json``: of every iteration the loss of each sample alone, the batch's and the
    rate.
    """

    priority = 'LOWEST'

    def before_train(self, runner):
        self.iterations = []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        samples = []
        # One process's reduction: a sample's own loss needs no other rank.
        with (
            torch.no_grad(),
            mock.patch('wsp_mm.models.losses.get_world_size', return_value=1),
        ):
            data = model.data_preprocessor(data_batch, training=True)
            for i, sample in enumerate(data['data_samples']):
                losses = model(data['inputs'][i : i + 1], [sample], mode='loss')
                names = (Path(sample.img_path).name, sample.metainfo.get('sample_idx'))
                values = {key: float(value) for key, value in losses.items() if 'loss' in key}
                samples.append((':'.join(map(str, names)), values))
        self.iterations.append(dict(samples=samples, lr=runner.optim_wrapper.get_lr()['lr'][0]))

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.iterations[-1]['loss'] = float(outputs['loss'].detach())

    def after_train(self, runner):
        file = Path(runner.work_dir) / f'rank_{runner.rank}.json'
        file.write_text(json.dumps(dict(iterations=self.iterations, world_size=runner.world_size)))


@HOOKS.register_module()
class FailHook(Hook):
    """On rank 1, before iteration 1: an exception in the model, or a note that the process may be
    killed.

    Args:
        way: 'exception' or 'wait'.
    """

    def __init__(self, way):
        self.way = way

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.rank != 1 or runner.iter != 1:
            return
        if self.way == 'wait':
            Path(runner.work_dir, 'victim').write_text(str(os.getpid()))
            while True:
                torch.rand(1)  # until it is killed
        head = runner.model.module.head
        head.loss = mock.Mock(side_effect=ArithmeticError('the head of rank 1 gave up'))
