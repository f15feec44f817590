# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Find persons of images and videos: poses, order and, where a camera is given, their place in
space. docs/inference.md tells more.

INPUT is an image, a folder, a pattern ('images/**/*.jpg') or a video. With nothing else, the
networks are those that come with wsp_mm.

Exit status: 0 all well; 1 something was skipped, is incomplete or was noted (the summary says
what); 2 wrong usage, or nothing usable; 130 ended by Ctrl-C (the output is valid, --resume goes
on).
"""

import argparse
import sys

from wsp_mm.utils.cli import TRUST_HELP, add_camera_arguments, printable

OUT = 'work_dirs/inference'
ROLES = dict(
    pose='3D pose, or pre-training',
    root='root depth; without: by the size of the box',
    det='detector of mmdet',
    order='pre-training: the order of the persons, beside 3D',
)


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument('input', metavar='INPUT', help='image, folder, pattern or video')
    group = parser.add_argument_group(
        'networks', 'A set by its name, and networks of your own that take the places of its.'
    )
    group.add_argument(
        '--networks', metavar='NAME', help='default: wsp-lite0; with --pose-config: none'
    )
    for name, what in ROLES.items():
        group.add_argument(f'--{name}-config', metavar='CONFIG', help=what)
        group.add_argument(f'--{name}-checkpoint', metavar='CHECKPOINT')
    group.add_argument(
        '--boxes', metavar='FILE', help='boxes of tools/detect_persons.py, or COCO results'
    )
    group.add_argument(
        '--score-thr', type=float, metavar='S', help='least score (default: 0.3; of --boxes: all)'
    )
    group.add_argument('--trust-checkpoint', action='store_true', help=TRUST_HELP)
    add_camera_arguments(parser)
    group = parser.add_argument_group('output')
    text = f'for inference.json, images, viewer.html (default: {OUT}, which is started anew)'
    group.add_argument('--out', metavar='DIR', help=text)
    there = group.add_mutually_exclusive_group()
    there.add_argument('--resume', action='store_true', help='continue an unfinished run in --out')
    there.add_argument('--overwrite', action='store_true', help='start anew where --out has a run')
    group.add_argument('--no-images', action='store_true', help='neither images nor mp4')
    group.add_argument('--no-scene', action='store_true', help='no 3D scene in images and mp4')
    group.add_argument('--no-viewer', action='store_true', help='no viewer.html')
    group.add_argument('--no-progress', action='store_true', help='no progress bar')
    group = parser.add_argument_group('computing')
    group.add_argument('--device', help='cuda, cuda:1, cpu; default: a GPU where there is one')
    group.add_argument('--precision', choices=['fp32', 'bf16', 'fp16'], default='fp32')
    group.add_argument(
        '--batch-size', type=int, default=16, metavar='N',
        help='persons at once, and most images in memory (default: %(default)s)',
    )  # fmt: skip
    return parser


def main(argv: list[str] | None = None) -> int:
    parser = build_parser()
    args = parser.parse_args(argv)
    models = {}
    for name in ROLES:
        pair = getattr(args, f'{name}_config'), getattr(args, f'{name}_checkpoint')
        if pair.count(None) == 1:
            parser.error(f'--{name}-config and --{name}-checkpoint belong together')
        models[name] = None if None in pair else pair
    persons = bool(models['det']) + bool(args.boxes)
    complete = args.networks or not (models['pose'] or models['order'])
    if persons > 1 or not (persons or complete):
        parser.error('give --det-config and --det-checkpoint, or --boxes, to find the persons')
    out = args.out or OUT
    from wsp_mm.apis.cameras import cameras_of
    from wsp_mm.apis.inferencer import WSPInferencer
    from wsp_mm.apis.run import infer
    from wsp_mm.apis.sources import open_source
    from wsp_mm.utils.checkpoint import CheckpointError

    try:
        source = open_source(args.input, exclude=out)
        inferencer = WSPInferencer(
            args.networks,
            **models,
            score_thr=args.score_thr,
            boxes=args.boxes,
            camera=cameras_of(args),
            device=args.device,
            precision=args.precision,
            batch_size=args.batch_size,
            trust_checkpoint=args.trust_checkpoint,
        )
        used = inferencer.info()['models'].items()
        print('networks:', ', '.join(f'{role} {model["config"]}' for role, model in used))
        print(f'output: {printable(out)}', flush=True)
        summary = infer(
            inferencer,
            source,
            out,
            resume=args.resume,
            overwrite=args.overwrite or not (args.out or args.resume),
            images=not args.no_images,
            scene=not args.no_scene,
            viewer=not args.no_viewer,
            progress=not args.no_progress,
        )
    except (CheckpointError, OSError, ValueError) as error:
        print(f'infer: {printable(error)}', file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print('\ninfer: interrupted; --resume goes on', file=sys.stderr)
        return 130
    print(summary.text())
    return summary.status


if __name__ == '__main__':
    sys.exit(main())
