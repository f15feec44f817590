# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Eight drawn persons are learned by heart, with the settings that short trainings use."""

import cv2
import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData
from mmpose.registry import MODELS
from mmpose.structures import PoseDataSample

import wsp_mm.models.estimators.topdown_3d
import wsp_mm.models.heads.integral_3d_head  # noqa: F401  (register what is built)
from wsp_mm.codecs.integral_3d import Integral3DLabel
from wsp_mm.engine.precision import BFloat16OptimWrapper
from wsp_mm.evaluation.functional.mpjpe import mpjpe
from wsp_mm.structures.camera import PinholeCamera
from wsp_mm.structures.keypoints import get_joint_set

SIZE, CELLS = 128, (32, 32, 32)
CODEC = dict(type='Integral3DLabel', input_size=(SIZE, SIZE), heatmap_size=CELLS)
CAMERA = PinholeCamera(f=(600.0, 600.0), c=(SIZE / 2, SIZE / 2))
ROOT_DEPTH = 7500.0
ITERATIONS = 300


# Somebody who stands, in the order of h36m18: x to the person's left, y down, z to the back, mm.
STANDING = np.array(
    [
        *[
            (0, 0, 0),
            (-130, 0, 0),
            (-140, 440, 0),
            (-140, 880, 0),
            (130, 0, 0),
            (140, 440, 0),
            (140, 880, 0),
        ],
        *[(0, -230, 0), (0, -480, 0), (0, -560, -60), (0, -680, 0)],
        *[
            (160, -450, 0),
            (240, -190, 0),
            (260, 50, -60),
            (-160, -450, 0),
            (-240, -190, 0),
            (-260, 50, -60),
        ],
        (0, -450, 0),
    ],
    dtype=float,
)


def draw_person(rng):
    """A picture and the joints of a figure of coloured sticks, in the camera's frame, mm.

    It stands, turned anyhow about the vertical, each joint pushed about. Thickness and brightness
    of a stick follow its depth, as perspective and light would have it.
    """
    joint_set = get_joint_set('h36m18')
    angle = rng.uniform(-np.pi, np.pi)
    turn = np.array(
        [[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]]
    )
    joints = 0.8 * (STANDING + rng.normal(0, 80, STANDING.shape)) @ turn.T
    joints[:, 2] += ROOT_DEPTH
    picture = np.full((SIZE, SIZE, 3), 40, np.uint8)
    pixels = CAMERA.project(joints)
    sticks = sorted(
        enumerate(joint_set.links),
        key=lambda stick: -joints[list(indices(joint_set, stick[1])), 2].sum(),
    )
    for number, link in sticks:
        a, b = indices(joint_set, link)
        colour = np.array([(37 * number) % 200, (91 * number) % 200, (151 * number) % 200]) + 55
        depth = (joints[a, 2] + joints[b, 2]) / 2 - ROOT_DEPTH
        shade = 1 - depth / 1500
        ends = [tuple(round(v * 16) for v in pixels[j, :2]) for j in (a, b)]
        cv2.line(
            picture,
            *ends,
            (np.clip(colour * shade, 0, 255)).tolist(),
            max(1, round(4 - depth / 300)),
            cv2.LINE_AA,
            4,
        )
    return picture, joints


def indices(joint_set, link):
    return tuple(joint_set.joints.index(name) for name in link)


def make_sample(rng):
    picture, joints = draw_person(rng)
    keypoints = CAMERA.project(joints)
    keypoints[:, 2] -= joints[0, 2]
    encoded = Integral3DLabel((SIZE, SIZE), CELLS).encode(keypoints[None], has_depth=np.ones(1))
    sample = PoseDataSample(
        metainfo=dict(
            input_size=(SIZE, SIZE),
            input_center=np.full(2, SIZE / 2, np.float32),
            input_scale=np.full(2, SIZE, np.float32),
            root_depth=float(joints[0, 2]),
            camera_f=CAMERA.f,
            camera_c=CAMERA.c,
        )
    )
    sample.gt_instances = InstanceData(
        bboxes=np.array([[0, 0, SIZE, SIZE]], np.float32), bbox_scores=np.ones(1, np.float32)
    )
    sample.gt_instance_labels = InstanceData(
        **{key: torch.from_numpy(value) for key, value in encoded.items()}
    )
    return torch.from_numpy(picture).permute(2, 0, 1), sample, joints


@pytest.mark.slow
def test_eight_persons_are_learned_by_heart():
    """MPJPE below 25 mm within 300 iterations (predicting their mean pose: some 155 mm)."""
    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    inputs, samples, joints = zip(*(make_sample(rng) for _ in range(8)), strict=True)
    joints = np.stack(joints)
    with DefaultScope.overwrite_default_scope('mmpose'):
        model = MODELS.build(
            dict(
                type='TopdownPoseEstimator3D',
                data_preprocessor=dict(
                    type='PoseDataPreprocessor',
                    mean=[123.675, 116.28, 103.53],
                    std=[58.395, 57.12, 57.375],
                    bgr_to_rgb=True,
                ),
                backbone=dict(type='ResNet', depth=18),
                head=dict(
                    type='Integral3DHead',
                    in_channels=512,
                    out_channels=18,
                    heatmap_size=CELLS,
                    deconv_out_channels=(64, 64, 64),
                    logit_scale=30.0,
                    marginal_loss=dict(type='MarginalLoss', sigma=1.0),
                    decoder=CODEC,
                ),
            )
        )
        model.init_weights()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    wrapper = BFloat16OptimWrapper(optimizer=optimizer)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: min(1, (step + 1) / 30) * (1 + np.cos(np.pi * step / ITERATIONS)) / 2,
    )
    model.to(memory_format=torch.channels_last).train()
    for _ in range(ITERATIONS):
        model.train_step(dict(inputs=list(inputs), data_samples=list(samples)), wrapper)
        schedule.step()
    model.eval()
    answers = model.test_step(dict(inputs=list(inputs), data_samples=list(samples)))
    found = np.concatenate([answer.pred_instances.keypoints_cam for answer in answers])

    mean_pose = np.repeat((joints - joints[:, :1]).mean(0, keepdims=True), 8, axis=0)
    assert mpjpe(mean_pose, joints).mean() > 120
    assert mpjpe(found, joints).mean() < 25
