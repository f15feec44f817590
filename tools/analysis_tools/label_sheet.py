# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Where the ground plane and the perspective rule disagree about who is nearer: count the pairs of
an MCPC file that was built with --labels plane, and show them.

python tools/analysis_tools/label_sheet.py data/mcpc/mcpc_train.json --data-root data --out DIR

In each image the person that the plane calls nearer has a green box, the other one an orange box;
the text says how sure the plane is.
"""

import argparse
import itertools
import sys
from pathlib import Path

import cv2
import numpy as np

from wsp_mm.apis.images import read_image
from wsp_mm.datasets.annotations import load_json
from wsp_mm.utils.files import atomic_file, dump_json

GREEN, ORANGE = (60, 200, 60), (0, 140, 255)  # BGR
#: Side of an image of the sheet, px, and images a row.
CELL, COLUMNS = 320, 5


def disagreements(mcpc: dict) -> tuple[list[dict], int]:
    """Return the pairs that plane and rule order differently, surest first, and the number of all
    pairs that have different ground heights.

    Each has ``image``, the record, ``nearer`` and ``farther``, the annotations as the plane orders
    them, and ``prob``, how sure it is.

    Raises:
        ValueError: the file was not built with ``--labels plane``.
    """
    persons: dict[int, list[dict]] = {}
    for person in mcpc['annotations']:
        persons.setdefault(person['image_id'], []).append(person)
    found, count = [], 0
    for image in mcpc['images']:
        if 'nearer' not in image:
            raise ValueError('its images have no key nearer; build it with --labels plane')
        if image['source'] == 'relative_human':  # people ordered them, not the plane
            continue
        pairs = itertools.combinations(persons.get(image['id'], ()), 2)
        for (a, b), prob in zip(pairs, image['nearer'], strict=True):
            if a['ground_y'] == b['ground_y']:
                continue
            count += 1
            if (prob >= 0.5) != (a['ground_y'] > b['ground_y']):
                a, b, prob = (a, b, prob) if prob >= 0.5 else (b, a, 1 - prob)
                found.append(dict(image=image, nearer=a, farther=b, prob=prob))
    return sorted(found, key=lambda pair: -pair['prob']), count


def draw_pair(pair: dict, number: int, image: np.ndarray) -> np.ndarray:
    """The part of a BGR image around both persons, (CELL, CELL, 3), with boxes and ankles."""
    boxes = np.array([pair[who]['bbox'] for who in ('nearer', 'farther')])
    boxes[:, 2:] += boxes[:, :2]
    low, high = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
    side = (high - low).max() * 1.15
    scale = CELL / side
    warp = np.column_stack([np.eye(2) * scale, CELL / 2 - scale * (low + high) / 2])
    cell = cv2.warpAffine(image, warp, (CELL, CELL), flags=cv2.INTER_AREA)
    for who, box, color in zip(('nearer', 'farther'), boxes, (GREEN, ORANGE), strict=True):
        corners = (box.reshape(2, 2) @ warp[:, :2].T + warp[:, 2]).round().astype(int).tolist()
        cv2.rectangle(cell, *corners, color, 2)
        joints = np.array(pair[who]['keypoints']).reshape(-1, 3)
        for x, y, v in joints[[0, 5]]:  # the ankles of mcpc16
            if v > 0:
                at = warp @ (x, y, 1)
                cv2.circle(cell, at.round().astype(int).tolist(), 4, color, -1)
    text = f'{number}: {100 * pair["prob"]:.0f} %'
    for color, width in (((0, 0, 0), 4), ((255, 255, 255), 1)):
        cv2.putText(cell, text, (6, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.6, color, width, cv2.LINE_AA)
    return cell


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add('mcpc', type=Path, help='a file of build_mcpc.py --labels plane')
    images = 'folder with the folders of the sources (default: %(default)s)'
    add('--data-root', type=Path, default=Path('data'), help=images)
    add('--out', type=Path, required=True, help='folder for label_sheet.json and label_sheet.png')
    add('--limit', type=int, default=60, help='most pairs on the sheet (default: %(default)s)')
    return parser


def main(argv: list[str] | None = None) -> int:
    args = build_parser().parse_args(argv)
    try:
        found, count = disagreements(load_json(args.mcpc))
        cells = []
        for n, pair in enumerate(found[: args.limit], start=1):
            path = args.data_root / pair['image']['source'] / pair['image']['file_name']
            try:
                cells.append(draw_pair(pair, n, read_image(path)))
            except ValueError as error:
                raise ValueError(f'{path}: {error}; is --data-root right?') from None
        share = 100 * len(found) / max(count, 1)
        rows = [
            dict(number=n, file_name=pair['image']['file_name'], prob=pair['prob'],
                 nearer=pair['nearer']['id'], farther=pair['farther']['id'])
            for n, pair in enumerate(found, start=1)
        ]  # fmt: skip
        result = dict(pairs=count, disagree=len(found), share=share, listed=rows)
        dump_json(args.out / 'label_sheet.json', result)
        if cells:
            cells += [np.zeros_like(cells[0])] * (-len(cells) % COLUMNS)
            grid = [np.hstack(cells[i : i + COLUMNS]) for i in range(0, len(cells), COLUMNS)]
            png = cv2.imencode('.png', np.vstack(grid))[1]
            with atomic_file(args.out / 'label_sheet.png') as file:
                file.write(png.tobytes())
    except (ValueError, OSError) as error:
        print(f'label_sheet: {args.mcpc}: {error}', file=sys.stderr)
        return 1
    print(f'plane and rule disagree about {len(found)} of {count:,} pairs ({share:.1f} %)')
    return 0


if __name__ == '__main__':
    sys.exit(main())
