# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Score predictions for MuPoTS-3D that lie in the official evaluation's mat files, as that
evaluation does.

PREDS is a folder with `preds_2d_kpt_mupots.mat` and `preds_3d_kpt_mupots.mat`, written by a test
with `dump_dir`, or by 3DMPPE's code. Neither a model nor a picture is needed, nor MATLAB.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        'preds', type=Path, metavar='PREDS', help='folder that both mat files are in'
    )
    parser.add_argument('--preds-2d', type=Path, help='2D file, where it is another one')
    parser.add_argument('--preds-3d', type=Path, help='3D file, where it is another one')
    parser.add_argument(
        '--ann-file',
        type=Path,
        default=Path('data/mupots/MuPoTS-3D.json'),
        help="3DMPPE's json of the test set (default: %(default)s)",
    )
    parser.add_argument(
        '--sequences-dir',
        type=Path,
        help='folder of TS1 to TS20 with annot.mat and occlusion.mat (default: MultiPersonTestSet beside it)',
    )
    parser.add_argument(
        '--json-truth',
        action='store_true',
        help="score against the json's poses instead of annot.mat: not the official ground truth",
    )
    parser.add_argument('--absolute', action='store_true', help='score absolute positions, too')
    parser.add_argument(
        '--prefix', default='mupots', help='stands before the keys of --out (default: %(default)s)'
    )
    parser.add_argument(
        '--out', type=Path, help='write all figures to this json, under the keys of the metric'
    )
    return parser


def main(argv: list[str] | None = None) -> int:
    args = build_parser().parse_args(argv)
    from wsp_mm.evaluation.mupots_files import FILE_2D, FILE_3D, load_predictions
    from wsp_mm.evaluation.mupots_scores import mupots_scores
    from wsp_mm.evaluation.mupots_tables import remarks, summary_text
    from wsp_mm.structures.mupots import read_mupots

    folder = (
        None
        if args.json_truth
        else args.sequences_dir or args.ann_file.parent / 'MultiPersonTestSet'
    )
    try:
        predictions = load_predictions(
            args.preds_2d or args.preds / FILE_2D, args.preds_3d or args.preds / FILE_3D
        )
        if folder is not None and not folder.is_dir():
            raise ValueError(
                f'{folder} is no folder: give --sequences-dir, or --json-truth instead'
            )
        truth = read_mupots(args.ann_file, folder)
        scores = mupots_scores(truth.frames, predictions, absolute=args.absolute)
    except (OSError, KeyError, ValueError) as error:
        print(
            f'score_mupots: {error.args[0] if isinstance(error, KeyError) else error}',
            file=sys.stderr,
        )
        return 1
    print(f'ground truth of {truth.source}\n{summary_text(scores)}')
    print(*remarks(scores), sep='\n')
    absent = sorted({frame.key for frame in truth.frames if frame.valid.any()} - set(predictions))
    notes = [*truth.notes]
    if absent:
        notes.append(
            f'{len(absent)} frames with persons are not in the files, the first is {absent[0]}: their persons '
            'count as missed here, and the official script stops there'
        )
    for note in notes:
        print(f'score_mupots: {note}', file=sys.stderr)
    if args.out is not None:
        flat = {
            f'{args.prefix}/{key}': None
            if isinstance(value, float) and math.isnan(value)
            else value
            for key, value in scores.items()
        }
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(flat, indent=2))
    return 0


if __name__ == '__main__':
    sys.exit(main())
