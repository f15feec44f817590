# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Score 3D predictions that were saved before: the figures of `tools/test.py`, without a model or
pictures.

DUMP is what `tools/test.py --dump FILE.pkl` wrote (open your own only: a pickle can run code), the
npz of --export, a json with the same names (`ids`, `pred` (N, K, 3) mm, and where known `gt` and
`actions`), or PoseNet's `bbox_root_pose_human36m_output.json`. Files without ground truth take it
from --truth, any file of the same test set that has it.
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
    parser.add_argument('dump', type=Path, metavar='DUMP', help='predictions: .pkl, .npz or .json')
    parser.add_argument('--truth', type=Path, help='file with the ground truth of the same samples')
    parser.add_argument(
        '--joint-set',
        help='what the joints are, e.g. h36m18; default: what the file says, else by their number',
    )
    parser.add_argument(
        '--prefix', default='h36m', help='stands before the keys of --out (default: %(default)s)'
    )
    parser.add_argument(
        '--out', type=Path, help='write all figures to this json, under the keys of the metric'
    )
    parser.add_argument(
        '--export', type=Path, metavar='FILE.npz', help='write the poses as plain arrays'
    )
    return parser


def main(argv: list[str] | None = None) -> int:
    args = build_parser().parse_args(argv)
    from wsp_mm.evaluation.pose3d_files import load_poses, save_poses
    from wsp_mm.evaluation.pose3d_tables import summary_text

    try:
        table = load_poses(args.dump, args.joint_set)
        if args.truth is not None:
            table = table.with_truth(load_poses(args.truth))
        if args.export is not None:
            save_poses(table, args.export)
        scores = table.scores()
    except (OSError, KeyError, ValueError) as error:
        print(
            f'score_h36m: {error.args[0] if isinstance(error, KeyError) else error}',
            file=sys.stderr,
        )
        return 1
    print(summary_text(scores))
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
