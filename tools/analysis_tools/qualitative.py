# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""The paper's Figure 3 for a COCO-style set: pictures with everybody's 2D joints, the 3D poses
beside.

Pictures are drawn by --seed, persons are the labelled ones of ANN or those of --boxes (from
tools/detect_persons.py, or a list of COCO results). COCO has no cameras, so without --assume-fov
persons stand side by side, each relative to the own root.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path


def build_parser() -> argparse.ArgumentParser:
    from wsp_mm.utils.cli import TRUST_HELP

    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument('ann', type=Path, metavar='ANN', help='annotations in the format of COCO')
    parser.add_argument('--img-root', type=Path, required=True, help='folder of the pictures')
    parser.add_argument('--pose-config', required=True, help='configuration of a 3D pose network')
    parser.add_argument('--pose-checkpoint', required=True, help='its weights')
    parser.add_argument('--out', type=Path, required=True, help='the sheet: .jpg or .png')
    parser.add_argument('--boxes', type=Path, help='file of boxes instead of the labelled ones')
    parser.add_argument('--count', type=int, default=8, help='pictures (default: %(default)s)')
    parser.add_argument(
        '--seed', type=int, default=0, help='draws the pictures (default: %(default)s)'
    )
    parser.add_argument(
        '--max-persons',
        type=int,
        default=4,
        help='of a picture, the largest (default: %(default)s)',
    )
    parser.add_argument(
        '--assume-fov',
        type=float,
        metavar='DEG',
        help='horizontal angle of view; places persons in one space',
    )
    parser.add_argument('--device', help='cuda, cuda:1, cpu; default: a GPU where there is one')
    parser.add_argument('--trust-checkpoint', action='store_true', help=TRUST_HELP)
    return parser


def make_sheet(args: argparse.Namespace) -> int:
    """Draw and write the sheet; returns how many pictures it shows."""
    from wsp_mm.datasets.box_files import write_boxes
    from wsp_mm.datasets.converters.mcpc.records import BadDataError
    from wsp_mm.synthetic.layouts.files import write_bytes
    from wsp_mm.visualization.qualitative import (
        boxes_for,
        choose_pictures,
        png_as,
        qualitative_sheet,
    )

    names, found = boxes_for(args.ann, args.boxes)
    choices = choose_pictures(names, found, args.count, args.seed, args.max_persons)
    if not choices:
        raise BadDataError(
            'no person',
            args.boxes or args.ann,
            '',
            'no person is large and sure enough to be drawn',
            'Give other --boxes or another ANN',
        )

    # torch and OpenMMLab only now: a wrong file name is answered at once
    from wsp_mm.apis.inference.sources import PictureFiles
    from wsp_mm.apis.inferencer import WSPInferencer

    with tempfile.TemporaryDirectory() as folder:
        boxes = Path(folder) / 'boxes.json'
        write_boxes(
            boxes,
            [(choice.image_id, choice.file_name) for choice in choices],
            {choice.image_id: choice.boxes for choice in choices},
            {choice.image_id: choice.scores for choice in choices},
            extended=found.extended,
        )
        inferencer = WSPInferencer(
            pose=(args.pose_config, args.pose_checkpoint),
            boxes=boxes,
            camera=None if args.assume_fov is None else dict(fov_deg=args.assume_fov),
            device=args.device,
            trust_checkpoint=args.trust_checkpoint,
        )
        info = inferencer.info()
        if info['task'] != 'pose3d':
            raise ValueError(
                f'{args.pose_config} estimates no 3D poses: a pre-training network knows an order'
            )
        files = [args.img_root / choice.file_name for choice in choices]
        pairs = []
        for frames, records in inferencer.chunks(
            PictureFiles('folder', str(args.img_root), files, args.img_root)
        ):
            for frame, record in zip(frames, records, strict=True):
                if record.get('skipped'):
                    print(
                        f'qualitative: {frame.file_name} left out: {record["skipped"]}',
                        file=sys.stderr,
                    )
                else:
                    pairs.append((frame.image, record))
    if not pairs:
        raise FileNotFoundError(
            f'none of the {len(files)} pictures could be used; is --img-root right?'
        )
    write_bytes(args.out, png_as(qualitative_sheet(pairs, info), args.out.suffix))
    return len(pairs)


def main(argv: list[str] | None = None) -> int:
    parser = build_parser()
    args = parser.parse_args(argv)
    if args.count < 1 or args.max_persons < 1 or args.seed < 0:
        parser.error('--count and --max-persons must be positive, --seed not negative')
    if args.out.suffix.lower() not in ('.jpg', '.jpeg', '.png'):
        parser.error(f'--out {args.out}: the name must end in .jpg or .png')
    from wsp_mm.datasets.converters.mcpc.records import BadDataError
    from wsp_mm.synthetic.layouts.files import WorldError

    try:
        count = make_sheet(args)
    except (OSError, ValueError, BadDataError, WorldError) as error:
        print(f'qualitative: {error}', file=sys.stderr)
        return 1
    except RuntimeError as error:
        from wsp_mm.utils.checkpoint import CheckpointError

        if not isinstance(error, CheckpointError):
            raise
        print(f'qualitative: {error}', file=sys.stderr)
        return 1
    print(f'{count} pictures in {args.out}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
