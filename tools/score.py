# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Score predictions that were saved before: the figures of `tools/test.py`, without a model or
images.

h36m: 3D poses, of `tools/test.py --dump FILE.npz`, of other code (json or npz with `ids`, `pred`
(N, K, 3) mm, and where known `gt` and `actions`), or PoseNet's bbox_root_pose_human36m_output.json.

mupots: the official evaluation's two mat files in one folder, written by a test with `dump_dir` or
by 3DMPPE's code.

roots: root depths for MuPoTS-3D, of tools/predict_roots.py or RootNet: AP_root and MRPE.

relative-human: an inference.json of demo/infer.py on Relative Human's images (persons are matched
by their joints), or the npz of `tools/test.py --dump` on one of its configs: PCDR, accuracy, AUC.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT_COLUMNS = (
    'AP_root', 'recall', 'MRPE', 'MRPE_x', 'MRPE_y', 'MRPE_z', 'n_matched', 'n_roots',
    'n_detections',
)  # fmt: skip


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, metavar='{h36m,mupots,roots,relative-human}')

    h36m = commands.add_parser('h36m', help='3D poses with or without their ground truth')
    add = h36m.add_argument
    add('preds', type=Path, metavar='PREDS', help='predictions: .npz or .json')
    add('--gt', type=Path, help='file with the ground truth of the same samples')
    add(
        '--joint-set',
        help='what the joints are, e.g. h36m18; default: what the file says, else by their number',
    )
    add(
        '--trust', action='store_true',
        help="read pickles of MMPose's own --dump, too; this executes code in them",
    )  # fmt: skip
    h36m.set_defaults(score=score_h36m, prefix='h36m')

    mupots = commands.add_parser('mupots', help='3DPCK of poses on MuPoTS-3D')
    add = mupots.add_argument
    add('preds', type=Path, metavar='PREDS', help='folder of both mat files')
    add('--preds-2d', type=Path, help='2D file, where it is another one')
    add('--preds-3d', type=Path, help='3D file, where it is another one')
    add(
        '--json-gt', action='store_true',
        help="score against the json's poses instead of annot.mat: not the official ground truth",
    )  # fmt: skip
    add('--absolute', action='store_true', help='score absolute positions, too')
    mupots.set_defaults(score=score_mupots, prefix='mupots')

    roots = commands.add_parser('roots', help='root depths on MuPoTS-3D')
    add = roots.add_argument
    add('preds', type=Path, nargs='+', metavar='PREDS', help='bbox_root json')
    add('--threshold', type=float, default=250.0, help='of AP_root, mm (default: %(default)g)')
    roots.set_defaults(score=score_roots)

    relative_human = commands.add_parser('relative-human', help='depth order on Relative Human')
    add = relative_human.add_argument
    add('preds', type=Path, metavar='PREDS', help='inference.json, or a dump (.npz)')
    add(
        '--ann-file', type=Path, default=Path('data/relative_human/test_annots.npz'),
        help='annotations of the same images (default: %(default)s)',
    )  # fmt: skip
    add(
        '--threshold', type=float, default=0.2,
        help='largest difference of equal depths, m (default: %(default)g)',
    )  # fmt: skip
    relative_human.set_defaults(score=score_relative_human, prefix='rh')

    for add in (mupots.add_argument, roots.add_argument):
        add(
            '--ann-file', type=Path, default=Path('data/mupots/MuPoTS-3D.json'),
            help="3DMPPE's json of the test set (default: %(default)s)",
        )  # fmt: skip
        add(
            '--sequences-dir', type=Path,
            help='folder of TS1 to TS20 with their annot.mat (default: MultiPersonTestSet beside '
            'the json)',
        )  # fmt: skip
    for command in (h36m, mupots, roots, relative_human):
        command.add_argument('--out', type=Path, help='write all figures to this json')
    for add in (h36m.add_argument, mupots.add_argument, relative_human.add_argument):
        add('--prefix', help='stands before the keys of --out (default: %(default)s)')
    return parser


