#!/usr/bin/env python
# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Detect the persons in pictures with any mmdet model, into the json that top-down data sets and
tools read.

Example: python tools/detect_persons.py configs/detectors/rtmdet_m_person.py rtmdet_m.pth --images
    photos \
        --out boxes.json
    python tools/detect_persons.py configs/detectors/rtmdet_m_person.py rtmdet_m.pth --out
        boxes.json \\ --ann data/mupots/MuPoTS-3D.json --img-root data/mupots/MultiPersonTestSet

The configuration may be one of mmdet's own: the class is picked by its name from those of the
model. Boxes are tight (`box_convention: raw`), x, y, w, h px. A run that was stopped goes on with
--resume.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from wsp_mm.utils.cli import TRUST_HELP, add_cfg_options


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument('config', metavar='DET_CONFIG', help="a detector's configuration file")
    parser.add_argument('checkpoint', metavar='DET_CKPT', help='its weights: a path or a URL')
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        '--images', metavar='DIR', help='all pictures in this folder and the folders in it'
    )
    source.add_argument(
        '--ann', metavar='JSON', help='the pictures that this file lists (COCO style)'
    )
    parser.add_argument(
        '--img-root', metavar='DIR', help='folder that the file names in --ann start from'
    )
    parser.add_argument('--out', required=True, metavar='JSON', help='file for the boxes')
    parser.add_argument(
        '--score-thr',
        type=float,
        default=0.3,
        metavar='S',
        help='leave out boxes below this score (default: 0.3)',
    )
    parser.add_argument(
        '--class-name',
        default='person',
        metavar='NAME',
        help="the model's class to keep (default: person)",
    )
    parser.add_argument('--batch-size', type=int, default=8, help='pictures at once (default: 8)')
    parser.add_argument(
        '--device', default='auto', help='cpu, cuda:0, ... (default: a GPU where there is one)'
    )
    parser.add_argument(
        '--workers', type=int, default=2, help='threads that read pictures (default: 2)'
    )
    parser.add_argument('--resume', action='store_true', help='go on from what a stopped run left')
    parser.add_argument(
        '--skip-bad', action='store_true', help='skip, count and list pictures that cannot be read'
    )
    parser.add_argument('--quiet', action='store_true', help='no progress bar and no summary')
    add_cfg_options(parser, 'override settings of the configuration')
    parser.add_argument('--trust-checkpoint', action='store_true', help=TRUST_HELP)
    return parser


def main(argv: list[str] | None = None) -> int:
    parser = build_parser()
    args = parser.parse_args(argv)
    if (args.ann is None) != (args.img_root is None):
        parser.error('--ann and --img-root go together')
    if not 0 <= args.score_thr < 1:
        parser.error(f'--score-thr {args.score_thr}: must be at least 0 and below 1')
    if args.batch_size < 1 or args.workers < 1:
        parser.error('--batch-size and --workers must be at least 1')

    from wsp_mm.apis.detection_run import (
        PARTIAL,
        detect_persons,
        pictures_of_annotations,
        pictures_of_folder,
    )
    from wsp_mm.datasets.converters.mcpc.records import BadDataError

    try:  # what is quickly seen to be wrong comes first
        pictures = (
            pictures_of_folder(args.images)
            if args.images
            else pictures_of_annotations(args.ann, args.img_root)
        )
    except BadDataError as error:
        return _failed(error)
    if not args.resume and Path(args.out + PARTIAL).exists():
        print(
            f'detect_persons: starts anew; --resume would go on from {args.out}{PARTIAL}',
            file=sys.stderr,
        )

    from wsp_mm.utils.cli import config_from_args, require_checkpoint

    require_checkpoint(parser, args.checkpoint)
    cfg = config_from_args(parser, args)

    from wsp_mm.apis.detection import PersonDetector
    from wsp_mm.utils.checkpoint import CheckpointError, trust_checkpoints

    if args.trust_checkpoint:
        trust_checkpoints()
    try:
        detector = PersonDetector(
            cfg, args.checkpoint, args.device, args.score_thr, args.class_name, args.batch_size
        )
        run = detect_persons(
            detector, pictures, args.out, args.batch_size, args.resume, args.skip_bad,
            progress=not args.quiet, readers=args.workers,
        )  # fmt: skip
    except (CheckpointError, OSError, ValueError) as error:
        return _failed(error)
    except KeyboardInterrupt:
        print('\ndetect_persons: stopped; the same command with --resume goes on', file=sys.stderr)
        return 130
    for error in run.bad:
        print(f'detect_persons: skipped {error}', file=sys.stderr)
    if not args.quiet:
        taken = f' ({run.resumed} from the run before)' if run.resumed else ''
        print(
            f'{run.persons} persons in {run.pictures} pictures{taken}, none in {run.without_persons} of them, '
            f'{len(run.bad)} bad pictures skipped; wrote {args.out}'
        )
    return 0


def _failed(error: Exception) -> int:
    print(f'detect_persons: {error}', file=sys.stderr)
    return 1


if __name__ == '__main__':
    sys.exit(main())
