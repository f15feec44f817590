# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""The reference beside every 3D figure: predict the mean training pose for everybody."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from wsp_mm.evaluation.functional import pose3d_scores
from wsp_mm.evaluation.functional.mpjpe import mean_pose_predictions
from wsp_mm.evaluation.functional.pose3d import evaluated_joints


def pose3d_datasets(node: Any) -> Iterator[dict]:
    """Every configuration of a 3D data set below ``node``, at any depth."""
    from mmpose.registry import DATASETS

    from wsp_mm.datasets.pose3d import Pose3DDataset

    if isinstance(node, Mapping):
        cls = DATASETS.get(node['type']) if isinstance(node.get('type'), str) else None
        if cls is not None and issubclass(cls, Pose3DDataset):
            yield dict(node)
            return
        for value in node.values():
            yield from pose3d_datasets(value)
    elif isinstance(node, (list, tuple)):
        for value in node:
            yield from pose3d_datasets(value)


def load_truth(node: Any) -> tuple[np.ndarray, list[str | None], str]:
    """Poses of every sample of the 3D data sets in a configuration node; no picture is opened.

    Returns:
        (M, K, 3) mm camera frame, the action of each (None where it has none), and the joint set.

    Raises:
        ValueError: there is no 3D data set, or there are several with different joints.
    """
    from mmpose.registry import DATASETS

    poses, actions, joint_sets = [], [], set()
    for config in pose3d_datasets(node):
        dataset = DATASETS.build({**config, 'pipeline': []})
        joint_sets.add(dataset.joint_set)
        for i in range(len(dataset)):
            sample = dataset.get_data_info(i)
            poses.append(sample['keypoints_cam'][0])
            actions.append(sample.get('action'))
    if len(joint_sets) != 1:
        raise ValueError(
            f'one joint set is needed for a mean pose, the configuration has {sorted(joint_sets)}'
        )
    return np.asarray(poses, dtype=np.float64), actions, joint_sets.pop()


def mean_pose_reference(config: Any, prefix: str | None = None) -> dict[str, float | int]:
    """Scores of the mean root-relative pose of a config's training samples on its test samples.

    The mean is taken in the camera frame over every 3D training sample, as the network sees them
    (the same subjects, actions and frames, without augmentation); 2D data sets have no say in it.
    Flat scores under the keys of ``MPJPEMetric3D``, and ``n_train``.

    Args:
        config: an mmengine.Config.
        prefix: of the keys; None: the joint set's name without its number, as the metric has it.

    Raises:
        ValueError: the config has no 3D data set for training or for testing, or their joints
            differ.
    """
    train, _, joint_set = load_truth(config.train_dataloader)
    gt, actions, test_set = load_truth(config.test_dataloader)
    if joint_set != test_set:
        raise ValueError(
            f'trained on {joint_set}, tested on {test_set}: their poses cannot be compared'
        )
    _, root = evaluated_joints(joint_set)
    known = all(action is not None for action in actions)
    scores = pose3d_scores(
        mean_pose_predictions(train, gt, root), gt, joint_set, actions if known else None
    )
    prefix = joint_set.rstrip('0123456789') if prefix is None else prefix
    return {f'{prefix}/{key}': value for key, value in {**scores, 'n_train': len(train)}.items()}
