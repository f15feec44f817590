# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Turn a snapshot of 3DMPPE PoseNet (``snapshot_24.pth.tar``) into a checkpoint of this package.

A snapshot is ``{'epoch', 'network', 'optimizer'}``; ``network`` is the state of a
DataParallel-wrapped model with a torchvision-like ResNet under ``backbone.`` and deconvolutions and
a 1x1 convolution under ``head.``, which are the names of MMPose, too. Nothing of the snapshot says
how deep the network is or which joints it knows: both are read off the weights.

The weights are taken as they are. They expect images scaled as PoseNet's code scales them, which is
not how new networks are trained here: test them with a config of ``configs/posenet_compat``.
"""

import argparse
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from wsp_mm.utils.cli import TRUST_HELP

#: Blocks of layer1..4 and whether they have three convolutions (bottleneck) -> depth.
DEPTHS = {
    ((2, 2, 2, 2), False): 18,
    ((3, 4, 6, 3), False): 34,
    ((3, 4, 6, 3), True): 50,
    ((3, 4, 23, 3), True): 101,
    ((3, 8, 36, 3), True): 152,
}
#: Joints of the last layer -> joint set, and the config that tests such a network as PoseNet does.
JOINT_SETS = {
    18: ('h36m18', 'configs/posenet_compat/posenet_h36m_r50.py'),
    21: ('muco21', 'configs/posenet_compat/posenet_muco_r50.py'),
}
_PARTS = ('backbone.', 'head.deconv_layers.', 'head.final_layer.')


def convert_snapshot(
    path: str | Path, depth_layers: int = 64, train_subjects: Sequence[int] | None = None
) -> dict[str, Any]:
    """Read a snapshot and return it as a checkpoint of :class:`TopdownPoseEstimator3D`.

    Args:
        path: the snapshot. :func:`wsp_mm.utils.checkpoint.load_file` reads it: nothing in it is
            executed.
        depth_layers: D, layers of a joint's volume; 64 in PoseNet's code.
        train_subjects: Human3.6M's subjects that it was trained on, for ``TrainSubjectsHook``;
            None: not known.

    Returns:
        ``dict(state_dict=..., meta=...)``; ``meta['posenet']`` is what :func:`describe` returns,
        with the snapshot's ``epoch`` (its counter; the n-th epoch is n - 1) and ``file``.

    Raises:
        ValueError: it is no snapshot, its network is none that the head can hold, or Human3.6M has
            no such subject.
        wsp_mm.utils.checkpoint.CheckpointError: it cannot be read without executing it, or at all.
    """
    from wsp_mm.structures.h36m import check_subjects
    from wsp_mm.utils.checkpoint import load_file

    snapshot = load_file(path, map_location='cpu')
    network = snapshot.get('network') if isinstance(snapshot, Mapping) else None
    if not isinstance(network, Mapping):
        raise ValueError(f"{path} has no 'network' as PoseNet's snapshots do")
    state = {key.removeprefix('module.'): value for key, value in network.items()}
    foreign = [key for key in state if not key.startswith(_PARTS)]
    if foreign:
        raise ValueError(f'{path}: {foreign[0]} is no weight of PoseNet ({", ".join(_PARTS)}...)')
    try:
        facts = describe(state, depth_layers)
    except ValueError as error:
        raise ValueError(f'{path}: {error}') from None
    meta = dict(posenet=dict(facts, file=Path(path).name, epoch=snapshot.get('epoch')))
    if train_subjects is not None:
        meta['train_subjects'] = list(check_subjects(train_subjects)) if train_subjects else []
    return dict(state_dict=state, meta=meta)


def describe(state: Mapping[str, Any], depth_layers: int = 64) -> dict[str, Any]:
    """Read a network's shape off its weights.

    Args:
        state: name -> tensor.
        depth_layers: D, layers of a joint's volume.

    Returns:
        ``depth`` of the ResNet, ``num_joints``, ``joint_set``, ``config``, ``depth_layers``,
        ``in_channels`` of the head and ``deconv_out_channels``.

    Raises:
        ValueError: a ResNet, a head or a number of joints that PoseNet does not have.
    """
    names = [re.match(r'backbone\.layer(\d)\.(\d+)\.', key) for key in state]
    found = {match.groups() for match in names if match}
    blocks = tuple(sum(layer == number for layer, _ in found) for number in '1234')
    bottleneck = 'backbone.layer1.0.conv3.weight' in state
    if (blocks, bottleneck) not in DEPTHS:
        kind = 'three' if bottleneck else 'two'
        raise ValueError(f'no ResNet has {blocks} blocks of {kind} convolutions')
    deconvs = [state.get(f'head.deconv_layers.{3 * i}.weight') for i in range(3)]
    final = state.get('head.final_layer.weight')
    if any(weight is None or weight.dim() != 4 for weight in (*deconvs, final)):
        raise ValueError('the head has no three deconvolutions or no final layer')
    joints, rest = divmod(final.shape[0], depth_layers)
    if rest or joints not in JOINT_SETS:
        known = ', '.join(f'{number} ({name})' for number, (name, _) in JOINT_SETS.items())
        raise ValueError(
            f'the last layer has {final.shape[0]} channels, {final.shape[0] / depth_layers:g} '
            f'joints of {depth_layers} layers; known are {known}'
        )
    joint_set, config = JOINT_SETS[joints]
    return dict(
        depth=DEPTHS[blocks, bottleneck], num_joints=joints, joint_set=joint_set, config=config,
        depth_layers=depth_layers, in_channels=deconvs[0].shape[0],
        deconv_out_channels=[weight.shape[1] for weight in deconvs],
    )  # fmt: skip


def model_options(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of its config that a network needs: dotted name -> value."""
    size = (64, 64, facts['depth_layers'])
    return {
        'model.backbone.depth': facts['depth'],
        'model.head.in_channels': facts['in_channels'],
        'model.head.out_channels': facts['num_joints'],
        'model.head.decoder.heatmap_size': size,
        'model.head.deconv_out_channels': tuple(facts['deconv_out_channels']),
    }


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description='Convert a 3DMPPE PoseNet snapshot into a checkpoint.'
    )
    add = parser.add_argument
    add('snapshot', help='snapshot_N.pth.tar')
    add('out_file', help='checkpoint to write, e.g. posenet_h36m_r50.pth')
    add('--depth-layers', type=int, default=64, help='layers of a volume; default: 64')
    add(
        '--train-subjects', type=int, nargs='*', metavar='S',
        help="after the files: Human3.6M's subjects that it was trained on (--train-subjects "
        'alone: none), so that tests on them are refused; PoseNet counts its protocols the other '
        'way round: its 1 trains on 1 5 6 7 8 9, its 2 on 1 5 6 7 8. Without, tests warn that this '
        'cannot be checked',
    )  # fmt: skip
    add('--trust-checkpoint', action='store_true', help=TRUST_HELP)
    return parser


def main() -> None:
    args = build_parser().parse_args()

    import torch

    from wsp_mm.utils.checkpoint import CheckpointError, trust_checkpoints
    from wsp_mm.utils.files import atomic_file

    if args.trust_checkpoint:
        trust_checkpoints()
    try:
        checkpoint = convert_snapshot(args.snapshot, args.depth_layers, args.train_subjects)
        with atomic_file(args.out_file) as file:
            torch.save(checkpoint, file)
    except (CheckpointError, OSError, ValueError) as error:
        sys.exit(str(error))
    facts = checkpoint['meta']['posenet']
    print(
        f'{args.out_file}: ResNet-{facts["depth"]}, {facts["num_joints"]} joints '
        f'({facts["joint_set"]}), volumes of {facts["depth_layers"]} layers, '
        f'{len(checkpoint["state_dict"])} tensors, snapshot epoch {facts["epoch"]}'
    )
    options = ' '.join(f'{key}="{value}"' for key, value in model_options(facts).items())
    print(f'Its config: {facts["config"]} --cfg-options {options}')


if __name__ == '__main__':
    main()
