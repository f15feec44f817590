# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import os

import pytest
import torch
from mmengine.hooks import CheckpointHook
from mmengine.model import BaseModel
from mmengine.runner import Runner

from wsp_mm.engine.weights_hook import PublishedWeightsHook, update_folder, weights_file


class Line(BaseModel):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)

    def forward(self, inputs, mode='tensor'):
        return dict(loss=self.layer(inputs.float()).square().mean())


def train(work_dir, epochs, resume=False):
    runner = Runner(
        model=Line(),
        work_dir=str(work_dir),
        train_dataloader=torch.utils.data.DataLoader(
            [dict(inputs=torch.ones(1) * i) for i in range(4)], batch_size=2
        ),
        train_cfg=dict(by_epoch=True, max_epochs=epochs),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.01)),
        default_hooks=dict(checkpoint=dict(type='CheckpointHook', interval=1, max_keep_ckpts=2)),
        custom_hooks=[PublishedWeightsHook()],
        resume=resume,
        experiment_name=f'{work_dir.name}_{epochs}',
    )
    runner.train()
    return runner


def test_weights_lie_beside_every_checkpoint_and_go_with_it(tmp_path):
    runner = train(tmp_path, 4)
    names = sorted(path.name for path in tmp_path.glob('*.pth'))
    assert names == ['epoch_3.pth', 'epoch_3_weights.pth', 'epoch_4.pth', 'epoch_4_weights.pth']
    published = torch.load(tmp_path / 'epoch_4_weights.pth', weights_only=True)
    assert published['meta']['epoch'] == 4
    assert set(published) == {'meta', 'state_dict'}
    for key, value in runner.model.state_dict().items():
        assert torch.equal(published['state_dict'][key], value)
    # the checkpoint to resume from is still the training one
    assert (tmp_path / 'last_checkpoint').read_text().endswith('epoch_4.pth')


def test_it_comes_after_the_hook_that_saves():
    assert PublishedWeightsHook.priority == 'LOWEST'
    assert CheckpointHook.priority != 'LOWEST'


@pytest.fixture
def folder(tmp_path):
    for name in ('epoch_1', 'mine'):
        torch.save(
            dict(state_dict=torch.nn.Linear(1, 1).state_dict(), meta={}), tmp_path / f'{name}.pth'
        )
    return tmp_path


def test_folder_is_brought_up_to_date(folder):
    assert sorted(p.name for p in update_folder(folder)) == [
        'epoch_1_weights.pth',
        'mine_weights.pth',
    ]
    assert update_folder(folder) == []
    newer = weights_file(folder / 'epoch_1.pth').stat().st_mtime + 5
    os.utime(folder / 'epoch_1.pth', (newer, newer))
    assert [p.name for p in update_folder(folder)] == ['epoch_1_weights.pth']


def test_only_what_the_run_wrote_is_removed(folder):
    update_folder(folder)
    (folder / 'best_MPJPE_epoch_7_weights.pth').write_bytes(b'')
    for name in ('epoch_1.pth', 'mine.pth'):
        (folder / name).unlink()
    update_folder(folder)
    assert [path.name for path in folder.iterdir()] == ['mine_weights.pth']
