# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Turn a snapshot of 3DMPPE PoseNet (``snapshot_24.pth.tar``) into a checkpoint of this package.

The weights are taken as they are. They expect pictures scaled as PoseNet's code scales them, which
is not how new networks are trained here: test them with a config of ``configs/posenet_compat``.
"""

import argparse
import sys

from wsp_mm.utils.cli import TRUST_HELP


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description='Convert a 3DMPPE PoseNet snapshot into a checkpoint.'
    )
    parser.add_argument('snapshot', help='snapshot_N.pth.tar')
    parser.add_argument('out_file', help='checkpoint to write, e.g. posenet_h36m_r50.pth')
    parser.add_argument(
        '--depth-cells', type=int, default=64, help='layers of a volume; default: 64'
    )
    parser.add_argument(
        '--train-subjects',
        type=int,
        nargs='*',
        metavar='S',
        help="after the files: Human3.6M's subjects that it was trained on (--train-subjects alone: none), so "
        'that tests on them are refused; PoseNet counts its protocols the other way round: its 1 trains on '
        '1 5 6 7 8 9, its 2 on 1 5 6 7 8. Without, tests warn that this cannot be checked',
    )
    parser.add_argument('--trust-checkpoint', action='store_true', help=TRUST_HELP)
    return parser


def main() -> None:
    args = build_parser().parse_args()

    from wsp_mm.utils.checkpoint import CheckpointError, trust_checkpoints
    from wsp_mm.utils.posenet_weights import (
        CONFIGS,
        convert_snapshot,
        model_options,
        save_checkpoint,
    )

    if args.trust_checkpoint:
        trust_checkpoints()
    try:
        checkpoint = convert_snapshot(args.snapshot, args.depth_cells, args.train_subjects)
        save_checkpoint(checkpoint, args.out_file)
    except (CheckpointError, OSError, ValueError) as error:
        sys.exit(str(error))
    facts = checkpoint['meta']['posenet']
    print(
        f'{args.out_file}: ResNet-{facts["depth"]}, {facts["num_joints"]} joints ({facts["joint_set"]}), '
        f'volumes of {facts["depth_cells"]} layers, {len(checkpoint["state_dict"])} tensors, '
        f'snapshot epoch {facts["epoch"]}'
    )
    options = ' '.join(f'{key}="{value}"' for key, value in model_options(facts).items())
    print(f'Its config: {CONFIGS[facts["joint_set"]]} --cfg-options {options}')


if __name__ == '__main__':
    main()
