# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Snapshots of 3DMPPE PoseNet as checkpoints of :class:`TopdownPoseEstimator3D`.

A snapshot is ``{'epoch', 'network', 'optimizer'}``; ``network`` is the state of a
DataParallel-wrapped model with a torchvision-like ResNet under ``backbone.`` and deconvolutions and
a 1x1 convolution under ``head.``, which are the names of MMPose, too. Nothing of the snapshot says
how deep the network is or which joints it knows: both are read off the weights.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from wsp_mm.utils.checkpoint import load_file
from wsp_mm.utils.files import atomic_file

#: Blocks of layer1..4 and whether they have three convolutions (bottleneck) -> depth.
DEPTHS = {
    ((2, 2, 2, 2), False): 18,
    ((3, 4, 6, 3), False): 34,
    ((3, 4, 6, 3), True): 50,
    ((3, 4, 23, 3), True): 101,
    ((3, 8, 36, 3), True): 152,
}
#: Joints of the last layer -> joint set (wsp_mm.structures.keypoints).
JOINT_SETS = {18: 'h36m18', 21: 'muco21'}
#: Joint set -> config that tests such a network the way PoseNet does.
CONFIGS = {
    'h36m18': 'configs/posenet_compat/posenet_h36m_r50.py',
    'muco21': 'configs/posenet_compat/posenet_muco_r50.py',
}
_PARTS = ('backbone.', 'head.deconv_layers.', 'head.final_layer.')


class PoseNetSnapshotError(ValueError):
    """A file that is no snapshot of PoseNet; the message says what is wrong."""


def convert_snapshot(
    path: str | Path, depth_cells: int = 64, train_subjects: Sequence[int] | None = None
) -> dict[str, Any]:
    """Read a snapshot (``snapshot_24.pth.tar``) and return it as a checkpoint of ours.

    Args:
        path: the snapshot. It is read by :func:`wsp_mm.utils.checkpoint.load_file`: nothing in it
            is executed.
        depth_cells: D, layers of a joint's volume; 64 in PoseNet's code.
        train_subjects: Human3.6M's subjects that it was trained on, for
            :class:`wsp_mm.engine.train_subjects.TrainSubjectsHook`; None: not known.

    Returns:
        ``dict(state_dict=..., meta=...)``; ``meta['posenet']`` is what :func:`describe` returns,
        with the snapshot's ``epoch`` (its counter; the n-th epoch is n - 1) and ``file``.

    Raises:
        PoseNetSnapshotError: it is none, or not of a network that the head can hold.
        ValueError: a subject that Human3.6M has not.
        wsp_mm.utils.checkpoint.CheckpointError: it cannot be read without executing it, or at all.
    """
    from wsp_mm.datasets.h36m_sequences import check_subjects

    trained_on = {}
    if train_subjects is not None:
        trained_on['train_subjects'] = (
            list(check_subjects(train_subjects)) if train_subjects else []
        )
    snapshot = load_file(path, map_location='cpu')
    network = snapshot.get('network') if isinstance(snapshot, Mapping) else None
    if not isinstance(network, Mapping):
        has = (
            ', '.join(map(str, snapshot))
            if isinstance(snapshot, Mapping)
            else type(snapshot).__name__
        )
        raise PoseNetSnapshotError(
            f"{path} has no 'network' as PoseNet's snapshots do; it holds: {has}"
        )
    state = OrderedDict()
    for key, value in network.items():
        name = key.removeprefix('module.')
        if not name.startswith(_PARTS) or not isinstance(value, Tensor):
            raise PoseNetSnapshotError(
                f'{path}: {key!r} is not a weight of PoseNet ({", ".join(_PARTS)}...)'
            )
        state[name] = value.detach().clone()
    try:
        facts = describe(state, depth_cells)
    except PoseNetSnapshotError as error:
        raise PoseNetSnapshotError(f'{path}: {error}') from None
    epoch = snapshot.get('epoch')
    facts.update(file=Path(path).name, epoch=int(epoch) if epoch is not None else None)
    return dict(state_dict=state, meta=dict(posenet=facts, **trained_on))


def describe(state: Mapping[str, Tensor], depth_cells: int = 64) -> dict[str, Any]:
    """Read a network's shape off its weights.

    Returns:
        ``depth`` of the ResNet, ``num_joints``, ``joint_set``, ``depth_cells``, ``in_channels`` of
        the head and ``deconv_out_channels``.

    Raises:
        PoseNetSnapshotError: a ResNet, a head or a number of joints that PoseNet does not have.
    """
    blocks = tuple(
        len(
            {
                m.group(1)
                for key in state
                if (m := re.match(rf'backbone\.layer{stage}\.(\d+)\.', key))
            }
        )
        for stage in (1, 2, 3, 4)
    )
    bottleneck = 'backbone.layer1.0.conv3.weight' in state
    depth = DEPTHS.get((blocks, bottleneck))
    if depth is None:
        kind = 'three' if bottleneck else 'two'
        raise PoseNetSnapshotError(f'no ResNet has {blocks} blocks of {kind} convolutions')
    deconvs = [
        state[key] for key in sorted(k for k in state if re.match(r'head\.deconv_layers\.\d+\.weight$', k))
        if state[key].dim() == 4
    ]  # fmt: skip
    final = state.get('head.final_layer.weight')
    if not deconvs or final is None or final.dim() != 4:
        raise PoseNetSnapshotError('the head has no deconvolutions or no final layer')
    joints, rest = divmod(final.shape[0], depth_cells)
    if rest or joints not in JOINT_SETS:
        known = ', '.join(f'{n} ({name})' for n, name in JOINT_SETS.items())
        raise PoseNetSnapshotError(
            f'the last layer has {final.shape[0]} channels, {final.shape[0] / depth_cells:g} joints of '
            f'{depth_cells} layers; known are {known}'
        )
    return dict(
        depth=depth,
        num_joints=joints,
        joint_set=JOINT_SETS[joints],
        depth_cells=depth_cells,
        in_channels=deconvs[0].shape[0],
        deconv_out_channels=[weight.shape[1] for weight in deconvs],
    )


def save_checkpoint(checkpoint: Mapping[str, Any], path: str | Path) -> None:
    """Write a checkpoint so that a killed run leaves no half file under its name."""
    with atomic_file(path) as file:
        torch.save(dict(checkpoint), file)


def model_options(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of ``configs/posenet_compat`` that a snapshot's network needs: dotted name ->
    value.
    """
    size = (64, 64, facts['depth_cells'])
    return {
        'model.backbone.depth': facts['depth'],
        'model.head.in_channels': facts['in_channels'],
        'model.head.out_channels': facts['num_joints'],
        'model.head.heatmap_size': size,
        'model.head.decoder.heatmap_size': size,
        'model.head.deconv_out_channels': tuple(facts['deconv_out_channels']),
    }
