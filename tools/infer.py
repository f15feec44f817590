# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Persons of pictures and videos, in camera space where a camera is given: docs/inference.md.

INPUT is a picture, a folder, a pattern ('pictures/**/*.jpg'), a video, or the number of a camera.

Exit status: 0 all well; 1 something was skipped or is incomplete (the summary says what); 2 wrong
usage, or nothing usable; 130 ended by Ctrl-C (the output is valid, --resume goes on).
"""

from __future__ import annotations

import argparse
import sys

from wsp_mm.utils.cli import TRUST_HELP


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        'input', metavar='INPUT', help='picture, folder, pattern, video or camera number'
    )
    models = parser.add_argument_group('networks (a configuration and a published checkpoint each)')
    models.add_argument(
        '--pose-config', required=True, metavar='CONFIG', help='3D pose, or pre-training'
    )
    models.add_argument('--pose-checkpoint', required=True, metavar='CKPT')
    models.add_argument(
        '--root-config', metavar='CONFIG', help='root depth; without: by the size of the box'
    )
    models.add_argument('--root-checkpoint', metavar='CKPT')
    models.add_argument('--det-config', metavar='CONFIG', help='detector of mmdet')
    models.add_argument('--det-checkpoint', metavar='CKPT')
    models.add_argument(
        '--score-thr', type=float, metavar='S', help='least score (default: 0.3; of --boxes: all)'
    )
    models.add_argument(
        '--boxes', metavar='FILE', help='boxes of tools/detect_persons.py, or COCO results'
    )
    models.add_argument('--trust-checkpoint', action='store_true', help=TRUST_HELP)
    camera = parser.add_argument_group(
        'camera (none is ever guessed: without one of these, pixels and depth relative to the root)'
    )
    one = camera.add_mutually_exclusive_group()
    one.add_argument('--focal', type=float, nargs='+', metavar='PX', help='focal length, or fx fy')
    one.add_argument(
        '--camera', metavar='FILE.json', help='{"f": [fx, fy], "c": [cx, cy]}, or one an image'
    )
    one.add_argument(
        '--assume-fov',
        type=float,
        metavar='DEG',
        help="assumed angle across the picture's longer side",
    )
    camera.add_argument(
        '--principal',
        type=float,
        nargs=2,
        metavar=('CX', 'CY'),
        help='with --focal; default: the middle',
    )
    output = parser.add_argument_group('output')
    output.add_argument(
        '--out', required=True, metavar='DIR', help='inference.json, pictures, viewer.html'
    )
    output.add_argument(
        '--resume', action='store_true', help='go on with an unfinished run in --out'
    )
    output.add_argument(
        '--overwrite', action='store_true', help='start anew where --out holds a run'
    )
    output.add_argument('--no-pictures', action='store_true', help='neither pictures nor mp4')
    output.add_argument('--no-scene', action='store_true', help='no 3D scene in pictures and mp4')
    output.add_argument('--no-viewer', action='store_true', help='no viewer.html')
    output.add_argument('--no-progress', action='store_true', help='no progress bar')
    computing = parser.add_argument_group('computing')
    computing.add_argument('--device', help='cuda, cuda:1, cpu; default: a GPU where there is one')
    computing.add_argument('--precision', choices=['fp32', 'bf16', 'fp16'], default='fp32')
    computing.add_argument(
        '--batch-size',
        type=int,
        default=16,
        help='persons at once, and most pictures in memory (default: 16)',
    )
    computing.add_argument(
        '--overlap', choices=['auto', 'on', 'off'], default='auto',
        help='read, detect, ask the networks and draw at the same time, with equal answers (auto: on a GPU)',
    )  # fmt: skip
    return parser


def check(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Options that do not fit each other end the program with status 2."""
    for name in ('root', 'det'):
        if (getattr(args, f'{name}_config') is None) != (
            getattr(args, f'{name}_checkpoint') is None
        ):
            parser.error(f'--{name}-config and --{name}-checkpoint belong together')
    if (args.det_config is None) == (args.boxes is None):
        parser.error(
            'who finds the persons? Give --det-config and --det-checkpoint, or --boxes (one of them)'
        )
    if args.focal is not None and len(args.focal) > 2:
        parser.error('--focal takes one or two numbers')
    if args.principal is not None and args.focal is None:
        parser.error('--principal needs --focal')
    if args.resume and args.overwrite:
        parser.error('--resume or --overwrite, not both')
    if args.batch_size < 1:
        parser.error('--batch-size is at least 1')


def main(argv: list[str] | None = None) -> int:
    parser = build_parser()
    args = parser.parse_args(argv)
    check(parser, args)
    try:
        return run(args)
    except KeyboardInterrupt:
        print('\ninfer: interrupted; --resume goes on', file=sys.stderr)
        return 130


def run(args: argparse.Namespace) -> int:
    from wsp_mm.apis.inference.camera import CameraChoice
    from wsp_mm.apis.inference.sources import SourceError, open_source

    try:  # what costs nothing to check, before anything heavy is imported
        source = open_source(args.input)
        camera = CameraChoice(args.focal, args.principal, args.assume_fov)
        if args.camera is not None:
            camera = CameraChoice.read(args.camera)
    except (OSError, ValueError) as error:
        return _wrong(error)

    from wsp_mm.apis.inference.document import DocumentError
    from wsp_mm.apis.inference.run import infer
    from wsp_mm.apis.inferencer import WSPInferencer
    from wsp_mm.utils.checkpoint import CheckpointError
    from wsp_mm.visualization.video import VideoError

    try:
        inferencer = WSPInferencer(
            pose=(args.pose_config, args.pose_checkpoint),
            root=None if args.root_config is None else (args.root_config, args.root_checkpoint),
            det=None if args.det_config is None else (args.det_config, args.det_checkpoint),
            score_thr=args.score_thr,
            boxes=args.boxes,
            camera=camera,
            device=args.device,
            precision=args.precision,
            batch_size=args.batch_size,
            trust_checkpoint=args.trust_checkpoint,
            overlap=dict(auto=None, on=True, off=False)[args.overlap],
        )
    except (CheckpointError, OSError, ValueError) as error:
        return _wrong(error)
    try:
        summary = infer(
            inferencer,
            source,
            args.out,
            resume=args.resume,
            overwrite=args.overwrite,
            pictures=not args.no_pictures,
            scene=not args.no_scene,
            viewer=not args.no_viewer,
            progress=not args.no_progress,
        )
    except (DocumentError, SourceError, VideoError, OSError) as error:
        return _wrong(error)
    print(summary.text())
    return summary.status


def _wrong(error: Exception) -> int:
    print(f'infer: {error}', file=sys.stderr)
    return 2


if __name__ == '__main__':
    sys.exit(main())
