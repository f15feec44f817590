# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""The head in training: start, 16 pairs, MMPose's estimator, mixed precision, two processes."""

import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData
from mmpose.registry import MODELS
from relative_depth_cases import MAP, SIDE, K, build, codec, make_batch, make_feats, make_sample
from torch import nn

from wsp_mm.codecs.pair_heatmap import PairHeatmapLabel


@pytest.mark.parametrize('pooling', ['mean', 'sum', 'max', 'normalized'])
def test_start_is_sane(pooling):
    """From the initialisation of a real run: probability about 1/2, an empty heatmap's loss."""
    head = build(pooling=pooling, alpha=50.0)
    head.init_weights()
    losses = head.loss(make_feats(), make_batch())
    assert losses['loss_depth'].item() == pytest.approx(50 * math.log(2), rel=0.1)
    empty = np.mean([[np.linalg.norm(m) for m in s.gt_fields.heatmaps] for s in make_batch()])
    assert losses['loss_heatmap'].item() == pytest.approx(empty, rel=0.05)


def test_mixed_precision_keeps_the_depth_branch_in_float32():
    head, feats, batch = build(), make_feats(), make_batch()
    with torch.autocast('cpu', dtype=torch.bfloat16):
        assert head(feats)[0].dtype == torch.bfloat16
        losses = head.loss(feats, batch)
    assert losses['loss_depth'].dtype == losses['loss_heatmap'].dtype == torch.float32
    sum(loss for key, loss in losses.items() if 'loss' in key).backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in head.parameters())
    full = head.loss(feats, batch)
    assert losses['loss_depth'].item() == pytest.approx(full['loss_depth'].item(), rel=0.05)


def picture_of_pair(sample, nearer):
    """Blobs where the joints are; those of the nearer person also in the second colour. Boxes tell
    nothing.
    """
    image = torch.zeros(3, SIDE, SIDE)
    blobs = torch.nn.functional.interpolate(sample.gt_fields.heatmaps[None], size=(SIDE, SIDE))[
        0
    ].amax(0)
    image[0] = blobs
    x1, y1, x2, y2 = sample.gt_instance_labels.pair_bboxes_input[0, nearer].int().tolist()
    image[1, y1 : y2 + 1, x1 : x2 + 1] = blobs[y1 : y2 + 1, x1 : x2 + 1]
    return image


@pytest.mark.parametrize(
    'switches', [dict(alpha=1.0), dict(alpha=50.0), dict(alpha=1.0, pooling='normalized')]
)
def test_sixteen_pairs_are_learned_completely(switches):
    """100 % of the joints, by looking: for pictures without content it has one answer for all."""
    boxes = [[1, 2, 14, 29], [17, 2, 30, 29]]  # the same for all pairs, labels balanced
    batch = [make_sample(seed, boxes=boxes) for seed in range(16)]
    labels = np.array([seed % 2 for seed in range(16)])
    images = torch.stack(
        [picture_of_pair(sample, 1 - label) for sample, label in zip(batch, labels, strict=True)]
    )
    head = build(
        in_channels=32, deconv_out_channels=(32,), depth_hidden=64, num_sampled_joints=2, **switches
    )
    head.init_weights()
    backbone = nn.Sequential(
        nn.Conv2d(3, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.ReLU(),
        nn.Conv2d(16, 32, 3, 2, 1), nn.BatchNorm2d(32), nn.ReLU(),
    )  # fmt: skip
    optimizer = torch.optim.Adam([*backbone.parameters(), *head.parameters()], lr=3e-3)
    # Small steps at last, so that BatchNorm's running means are those of the weights that are
    # tested.
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [150])
    for _ in range(200):
        losses = head.loss((backbone(images),), batch)
        optimizer.zero_grad()
        (losses['loss_heatmap'] + losses['loss_depth']).backward()
        optimizer.step()
        schedule.step()
    backbone.eval()
    head.eval()
    with torch.no_grad():
        preds = head.predict((backbone(images),), batch)
        grey = head.predict((backbone(torch.full_like(images, 0.5)),), batch)
    decisions = np.concatenate([pred.depth_probs for pred in preds]) >= 0.5
    assert (decisions == labels[:, None]).all()
    assert len({tuple(pred.depth_probs[0]) for pred in grey}) == 1
    if switches['alpha'] == 1.0:  # an empty map costs 2.5; at alpha 50 the maps learn far later
        assert losses['loss_heatmap'].item() < 1.2


