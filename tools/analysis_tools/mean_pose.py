# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""What a config's test gives when everybody gets the mean training pose: what a network must beat.

Reads annotations only. Prints the tables of `tools/test.py`.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from wsp_mm.utils.cli import add_cfg_options


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument('config', help='configuration file with 3D training and test data')
    parser.add_argument(
        '--out', type=Path, help='also write all figures to this json, under the metric keys'
    )
    add_cfg_options(parser)
    return parser


def pose3d_datasets(node: Any) -> Iterator[dict]:
    """Every configuration of a 3D data set below ``node``, at any depth."""
    from mmpose.registry import DATASETS

    from wsp_mm.datasets.pose3d import Pose3DDataset

    if isinstance(node, Mapping):
        cls = DATASETS.get(node['type']) if isinstance(node.get('type'), str) else None
        if cls is not None and issubclass(cls, Pose3DDataset):
            yield dict(node)
            return
        node = list(node.values())
    if isinstance(node, (list, tuple)):
        for value in node:
            yield from pose3d_datasets(value)


def load_poses(node: Any) -> tuple[np.ndarray, list[str | None], str]:
    """Poses of every sample of the 3D data sets in a configuration node; no image is opened.

    Returns:
        (M, K, 3) mm camera frame, the action of each (None where it has none), and the joint set.

    Raises:
        ValueError: there is no 3D data set, or there are several with different joints.
    """
    from mmpose.registry import DATASETS

    datasets = [DATASETS.build({**cfg, 'pipeline': []}) for cfg in pose3d_datasets(node)]
    joint_sets = sorted({dataset.joint_set for dataset in datasets})
    if len(joint_sets) != 1:
        raise ValueError(f'one joint set is needed for a mean pose, the config has {joint_sets}')
    samples = [dataset.get_data_info(i) for dataset in datasets for i in range(len(dataset))]
    poses = np.array([sample['keypoints_cam'][0] for sample in samples], dtype=np.float64)
    return poses, [sample.get('action') for sample in samples], joint_sets[0]


def mean_pose_scores(config: Any) -> dict[str, float | int]:
    """Scores of the mean root-relative pose of a config's training samples on its test samples.

    The mean is taken in the camera frame over every 3D training sample, as the network sees them
    (the same subjects, actions and frames, without augmentation); 2D data sets have no say in it.
    Flat scores under the keys of ``MPJPEMetric3D``, and ``n_train``.

    Args:
        config: an mmengine.Config.

    Raises:
        ValueError: the config has no 3D data set for training or for testing, or their joints
            differ.
    """
    from wsp_mm.evaluation.functional import mean_pose, pose3d_scores
    from wsp_mm.evaluation.functional.pose3d import evaluated_joints

    train, _, joint_set = load_poses(config.train_dataloader)
    gt, actions, test_set = load_poses(config.test_dataloader)
    if joint_set != test_set:
        raise ValueError(f'trained on {joint_set}, tested on {test_set}: the joints differ')
    _, root = evaluated_joints(joint_set)
    pred = mean_pose(train, root) + gt[:, root : root + 1]
    scores = pose3d_scores(pred, gt, joint_set, None if None in actions else actions)
    prefix = joint_set.rstrip('0123456789')
    return {f'{prefix}/{key}': value for key, value in {**scores, 'n_train': len(train)}.items()}


def main(argv: list[str] | None = None) -> int:
    parser = build_parser()
    args = parser.parse_args(argv)

    from wsp_mm.utils.cli import config_from_args

    config = config_from_args(parser, args)
    from mmengine.registry import DefaultScope

    import wsp_mm.register  # noqa: F401
    from wsp_mm.evaluation.tables import pose3d_summary, without_prefix
    from wsp_mm.utils.files import dump_json

    try:
        with DefaultScope.overwrite_default_scope('mmpose'):
            scores = mean_pose_scores(config)
    except (OSError, ValueError) as error:
        print(f'mean_pose: {error}', file=sys.stderr)
        return 1
    figures = without_prefix(scores, next(iter(scores)).partition('/')[0] + '/')
    print(f'Mean of {figures["n_train"]} training poses\n{pose3d_summary(figures)}')
    if args.out is not None:
        dump_json(args.out, scores)
    return 0


if __name__ == '__main__':
    sys.exit(main())
