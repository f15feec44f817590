# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Train the quickstart's network under every switch that matters and write docs/results.md.
Resumable.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from wsp_mm.utils.cli import add_cfg_options

ROOT = Path(__file__).resolve().parents[1]


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--only', nargs='+', help='names of variants; default: all')
    parser.add_argument('--config', default='configs/quickstart/wsp_pretrain_r18.py')
    parser.add_argument('--data-root', default='data/synthetic')
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/ablation'))
    parser.add_argument('--out', type=Path, default=Path('docs/results.md'))
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--workers', type=int, default=os.cpu_count(), help='processes that render')
    add_cfg_options(parser, 'further options of every training and test', default=[])
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    from wsp_mm.apis.ablation import VARIANTS, run_ablation
    from wsp_mm.apis.steps import StepFailed

    names = args.only or list(VARIANTS)
    if unknown := sorted(set(names) - set(VARIANTS)):
        print(f'unknown variants {unknown}; known: {list(VARIANTS)}', file=sys.stderr)
        return 2
    try:
        run_ablation(
            root=ROOT,
            config=args.config,
            data_root=args.data_root,
            work_dir=args.work_dir,
            out=ROOT / args.out,
            names=names,
            seed=args.seed,
            workers=args.workers,
            options=args.cfg_options,
        )
    except StepFailed as error:
        print(f'ablation stopped: {error}\ncalling it again goes on from here', file=sys.stderr)
        return 1
    print(f'tables: {ROOT / args.out}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
