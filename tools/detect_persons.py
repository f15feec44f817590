# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Detect the persons in images with any mmdet model, into the json that data sets and tools read.

    python tools/detect_persons.py configs/detectors/rtmdet_m_person.py rtmdet_m.pth \\
        --images photos --out boxes.json
    python tools/detect_persons.py configs/detectors/rtmdet_m_person.py rtmdet_m.pth \\
        --ann data/mupots/MuPoTS-3D.json --img-root data/mupots/MultiPersonTestSet --out boxes.json

The configuration may be one of mmdet's own: the class is picked by its name from those of the
model. Boxes are tight (`box_convention: raw`), x, y, w, h px. A run that was stopped goes on with
--resume.
"""

import argparse
import sys

from wsp_mm.utils.cli import TRUST_HELP, add_cfg_options, config_from_args, printable


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add('config', metavar='DET_CONFIG', help="a detector's configuration file")
    add('checkpoint', metavar='DET_CKPT', help='its weights: a path or a URL')
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        '--images', metavar='DIR', help='all images in this folder and the folders in it'
    )
    source.add_argument(
        '--ann', metavar='JSON', help='the images that this file lists (COCO style)'
    )
    add('--img-root', metavar='DIR', help='folder that the file names in --ann start from')
    add('--out', required=True, metavar='JSON', help='file for the boxes')
    add(
        '--score-thr', type=float, default=0.3, metavar='S',
        help='leave out boxes below this score (default: %(default)s)',
    )  # fmt: skip
    add(
        '--class-name', default='person', metavar='NAME',
        help="the model's class to keep (default: %(default)s)",
    )  # fmt: skip
    images = 'images at once (default: %(default)s)'
    add('--batch-size', type=int, default=8, metavar='N', help=images)
    add('--device', default='auto', help='cpu, cuda:0, ... (default: a GPU where there is one)')
    add('--resume', action='store_true', help='continue a stopped run')
    add('--skip-bad', action='store_true', help='skip, count and list images that cannot be read')
    add('--quiet', action='store_true', help='no progress bar and no summary')
    add_cfg_options(parser, 'override settings of the configuration')
    add('--trust-checkpoint', action='store_true', help=TRUST_HELP)
    return parser


def main(argv: list[str] | None = None) -> int:
    parser = build_parser()
    args = parser.parse_args(argv)
    if (args.ann is None) != (args.img_root is None):
        parser.error('--ann and --img-root go together')
    config = config_from_args(parser, args)
    from wsp_mm.apis.boxes import detect_persons, images_of_folder, read_annotations
    from wsp_mm.apis.detector import PersonDetector
    from wsp_mm.utils.checkpoint import CheckpointError

    try:
        if args.images is not None:
            images, root = images_of_folder(args.images), args.images
        else:
            images, root = list(read_annotations(args.ann)[0].values()), args.img_root
        detector = PersonDetector(
            config, args.checkpoint, args.device, args.score_thr, args.class_name, args.batch_size,
            trust=args.trust_checkpoint or None,
        )  # fmt: skip
        done = detect_persons(
            detector, images, root, args.out, args.batch_size, args.resume, args.skip_bad,
            progress=not args.quiet,
        )  # fmt: skip
    except (CheckpointError, OSError, ValueError) as error:
        print(f'detect_persons: {printable(error)}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print('\ndetect_persons: stopped; the same command with --resume goes on', file=sys.stderr)
        return 130
    for entry in done.info['skipped']:
        text = printable(f'{entry["file_name"]}: {entry["why"]}')
        print(f'detect_persons: skipped {text}', file=sys.stderr)
    for note in done.info.get('notes', ()):
        print(f'detect_persons: note: {printable(note)}', file=sys.stderr)
    if not args.quiet:
        empty = sum(not len(scores) for scores in done.scores.values())
        print(
            f'{len(done)} persons in {len(done.images)} images, none in {empty} of them: '
            + printable(args.out)
        )
    return 0


if __name__ == '__main__':
    sys.exit(main())