@pytest.fixture
def estimator():
    cfg = dict(
        type='TopdownPoseEstimator',
        data_preprocessor=dict(
            type='PoseDataPreprocessor', mean=[123.0, 116.0, 103.0], std=[58.0, 57.0, 57.0], bgr_to_rgb=True
        ),
        backbone=dict(type='ResNet', depth=18),
        head=dict(
            type='RelativeDepthHead', in_channels=512, out_channels=K, deconv_out_channels=(8, 8, 8),
            num_sampled_joints=2, alpha=1.0, decoder=dict(codec(), heatmap_size=(MAP // 2, MAP // 2)),
        ),
        test_cfg=dict(flip_test=True),
    )  # fmt: skip
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmpose'):
        return MODELS.build(cfg)


def test_stock_estimator_trains_predicts_and_runs_without_samples(estimator):
    """In MMPose's own estimator: all three modes; keypoints come back in picture px."""
    side, cells = 64, 16  # ResNet's stride is 32, three deconvolutions give 16 x 16 cells
    estimator.head.decoder = PairHeatmapLabel((side, side), (cells, cells), 1.0)
    samples = make_batch(2)
    for sample in samples:
        sample.set_metainfo(
            dict(
                input_size=(side, side),
                input_center=np.array([300.0, 200]),
                input_scale=np.array([128.0, 128]),
            )
        )
        sample.gt_instances = InstanceData(bboxes=np.zeros((1, 4)), bbox_scores=np.ones(1))
        sample.gt_instance_labels.pair_bboxes_input *= 2
    inputs = [torch.randint(0, 255, (3, side, side), dtype=torch.uint8) for _ in samples]
    data = estimator.data_preprocessor(dict(inputs=inputs, data_samples=samples), training=True)

    heatmaps, features = estimator(data['inputs'], None, mode='tensor')
    assert heatmaps.shape == (2, K, cells, cells)
    assert features.shape == (2, 8, cells, cells)
    total, logs = estimator.parse_losses(estimator(**data, mode='loss'))
    assert total.item() == pytest.approx(
        logs['loss_heatmap'].item() + logs['loss_depth'].item(), rel=1e-5
    )
    total.backward()
    assert estimator.backbone.conv1.weight.grad.abs().sum() > 0

    with torch.no_grad():
        results = estimator.eval()(**data, mode='predict')
    for result, sample in zip(results, samples, strict=True):
        keypoints, boxes = (
            result.pred_instances.keypoints[0],
            sample.gt_instance_labels.pair_bboxes_input[0].numpy(),
        )
        in_picture = boxes.reshape(2, 2, 2) * 2 + [300 - 64, 200 - 64]
        assert (keypoints >= in_picture[:, None, 0] - 8).all()
        assert (keypoints <= in_picture[:, None, 1] + 8).all()
        assert result.pred_instances.depth_probs.shape == (1, K)
        assert len(result.pred_instances) == 1


DDP_STEP = """
import datetime
import numpy as np
import torch, torch.distributed as dist
from relative_depth_cases import K, build, make_batch, make_feats
from torch import nn
from torch.nn.parallel import DistributedDataParallel

class Model(nn.Module):
    def __init__(self, alpha):
        super().__init__()
        self.stem = nn.Conv2d(5, 5, 1)
        self.head = build(alpha=alpha)

    def forward(self, x, batch):
        losses = self.head.loss((self.stem(x),), batch)
        return losses['loss_heatmap'] + losses['loss_depth']

dist.init_process_group('gloo', timeout=datetime.timedelta(seconds=60))
rank = dist.get_rank()
nothing = np.zeros((2, K))
for alpha in (2.0, 0.0):
    torch.manual_seed(0)
    model = Model(alpha).eval()  # without batch statistics, so that ranks are comparable
    x = make_feats()[0].detach()
    model(x, make_batch()).backward()
    alone = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    parallel = DistributedDataParallel(model)
    for step in range(2):  # a gradient missing in step 0 is noticed in step 1
        model.zero_grad()
        batch = make_batch(visible=nothing) if rank == 1 else make_batch()
        parallel(x, batch).backward()
        for parameter, expected in zip(model.parameters(), alone):
            torch.testing.assert_close(parameter.grad, expected)
print('rank', rank, 'done', flush=True)
dist.destroy_process_group()
"""


@pytest.mark.slow
def test_ddp_step_with_a_rank_without_a_valid_joint(tmp_path):
    """Two real processes: neither waits for the other, and the gradient is that of all labelled
    pairs.
    """
    script = tmp_path / 'ddp_step.py'
    script.write_text(DDP_STEP)
    here = Path(__file__).parent
    path = os.pathsep.join([str(here.parents[2]), str(here), os.environ.get('PYTHONPATH', '')])
    env = dict(os.environ, OMP_NUM_THREADS='1', PYTHONPATH=path)
    command = [
        sys.executable,
        '-m',
        'torch.distributed.run',
        '--standalone',
        '--nproc_per_node=2',
        str(script),
    ]
    done = subprocess.run(
        command, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count('done') == 2
