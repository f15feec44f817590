# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Train and test one model for each action of Human3.6M and print Table 8 (MPJPE and PA-MPJPE).
Resumable.

Each model sees one action of the config's training subjects and is tested on all actions of its
test subjects.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from wsp_mm.utils.cli import add_cfg_options

ROOT = Path(__file__).resolve().parents[1]


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument('--config', default='configs/wsp_h36m_r50.py', help='default: %(default)s')
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/cross_action'))
    parser.add_argument('--data-root', default='data/synthetic', help='default: %(default)s')
    parser.add_argument(
        '--actions', nargs='+', metavar='NAME', help='actions to train on; default: all 15'
    )
    add_cfg_options(
        parser,
        'further options of every training and test, e.g. model.init_cfg.checkpoint=FILE',
        default=[],
    )
    return parser


def main(argv: list[str] | None = None) -> int:
    args = build_parser().parse_args(argv)
    from wsp_mm.apis.cross_action import run_cross_action
    from wsp_mm.apis.steps import StepFailed, Steps
    from wsp_mm.evaluation.functional.pose3d import H36M_ACTIONS
    from wsp_mm.evaluation.tables import table_8, text_table, without_prefix

    actions = args.actions or list(H36M_ACTIONS)
    steps = Steps(ROOT / args.work_dir / 'steps', ROOT)
    try:
        metrics = run_cross_action(
            steps, args.config, args.data_root, args.work_dir, actions, args.cfg_options
        )
    except (ValueError, FileNotFoundError) as error:
        print(f'cross_action: {error}', file=sys.stderr)
        return 2
    except StepFailed as error:
        print(f'cross_action stopped: {error}\ncalling it again goes on from here', file=sys.stderr)
        return 1
    scores = {action: without_prefix(found, 'h36m/') for action, found in metrics.items()}
    print(text_table(*table_8(scores), title='Table 8: trained on one action, tested on all'))
    print(f'{ROOT / args.work_dir / "cross_action.md"} and .json')
    return 0


if __name__ == '__main__':
    sys.exit(main())
