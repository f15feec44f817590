# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""The main job on the embedded world: generate, build MCPC, pre-train, finetune to 3D, test,
report.

With --mupots the chain goes on: MuCo and MuPoTS worlds, a person detector, a root network, pose
networks on MuCo and COCO, and the whole top-down path in camera space."""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

CONFIG = 'configs/quickstart/wsp_pretrain_r18.py'
# Options of the training beside the config: the tiny preset only shows that everything runs.
PRESETS = {
    'small': dict(data_root='data/synthetic', options=(), pose_options=(), mupots_options={}),
    'tiny': dict(
        data_root='data/synthetic_tiny',
        options=(
            'train_cfg.max_epochs=2',
            'train_cfg.val_interval=1',
            'train_dataloader.batch_size=8',
        ),
        pose_options=('train_dataloader.batch_size=8', 'train_cfg.max_iters=8'),
        mupots_options={
            # Enough to find somebody here and there, so that the rest of the path has persons to
            # work on.
            'detector': (
                'train_cfg.max_epochs=12',
                'train_cfg.val_interval=12',
                'train_dataloader.batch_size=4',
                'param_scheduler.0.end=5',
                'param_scheduler.1.end=12',
                'param_scheduler.1.T_max=12',
                'custom_hooks.0.momentum=0.2',
            ),
            'detect': ('--score-thr', '0.05'),
            'root': ('train_cfg.max_iters=8',),
            'pose': ('train_cfg.max_iters=8',),
        },
    ),
}


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        '--preset', choices=sorted(PRESETS), default='small', help='size of the world'
    )
    parser.add_argument(
        '--mupots', action='store_true', help='go on to poses of many in camera space'
    )
    parser.add_argument(
        '--work-dir', type=Path, help='default: work_dirs/quickstart (or quickstart_PRESET)'
    )
    parser.add_argument(
        '--data-root', help='where the world is (made if absent); default: one a preset'
    )
    parser.add_argument('--seed', type=int, default=0, help='seed of the world and of the training')
    parser.add_argument('--workers', type=int, default=os.cpu_count(), help='processes that render')
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    from wsp_mm.apis.mupots_study import run_mupots
    from wsp_mm.apis.quickstart import run_quickstart
    from wsp_mm.apis.steps import StepFailed
    from wsp_mm.visualization.report import cell

    preset = PRESETS[args.preset]
    work_dir = args.work_dir or Path('work_dirs') / (
        'quickstart' if args.preset == 'small' else f'quickstart_{args.preset}'
    )
    start = time.monotonic()
    try:
        chain = run_quickstart(
            root=ROOT,
            config=CONFIG,
            preset=args.preset,
            data_root=args.data_root or preset['data_root'],
            work_dir=work_dir,
            seed=args.seed,
            workers=args.workers,
            options=preset['options'],
            pose_options=preset['pose_options'],
        )
        if args.mupots:
            chain.write_report()
            run_mupots(
                chain.study.steps,
                chain.study.last_checkpoint(),
                args.preset,
                chain.study.data_root,
                work_dir,
                args.seed,
                args.workers,
                preset['mupots_options'],
            )
        figures = chain.write_report()
    except StepFailed as error:
        print(f'quickstart stopped: {error}', file=sys.stderr)
        return 1
    print(
        f'\nquickstart took {(time.monotonic() - start) / 60:.1f} min on {os.cpu_count()} cores of '
        f'{platform.processor() or platform.machine()}\n'
        f'AUC {figures["p1/rd/AUC"]:.1f} (gap <= 0.1: {figures["p1/rd/AUC_gap0.1"]:.1f}), '
        f'PCK {figures["p1/pck/PCK"]:.1f}, MPJPE {figures["3d/wsp-h36m/Joints Avg"]:.0f} mm\n'
        + (
            f'3DPCK, All: {cell(figures["mupots/wsp/net/PCK_All"])} (detector, learned root)\n'
            if args.mupots
            else ''
        )
        + f'report: {ROOT / work_dir / "report.html"}'
    )
    return 0


if __name__ == '__main__':
    sys.exit(main())
