# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Draw the figure of README: for each image, the ankle lines of its two largest persons, the order
that the networks predict, and the 3D scene.

    python tools/analysis_tools/teaser.py demo/street.jpg demo/failure.jpg --out docs/teaser.jpg
"""

import argparse
import sys
from pathlib import Path

from wsp_mm.utils.cli import TRUST_HELP, printable

HEIGHT = 360  # px, of a row


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add('images', nargs='+', type=Path, metavar='IMAGE')
    add('--titles', nargs='+', default=[], help='text above each image')
    add('--networks', default='wsp-lite0', help='of model_zoo/ (default: %(default)s)')
    add('--assume-fov', type=float, default=60.0, help='angle of view (default: %(default)s)')
    add('--out', type=Path, required=True, help='the figure: .jpg or .png')
    add('--trust-checkpoint', action='store_true', help=TRUST_HELP)
    return parser


def make_figure(args: argparse.Namespace) -> None:
    """Draw and write the figure.

    Raises:
        ValueError: an image in which fewer than two persons with ankles were found.
    """
    import numpy as np

    from wsp_mm.apis.inferencer import WSPInferencer
    from wsp_mm.apis.sources import open_source
    from wsp_mm.structures.keypoints import get_joint_set
    from wsp_mm.utils.files import atomic_file
    from wsp_mm.visualization.draw import draw_line, draw_overlay, read_persons, skeleton_of
    from wsp_mm.visualization.figures import encode_image, fit_image, image_grid, titled
    from wsp_mm.visualization.scene3d import draw_scene

    inferencer = WSPInferencer(
        args.networks,
        camera=dict(fov_deg=args.assume_fov),
        trust_checkpoint=args.trust_checkpoint,
    )
    info, rows = inferencer.info(), []
    skeleton = skeleton_of(info['joint_set'])
    joints = get_joint_set(info['joint_set'])
    ankles = [joints.index(f'{side}_ankle') for side in ('left', 'right')]
    source = open_source([str(path) for path in args.images])
    for chunk, records in inferencer.chunks(source):
        for frame, record in zip(chunk, records, strict=True):
            persons = read_persons(record, len(skeleton))
            feet = {p.id: np.nanmax(p.pixels[ankles, 1]) for p in persons}
            largest = sorted(persons, key=lambda p: -p.side)[:2]
            if len(largest) < 2:
                raise ValueError(f'{frame.file_name}: {len(persons)} persons were found, not two')
            image = draw_overlay(frame.image, record, info)
            for person in largest:
                ends = np.array([[0, feet[person.id]], [image.shape[1], feet[person.id]]])
                draw_line(image, ends, person.color, 2)
            title = args.titles[len(rows)] if len(rows) < len(args.titles) else frame.file_name
            width = round(HEIGHT * image.shape[1] / image.shape[0])
            numbers = {person.id: str(person.number) for person in persons}
            ranks = ' '.join(numbers[i] for i in record['order']['ids'] if i in numbers)
            panels = {
                f'{title}; predicted order, front to back: {ranks}': fit_image(
                    image, width, HEIGHT
                ),
                'the 3D scene': draw_scene(record, info, (2 * HEIGHT, HEIGHT)),
            }
            rows.append(titled(panels))
    wide = max(row.shape[1] for row in rows)
    figure = image_grid([fit_image(row, wide, row.shape[0]) for row in rows], columns=1)
    with atomic_file(args.out) as file:
        file.write(encode_image(figure, args.out.suffix))


def main(argv: list[str] | None = None) -> int:
    args = build_parser().parse_args(argv)
    from wsp_mm.utils.checkpoint import CheckpointError

    try:
        make_figure(args)
    except (CheckpointError, OSError, ValueError) as error:
        print(f'teaser: {printable(error)}', file=sys.stderr)
        return 1
    print(args.out)
    return 0


if __name__ == '__main__':
    sys.exit(main())
