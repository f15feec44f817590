# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Eight drawn persons are learned by heart, with the settings that short trainings use."""

import cv2
import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData
from mmpose.registry import MODELS
from mmpose.structures import PoseDataSample

from wsp_mm.codecs.integral_3d import Integral3DLabel
from wsp_mm.engine.optim import BFloat16OptimWrapper
from wsp_mm.evaluation.functional.mpjpe import mpjpe
from wsp_mm.structures.camera import PinholeCamera
from wsp_mm.structures.keypoints import get_joint_set

SIDE, HEATMAP = 128, (32, 32, 32)
CAMERA = PinholeCamera(f=(600.0, 600.0), c=(SIDE / 2, SIDE / 2))
ROOT_DEPTH = 7500.0
ITERATIONS = 300

# Somebody who stands, in the order of h36m18: x to the person's left, y down, z to the back, mm.
STANDING = np.array(
    [
        (0, 0, 0), (-130, 0, 0), (-140, 440, 0), (-140, 880, 0), (130, 0, 0), (140, 440, 0),
        (140, 880, 0), (0, -230, 0), (0, -480, 0), (0, -560, -60), (0, -680, 0), (160, -450, 0),
        (240, -190, 0), (260, 50, -60), (-160, -450, 0), (-240, -190, 0), (-260, 50, -60),
        (0, -450, 0),
    ],
    dtype=float,
)  # fmt: skip


def draw_person(rng):
    """Return an image and the joints of a figure of colored sticks, in the camera's frame, mm.

    It stands, turned anyhow about the vertical, each joint pushed about. Thickness and brightness
    of a stick follow its depth, as perspective and light would have it.
    """
    joint_set = get_joint_set('h36m18')
    angle = rng.uniform(-np.pi, np.pi)
    sin, cos = np.sin(angle), np.cos(angle)
    joints = 0.8 * (STANDING + rng.normal(0, 80, STANDING.shape))
    joints = joints @ np.array([[cos, 0, -sin], [0, 1, 0], [sin, 0, cos]])
    joints[:, 2] += ROOT_DEPTH
    image, pixels = np.full((SIDE, SIDE, 3), 40, np.uint8), CAMERA.project(joints)
    links = [tuple(map(joint_set.joints.index, link)) for link in joint_set.links]
    for number in sorted(range(len(links)), key=lambda i: -joints[list(links[i]), 2].sum()):
        a, b = links[number]
        color = np.array([37, 91, 151]) * number % 200 + 55
        depth = (joints[a, 2] + joints[b, 2]) / 2 - ROOT_DEPTH
        color = np.clip(color * (1 - depth / 1500), 0, 255).tolist()
        ends = [tuple(round(v * 16) for v in pixels[joint, :2]) for joint in (a, b)]
        cv2.line(image, *ends, color, max(1, round(4 - depth / 300)), cv2.LINE_AA, 4)
    return image, joints


def make_sample(rng):
    image, joints = draw_person(rng)
    keypoints = CAMERA.project(joints)
    keypoints[:, 2] -= joints[0, 2]
    encoded = Integral3DLabel((SIDE, SIDE), HEATMAP).encode(keypoints[None])
    crop = dict(input_size=(SIDE, SIDE), input_center=[SIDE / 2] * 2, input_scale=[SIDE] * 2)
    meta = dict(crop, root_depth=joints[:1, 2], camera_f=CAMERA.f, camera_c=CAMERA.c)
    sample = PoseDataSample(metainfo={key: np.array(value) for key, value in meta.items()})
    sample.gt_instances = InstanceData(bboxes=np.zeros((1, 4)), bbox_scores=np.ones(1))
    sample.gt_instance_labels = InstanceData(
        **{key: torch.from_numpy(value) for key, value in encoded.items()}
    )
    return torch.from_numpy(image).permute(2, 0, 1), sample, joints


@pytest.mark.slow
def test_eight_persons_are_learned_by_heart():
    """MPJPE below 25 mm within 300 iterations (predicting their mean pose: some 155 mm)."""
    rng = np.random.default_rng(0)
    inputs, samples, joints = zip(*(make_sample(rng) for _ in range(8)), strict=True)
    joints = np.stack(joints)
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
                deconv_out_channels=(64, 64, 64),
                logit_scale=30.0,
                marginal_loss=dict(type='MarginalLoss', sigma=1.0),
                decoder=dict(type='Integral3DLabel', input_size=(SIDE, SIDE), heatmap_size=HEATMAP),
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
    answers = model.eval().test_step(dict(inputs=list(inputs), data_samples=list(samples)))
    found = np.concatenate([answer.pred_instances.keypoints_cam for answer in answers])

    mean_pose = np.repeat((joints - joints[:, :1]).mean(0, keepdims=True), 8, axis=0)
    assert mpjpe(mean_pose, joints).mean() > 120
    assert mpjpe(found, joints).mean() < 25
