# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Time to score a full-size MuPoTS-3D, All and Matched, and the same by a plain loop over persons
and joints.

Both count the same generated frames in the same run, and their figures must agree; the exit status
is 1 when they do not, or when a --limit is given and passed. Times are the CPU's, one thread: what
else the machine does is not counted. Growth is measured over 1x, 4x and 16x frames.

Example:
    python tools/benchmarks/bench_mupots.py --json work_dirs/bench/bench_mupots.json
"""

from __future__ import annotations

import argparse
import math
import statistics
import time

import numpy as np
from growth import FACTORS, growth_table
from harness import Table, finish, make_parser, measure


def build_parser() -> argparse.ArgumentParser:
    parser = make_parser(__doc__, repeats=3)
    parser.add_argument('--sequences', type=int, default=20)
    parser.add_argument('--frames', type=int, default=400, help='of each sequence, at 16x')
    parser.add_argument(
        '--persons', type=int, default=3, help='annotated in each frame; one more predicted at most'
    )
    parser.add_argument(
        '--limit', type=float, default=math.inf, help='CPU seconds that the vectorised way may take'
    )
    parser.add_argument('--seed', type=int, default=0)
    return parser


def make_sequence(rng: np.random.Generator, frames: int, persons: int) -> list[dict]:
    """People beside each other; predictions in another order, some missing, some wrong, some of
    nobody.
    """
    out = []
    for _ in range(frames):
        center = rng.uniform(-1500, 1500, (persons, 1, 3)) * (1, 0.2, 1) + (0, 0, 5000)
        gt = center + rng.normal(0, 300, (persons, 17, 3))
        pred = gt + rng.normal(0, 60, gt.shape)
        pred = np.concatenate([pred, pred[:1] + np.array([2500, 0, 0])])
        pred = pred[rng.permutation(len(pred))[: rng.integers(0, len(pred) + 1)]]
        out.append(dict(gt_3d=gt, pred_3d=pred, gt_2d=_pixels(gt), pred_2d=_pixels(pred)))
    return out


def _pixels(joints: np.ndarray) -> np.ndarray:
    return joints[..., :2] / joints[..., 2:] * 1500 + (960, 540)


def plain_errors(frames: list[dict]) -> list[list[float] | None]:
    """Errors of each annotated person, None for one without a match: joint by joint, in Python's
    floats.
    """
    traversal = [16, 2, 1, 17, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14]
    parents = [2, 16, 2, 3, 4, 2, 6, 7, 15, 9, 10, 15, 12, 13, 15, 15, 2]
    out: list[list[float] | None] = []
    for frame in frames:
        gt_2d, pred_2d, gt_3d, pred_3d = (
            frame[k].tolist() for k in ('gt_2d', 'pred_2d', 'gt_3d', 'pred_3d')
        )
        used: set[int] = set()
        for person, joints in enumerate(gt_2d):
            best, most = -1, 0
            for candidate, found in enumerate(pred_2d):
                near = 0
                for j in range(1, 14):
                    x, y = found[j]
                    seen = not (x == 0 and y == 0)
                    if seen and abs(x - joints[j][0]) < 40 and abs(y - joints[j][1]) < 40:
                        near += 1
                if candidate not in used and near > most:
                    best, most = candidate, near
            if best < 0:
                out.append(None)
                continue
            used.add(best)
            true, pose = ([[a - b for a, b in zip(j, p[14], strict=True)] for j in p]
                          for p in (gt_3d[person], pred_3d[best]))  # fmt: skip
            mapped = [list(joint) for joint in pose]
            for one in traversal:
                joint, parent = one - 1, parents[one - 1] - 1
                bone = [a - b for a, b in zip(pose[joint], pose[parent], strict=True)]
                factor = math.dist(true[joint], true[parent]) / math.hypot(*bone)
                mapped[joint] = [a + b * factor for a, b in zip(mapped[parent], bone, strict=True)]
            out.append([math.dist(mapped[j], true[j]) for j in range(14)])
    return out


def plain_figures(sequences: dict[int, list[dict]]) -> dict[str, float]:
    """PCK at 150 mm and AUC of both modes: means over sequences."""
    per_sequence: dict[str, list[float]] = {}
    for frames in sequences.values():
        errors = plain_errors(frames)
        for mode in ('All', 'Matched'):
            joints = [e for row in errors for e in (row or [math.inf] * 14) if row or mode == 'All']
            shares = [100 * sum(e < mm for e in joints) / len(joints) for mm in range(0, 151, 5)]
            per_sequence.setdefault(f'PCK_{mode}', []).append(shares[-1])
            per_sequence.setdefault(f'AUC_{mode}', []).append(sum(shares) / len(shares))
    return {key: sum(values) / len(values) for key, values in per_sequence.items()}


def figures(sequences: dict[int, list[dict]]) -> dict[str, float]:
    """The same by the package's functions."""
    from wsp_mm.evaluation.functional import mupots_3dpck, mupots_errors

    out = {}
    for mode in ('All', 'Matched'):
        errors = {
            s: mupots_errors(frames, matched_only=mode == 'Matched')
            for s, frames in sequences.items()
        }
        scores = mupots_3dpck(errors)
        out |= {f'PCK_{mode}': scores['PCK'], f'AUC_{mode}': scores['AUC']}
    return out


def main(argv: list[str] | None = None) -> int:
    parser = build_parser()
    args = parser.parse_args(argv)
    if args.frames < FACTORS[-1]:
        parser.error(f'--frames must be at least {FACTORS[-1]}')
    rng = np.random.default_rng(args.seed)
    sequences = {
        s: make_sequence(rng, args.frames, args.persons) for s in range(1, args.sequences + 1)
    }
    found: dict[str, dict[str, float]] = {}

    def keep(name: str, way) -> None:
        found[name] = way(sequences)

    ways = {
        'plain': lambda: keep('plain', plain_figures),
        'vectorised': lambda: keep('vectorised', figures),
    }
    seconds = measure(ways, args.repeats, clock=time.process_time)
    agree = all(
        math.isclose(value, found['plain'][key], rel_tol=1e-9)
        for key, value in found['vectorised'].items()
    )
    in_time = statistics.median(seconds['vectorised']) < args.limit
    shown = ', '.join(f'{key} {value:.3f}' for key, value in found['vectorised'].items())
    frames, persons = args.sequences * args.frames, args.sequences * args.frames * args.persons
    table = Table(f'scoring {frames:,} frames, {persons:,} persons, CPU', 's', 'plain', seconds)
    table.notes = [
        f'Figures {"agree" if agree else "DIFFER"} ({shown}).{"" if in_time else f" OVER {args.limit:g} s."}',
        f'Bytes: {_bytes(sequences) / 1e6:.1f} MB of joints, read once a mode. Bound by the number of calls '
        'into NumPy, some a frame, not by bytes or arithmetic.',
    ]
    growing = {}
    for factor in FACTORS:
        part = {s: rows[: args.frames * factor // FACTORS[-1]] for s, rows in sequences.items()}
        size = sum(map(len, part.values())) * args.persons
        once = measure(
            {'part': lambda part=part: figures(part)}, args.repeats, clock=time.process_time
        )
        growing[size] = once['part']
    finish([table, growth_table('scoring, vectorised, CPU', growing, 'persons')], args)
    return 0 if agree and in_time else 1


def _bytes(sequences: dict[int, list[dict]]) -> int:
    return sum(
        array.nbytes
        for frames in sequences.values()
        for frame in frames
        for array in frame.values()
    )


if __name__ == '__main__':
    raise SystemExit(main())