def say(notes: Sequence[str]) -> None:
    print(*(f'score: {note}\n' for note in notes), sep='', end='', file=sys.stderr)


def score_h36m(args: argparse.Namespace) -> dict:
    from wsp_mm.datasets.annotations import Findings
    from wsp_mm.evaluation.predictions import load_poses
    from wsp_mm.evaluation.tables import pose3d_summary

    findings = Findings()
    poses = load_poses(args.preds, args.joint_set, args.trust)
    scores = poses.scores(args.gt and load_poses(args.gt, trust=args.trust), findings)
    print(pose3d_summary(scores))
    say(findings.implausible_notes())
    return {f'{args.prefix}/{key}': value for key, value in scores.items()}


def score_mupots(args: argparse.Namespace) -> dict:
    from wsp_mm.datasets.mupots_annotations import read_mupots
    from wsp_mm.evaluation.mupots import mupots_scores
    from wsp_mm.evaluation.predictions import FILE_2D, FILE_3D, load_mupots
    from wsp_mm.evaluation.tables import mupots_remarks, mupots_summary

    predictions = load_mupots(
        args.preds_2d or args.preds / FILE_2D, args.preds_3d or args.preds / FILE_3D,
        camera_space=args.absolute,
    )  # fmt: skip
    folder = args.sequences_dir or args.ann_file.with_name('MultiPersonTestSet')
    if not (args.json_gt or folder.is_dir()):
        raise ValueError(f'{folder} is no folder: give --sequences-dir, or --json-gt instead')
    gt = read_mupots(args.ann_file, None if args.json_gt else folder)
    scores = mupots_scores(gt.frames, predictions, absolute=args.absolute)
    print(f'ground truth of {gt.source}\n{mupots_summary(scores)}')
    print(*mupots_remarks(scores), sep='\n')
    notes = [*gt.notes]
    absent = sorted({frame.key for frame in gt.frames if len(frame.occluded)} - set(predictions))
    if absent:
        notes.append(
            f'{len(absent)} frames with persons are not in the files, the first is {absent[0]}: '
            'their persons count as missed here, and the official script stops there'
        )
    say(notes)
    return {f'{args.prefix}/{key}': value for key, value in scores.items()}


def score_roots(args: argparse.Namespace) -> dict:
    from wsp_mm.evaluation.mupots import root_scores
    from wsp_mm.evaluation.tables import text_table

    if not args.threshold > 0:
        raise ValueError(f'--threshold must be positive, got {args.threshold}')
    folder = args.sequences_dir or args.ann_file.with_name('MultiPersonTestSet')
    notes: list[str] = []
    scores = {
        str(file): root_scores(file, args.ann_file, folder, args.threshold, notes)
        for file in args.preds
    }
    rows = [[file, *(row[name] for name in ROOT_COLUMNS)] for file, row in scores.items()]
    print(text_table(['', *ROOT_COLUMNS], rows))
    print('AP_root, recall in percent; MRPE in mm, over the persons who have a box')
    say(list(dict.fromkeys(notes)))
    return scores


def score_relative_human(args: argparse.Namespace) -> dict:
    from wsp_mm.datasets.relative_human_annotations import read_relative_human
    from wsp_mm.evaluation.relative_human import file_scores, relative_human_summary

    truth, notes = read_relative_human(args.ann_file), []
    scores = file_scores(args.preds, truth, args.threshold, notes)
    print(relative_human_summary(scores))
    say(notes)
    return {f'{args.prefix}/{key}': value for key, value in scores.items()}


def main(argv: list[str] | None = None) -> int:
    args = build_parser().parse_args(argv)
    from wsp_mm.utils.files import dump_json

    try:
        scores = args.score(args)
    except (OSError, KeyError, ValueError) as error:
        print(f'score: {error.args[0] if isinstance(error, KeyError) else error}', file=sys.stderr)
        return 1
    if args.out is not None:
        dump_json(args.out, scores)
    return 0


if __name__ == '__main__':
    sys.exit(main())
