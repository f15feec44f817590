# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Score files of roots (tools/predict_roots.py, or RootNet's) on MuPoTS-3D: AP_root and MRPE, side
by side.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

COLUMNS = (
    'AP_root',
    'recall',
    'MRPE',
    'MRPE_x',
    'MRPE_y',
    'MRPE_z',
    'n_matched',
    'n_roots',
    'n_detections',
)


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument('roots', type=Path, nargs='+', help='bbox_root json; several are compared')
    parser.add_argument('--ann', type=Path, required=True, help='MuPoTS-3D.json')
    parser.add_argument(
        '--sequences', type=Path, help='folder of TS1 to TS20, whose annot.mat are preferred'
    )
    parser.add_argument(
        '--threshold', type=float, default=250.0, help='of AP_root, mm (default: %(default)g)'
    )
    parser.add_argument('--out', type=Path, help='also write all figures to this json')
    return parser


def main(argv: list[str] | None = None) -> int:
    parser = build_parser()
    args = parser.parse_args(argv)
    if not args.threshold > 0:
        parser.error(f'--threshold must be positive, got {args.threshold}')
    from wsp_mm.apis.root_scores import score_roots
    from wsp_mm.utils.files import write_text_atomic

    try:
        scores = {
            str(path): score_roots(path, args.ann, args.sequences, args.threshold)
            for path in args.roots
        }
    except (OSError, ValueError) as error:
        print(f'score_roots: {error}', file=sys.stderr)
        return 1
    width = max(map(len, scores))
    print(' ' * width, *(f'{name:>12}' for name in COLUMNS))
    for path, row in scores.items():
        cells = (
            f'{row[name]:>12.1f}' if isinstance(row[name], float) else f'{row[name]:>12,}'
            for name in COLUMNS
        )
        print(f'{path:<{width}}', *cells)
    print('AP_root, recall in percent; MRPE in mm, over the persons who have a box')
    if args.out is not None:
        plain = {
            path: {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in row.items()}
            for path, row in scores.items()
        }
        write_text_atomic(args.out, json.dumps(plain, indent=2))
    return 0


if __name__ == '__main__':
    sys.exit(main())
