# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Draw the paper's Figure 3 for a COCO-style set: images with 2D joints, the 3D poses beside them.

Images are drawn by --seed, persons are the labelled ones of ANN or those of --boxes (from
tools/detect_persons.py, or a list of COCO results). COCO has no cameras, so without --assume-fov
persons stand side by side, each relative to their own root.
"""

import argparse
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from wsp_mm.utils.cli import TRUST_HELP


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add('ann', type=Path, metavar='ANN', help='annotations in the format of COCO')
    add('--img-root', type=Path, required=True, help='folder of the images')
    add('--pose-config', required=True, help='configuration of a 3D pose network')
    add('--pose-checkpoint', required=True, help='its weights')
    add('--out', type=Path, required=True, help='the figure: .jpg or .png')
    add('--boxes', type=Path, help='file of boxes instead of the labelled ones')
    default = '(default: %(default)s)'
    add('--count', type=int, default=8, help=f'images {default}')
    add('--seed', type=int, default=0, help=f'chooses the images {default}')
    add('--max-persons', type=int, default=4, help=f'of an image, the largest {default}')
    add(
        '--assume-fov', type=float, metavar='DEG',
        help='angle of view across the longer side; places persons in one space',
    )  # fmt: skip
    add('--device', help='cuda, cuda:1, cpu; default: a GPU where there is one')
    add('--trust-checkpoint', action='store_true', help=TRUST_HELP)
    return parser


def make_figure(args: argparse.Namespace) -> int:
    """Draw and write the figure; return how many images it shows."""
    from wsp_mm.apis.boxes import read_annotations
    from wsp_mm.datasets.detections import read_boxes, write_boxes
    from wsp_mm.utils.files import atomic_file
    from wsp_mm.visualization.figures import choose_images, encode_image, qualitative_figure

    images, found = read_annotations(args.ann)
    if args.boxes is not None:
        found = read_boxes(args.boxes, {i: image.file_name for i, image in images.items()})
        names = {i: images[i].file_name for i in found.boxes if i in images}
        found = replace(found, images=names)
    for note in found.notes:
        print(f'qualitative: {found.path}: {note}', file=sys.stderr)
    found.check_convention({i: image.size for i, image in images.items() if image.size})
    chosen = choose_images(found, args.count, args.seed, args.max_persons)
    if not chosen:
        raise ValueError(
            f'{args.boxes or args.ann}: no person of an image of {args.ann} is large and sure '
            'enough'
        )
    from wsp_mm.apis.inferencer import WSPInferencer
    from wsp_mm.apis.sources import ImageSource

    with tempfile.TemporaryDirectory() as folder:
        boxes = Path(folder) / 'boxes.json'
        write_boxes(
            boxes,
            [(choice.image_id, choice.file_name) for choice in chosen],
            {choice.image_id: choice.boxes for choice in chosen},
            {choice.image_id: choice.scores for choice in chosen},
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
        raise ValueError(f'{args.pose_config} is not of a 3D pose network')
    files = [args.img_root / choice.file_name for choice in chosen]
    source, frames = ImageSource('folder', str(args.img_root), files, args.img_root), []
    for chunk, records in inferencer.chunks(source):
        for frame, record in zip(chunk, records, strict=True):
            if 'skipped' in record:
                print(
                    f'qualitative: left out {frame.file_name}: {record["skipped"]}', file=sys.stderr
                )
            else:
                frames.append((frame.image, record))
    if not frames:
        raise ValueError(f'none of the {len(files)} images could be used: check --img-root')
    figure = encode_image(qualitative_figure(frames, info), args.out.suffix)
    with atomic_file(args.out) as file:
        file.write(figure)
    return len(frames)


def main(argv: list[str] | None = None) -> int:
    parser = build_parser()
    args = parser.parse_args(argv)
    if args.count < 1 or args.max_persons < 1 or args.seed < 0:
        parser.error('--count and --max-persons must be positive, --seed not negative')
    if args.out.suffix.lower() not in ('.jpg', '.jpeg', '.png'):
        parser.error(f'--out {args.out}: the name must end in .jpg or .png')
    from wsp_mm.utils.checkpoint import CheckpointError

    try:
        count = make_figure(args)
    except (CheckpointError, OSError, ValueError) as error:
        print(f'qualitative: {error}', file=sys.stderr)
        return 1
    print(f'{count} images in {args.out}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
