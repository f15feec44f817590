# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Predict root joints: boxes and cameras to a bbox_root json, as MuPoTSDataset reads it.

    python tools/predict_roots.py CONFIG CHECKPOINT --boxes BOXES \\
        --ann MuPoTS-3D.json --images DIR --out OUT
    python tools/predict_roots.py --k-value --gt --ann MuPoTS-3D.json --out OUT

With --k-value no network is needed: the root is the box's centre, as far away as the box's size
says (gamma = 1).
"""

import argparse
import sys
from pathlib import Path

from wsp_mm.utils.cli import (
    TRUST_HELP,
    add_camera_arguments,
    add_cfg_options,
    config_from_args,
    printable,
)


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add('config', nargs='?', help='configuration of a root network, e.g. configs/root_muco_r50.py')
    add('checkpoint', nargs='?', help='its checkpoint')
    add('--k-value', action='store_true', help='no network: gamma = 1')
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument('--boxes', help='boxes of tools/detect_persons.py, or COCO results')
    which.add_argument('--gt', action='store_true', help='boxes of the valid persons of --ann')
    add(
        '--ann',
        help="json with the images' cameras: MuPoTS-3D.json (intrinsic), MuCo-3DHP.json (f, c)",
    )
    add('--images', type=Path, help='folder that the file names of the images are relative to')
    add_camera_arguments(parser)
    add('--out', type=Path, required=True, help='the bbox_root json')
    add('--batch-size', type=int, default=32, help='persons at a time (default: %(default)s)')
    add('--device', default='auto', help='auto (a GPU where there is one), cpu, cuda:1, ...')
    add_cfg_options(parser, 'override settings of the config')
    add('--trust-checkpoint', action='store_true', help=TRUST_HELP)
    return parser


def main(argv: list[str] | None = None) -> int:
    parser = build_parser()
    args = parser.parse_args(argv)
    if args.k_value == (args.checkpoint is not None):
        parser.error('give CONFIG and CHECKPOINT, or --k-value (one of them)')
    if not args.k_value and args.images is None:
        parser.error('a network needs the images: give --images')
    if args.gt and args.ann is None:
        parser.error('--gt takes the boxes of --ann')
    config = None if args.k_value else config_from_args(parser, args)
    from wsp_mm.apis.boxes import read_annotations
    from wsp_mm.apis.cameras import cameras_of
    from wsp_mm.apis.models import load_network
    from wsp_mm.apis.roots import gather_persons, predict_roots
    from wsp_mm.datasets.detections import read_boxes
    from wsp_mm.utils.checkpoint import CheckpointError

    root, network, trust = args.images or Path(), None, args.trust_checkpoint or None
    try:
        images, gt = (None, None) if args.ann is None else read_annotations(args.ann)
        names = {image_id: image.file_name for image_id, image in (images or {}).items()}
        boxes = gt if args.gt else read_boxes(args.boxes, names)
        if config is not None:
            network = load_network(config, args.checkpoint, args.device, ('root',), trust=trust)
        persons, skipped = gather_persons(boxes, images, cameras_of(args), root, network)
        behind = predict_roots(
            persons, args.out, network, root, args.batch_size, progress=sys.stderr.isatty()
        )
    except (CheckpointError, OSError, ValueError) as error:
        print(f'predict_roots: {printable(error)}', file=sys.stderr)
        return 1
    count, how = sum(len(p.boxes) for p in persons), 'network' if network else 'k-value'
    print(
        f'{printable(args.out)}: roots of {count:,} persons in {len(persons):,} images by the {how}'
    )
    for note in boxes.notes:
        print(printable(f'{boxes.path}: {note}'), file=sys.stderr)
    if skipped:
        print(f'left out {skipped:,} boxes: nothing of them is in the image', file=sys.stderr)
    if behind:
        print(
            f'{behind:,} persons came out behind the camera: they got the k-value', file=sys.stderr
        )
    return 0


if __name__ == '__main__':
    sys.exit(main())
