# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Where everybody's root joint is: boxes and cameras to a bbox_root json, as MuPoTSDataset reads
it.

    python tools/predict_roots.py CONFIG CHECKPOINT --boxes BOXES --ann MuPoTS-3D.json --images DIR
    --out OUT python tools/predict_roots.py --k-value --gt --ann MuPoTS-3D.json --out OUT

With --k-value no network is asked: the root is the box's centre, as far away as the box's size says
(gamma = 1).
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from wsp_mm.utils.cli import add_cfg_options


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        'config', nargs='?', help='configuration of a root network, e.g. configs/root_muco_r50.py'
    )
    parser.add_argument('checkpoint', nargs='?', help='its checkpoint')
    parser.add_argument('--k-value', action='store_true', help='no network: gamma = 1')
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument(
        '--boxes', type=Path, help='boxes of tools/detect_persons.py, or a COCO list of results'
    )
    which.add_argument('--gt', action='store_true', help='boxes of the valid persons of --ann')
    parser.add_argument(
        '--ann',
        type=Path,
        help="json with the pictures' cameras: MuPoTS-3D.json (intrinsic), MuCo-3DHP.json (f, c)",
    )
    parser.add_argument(
        '--images', type=Path, help='folder that the file names of the pictures are relative to'
    )
    parser.add_argument(
        '--focal',
        type=float,
        nargs='+',
        metavar='PX',
        help='focal length (one or fx fy) of pictures without a camera',
    )
    parser.add_argument(
        '--principal-point',
        nargs='+',
        metavar='PX',
        help="cx cy of the same pictures, or the word 'centre'",
    )
    parser.add_argument('--out', type=Path, required=True, help='the bbox_root json')
    parser.add_argument(
        '--batch-size', type=int, default=32, help='persons at a time (default: %(default)s)'
    )
    parser.add_argument(
        '--device', default='auto', help='auto (a GPU where there is one), cpu, cuda:1, ...'
    )
    add_cfg_options(parser, 'override settings of the config')
    parser.add_argument(
        '--trust-checkpoint', action='store_true',
        help='load checkpoints that hold more than weights and plain values; this executes code in them',
    )  # fmt: skip
    return parser


def check(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Contradictions, before anything is read."""
    if args.k_value and args.config is not None:
        parser.error('--k-value asks no network: leave out CONFIG and CHECKPOINT')
    if not args.k_value and args.checkpoint is None:
        parser.error('give CONFIG and CHECKPOINT, or --k-value')
    if not args.k_value and args.images is None:
        parser.error('a network looks at the pictures: give --images')
    if args.k_value and (args.cfg_options or args.trust_checkpoint):
        parser.error('--cfg-options and --trust-checkpoint are for a network')
    if args.gt and args.ann is None:
        parser.error('--gt takes the boxes of --ann')
    if args.batch_size < 1:
        parser.error(f'--batch-size must be at least 1, got {args.batch_size}')
    if (args.focal is None) != (args.principal_point is None):
        parser.error('--focal and --principal-point belong together')
    if args.focal is not None:
        if len(args.focal) > 2 or min(args.focal) <= 0:
            parser.error(f'--focal takes one or two positive numbers (px), got {args.focal}')
        args.focal = (args.focal * 2)[:2]
        words = args.principal_point
        if words in (['centre'], ['center']):
            args.principal_point = 'centre'
        else:
            try:
                cx, cy = map(float, words)
            except ValueError:
                parser.error(
                    f"--principal-point takes cx cy (px) or 'centre', got {' '.join(words)}"
                )
            args.principal_point = (cx, cy)


def main(argv: list[str] | None = None) -> int:
    parser = build_parser()
    args = parser.parse_args(argv)
    check(parser, args)
    config = None
    if not args.k_value:
        from wsp_mm.utils.cli import config_from_args, require_checkpoint

        config = config_from_args(parser, args)
        require_checkpoint(parser, args.checkpoint)
    from wsp_mm.utils.checkpoint import CheckpointError, trust_checkpoints

    if args.trust_checkpoint:
        trust_checkpoints()
    try:
        run(args, config)
    except (CheckpointError, OSError, ValueError) as error:
        print(f'predict_roots: {error}', file=sys.stderr)
        return 1
    return 0


def run(args: argparse.Namespace, config) -> None:
    """Read, predict, write, and say what was done."""
    from wsp_mm.apis.root_depth import RootDepthNetwork, predict_roots
    from wsp_mm.apis.root_inputs import gather_persons, read_pictures
    from wsp_mm.datasets.box_files import read_boxes

    pictures, truth = read_pictures(args.ann) if args.ann is not None else (None, None)
    boxes = truth if args.gt else read_boxes(args.boxes)
    network, how = None, {}
    if config is not None:
        network = RootDepthNetwork(config, args.checkpoint, args.device)
        how = {name: network.box[name] for name in ('padding', 'aspect') if name in network.box}
    persons, skipped = gather_persons(
        boxes, pictures, args.images, args.focal, args.principal_point, **how
    )
    start = time.monotonic()
    done = predict_roots(
        persons, args.out, network, args.images, args.batch_size, sys.stderr.isatty()
    )
    seconds = time.monotonic() - start
    print(
        f'{args.out}: roots of {done.persons:,} persons in {done.pictures:,} pictures '
        f'{"by the k-value" if network is None else "by the network"}, '
        f'{done.persons / max(seconds, 1e-9):,.0f} persons/s'
    )
    for count, what in (
        (skipped, 'boxes of which nothing lies within the picture were left out'),
        (
            done.behind,
            'persons were put behind the camera by the network and got the k-value instead',
        ),
    ):
        if count:
            print(f'{count:,} {what}', file=sys.stderr)


if __name__ == '__main__':
    sys.exit(main())
