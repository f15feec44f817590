# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Time of ``tools/train.py --help``, and from a training's start to its first iteration, step by
step.

The training is the real program with a real config; a hook notes when each step was done. Its data
are a few hundred records of one picture, its weights a file made for it. A GPU is used where there
is one, as in any training; ``CUDA_VISIBLE_DEVICES=-1`` hides it.

    python tools/benchmarks/bench_startup.py --batch 32 --workers 4
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from harness import Table, finish, make_parser, measure

REPO = Path(__file__).resolve().parents[2]
TRAIN = REPO / 'tools' / 'train.py'
RECORDS = 200
STEPS = {
    'imports': 'interpreter, arguments, config, imports',
    'model': 'runner with model, log, hooks',
    'data': 'data set, optimizer',
    'weights': 'weights read',
    'first batch': 'workers, first batch',
    'first iteration': 'first iteration',
}
_IMPORT = re.compile(r'import time:\s+(\d+) \|\s+(\d+) \| +(\S+)')


def build_parser() -> argparse.ArgumentParser:
    parser = make_parser(__doc__, repeats=3)
    parser.add_argument('--config', default='wsp_pretrain_r50.py', help='in configs/, of pairs')
    parser.add_argument('--batch', type=int, default=2)
    parser.add_argument('--workers', type=int, default=2)
    parser.add_argument(
        '--iterations', type=int, default=4, help='the later ones are what the first is not'
    )
    return parser


def run(*command: object) -> subprocess.CompletedProcess:
    """A process of Python.

    Raises:
        RuntimeError: it failed; the message is the end of what it said.
    """
    done = subprocess.run([sys.executable, *map(str, command)], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(
            f'{command} ended with {done.returncode}:\n{(done.stdout + done.stderr)[-3000:]}'
        )
    return done


def import_seconds(lines: str) -> tuple[Counter, dict[str, float]]:
    """From ``python -X importtime``: a package's own seconds, and of each module with all that it
    imports.
    """
    own, whole = Counter(), {}
    for self_us, cumulative_us, module in _IMPORT.findall(lines):
        own[module.partition('.')[0]] += int(self_us) / 1e6
        whole[module] = int(cumulative_us) / 1e6
    return own, whole


def imports_table(repeats: int, rows: int = 10) -> Table:
    """What a training imports, by package."""
    code = 'import mmpose, wsp_mm.register, mmengine.runner'
    found = [import_seconds(run('-X', 'importtime', '-c', code).stderr) for _ in range(repeats)]
    total = sum((own for own, _ in found), Counter())
    shown = [package for package, _ in total.most_common(rows)]
    everything = [sum(own.values()) for own, _ in found]
    table = Table('imports by package, without what they import', 's', 'all', {'all': everything})
    table.rows |= {package: [own[package] for own, _ in found] for package in shown}
    table.rows['others'] = [sum(own.values()) - sum(own[p] for p in shown) for own, _ in found]
    modules = (
        'torch',
        'mmcv',
        'mmengine.runner',
        'mmdet',
        'mmpose.models',
        'matplotlib',
        'wsp_mm.register',
    )
    whole = found[0][1]
    with_all = [f'{name} {whole[name]:.2f} s' for name in modules if name in whole]
    table.notes = [
        f'With what each is the first to import: {", ".join(with_all)}. The measuring itself is in all of them.'
    ]
    return table


def write_training(folder: Path, args: argparse.Namespace) -> Path:
    """Data, weights and a config that trains with them; returns the config."""
    import torch
    from loader_data import write_mcpc
    from mmengine.registry import init_default_scope
    from mmpose.registry import MODELS

    from wsp_mm.utils.cli import load_config

    base = REPO / 'configs' / args.config
    cfg = load_config(base)
    init_default_scope('mmpose')
    dataset = write_mcpc(folder, RECORDS)
    backbone = MODELS.build(dict(cfg.model.backbone, init_cfg=None))
    weights = folder / 'backbone.pth'
    torch.save(backbone.state_dict(), weights)
    changes = dict(
        _base_=[str(base)],
        custom_imports=dict(imports=[*cfg.custom_imports.imports, 'benchmarks.startup_hook']),
        custom_hooks=[
            *map(dict, cfg.custom_hooks),
            dict(type='StartUpHook', out=str(folder / 'marks.json'), iterations=args.iterations),
        ],
        model=dict(backbone=dict(init_cfg=dict(type='Pretrained', checkpoint=str(weights)))),
        train_dataloader=dict(
            batch_size=args.batch,
            num_workers=args.workers,
            persistent_workers=args.workers > 0,
            dataset={key: value for key, value in dataset.items() if key != 'type'},
        ),
    )
    path = folder / 'start.py'
    path.write_text(''.join(f'{key} = {value!r}\n' for key, value in changes.items()))
    return path


def start(config: Path) -> dict[str, float]:
    """Train for some iterations; seconds of each step."""
    run(TRAIN, config, '--work-dir', config.parent / 'work', '--no-validate')
    marks = json.loads((config.parent / 'marks.json').read_text())
    steps, before = {}, 0.0
    for name in STEPS:
        steps[name], before = marks[name] - before, marks[name]
    later = (marks['last iteration'] - marks['first iteration']) / (marks['iterations'] - 1)
    return steps | {'all': before, 'later': later}


def start_table(args: argparse.Namespace) -> Table:
    with tempfile.TemporaryDirectory(prefix='bench_startup_') as folder:
        config = write_training(Path(folder), args)
        if args.repeats > 1:
            start(config)  # once for the disk's cache
        rounds = [start(config) for _ in range(args.repeats)]
    title = f'{args.config}, batch {args.batch}, {args.workers} worker(s): start to the end of the first iteration'
    table = Table(title, 's', 'in all', {'in all': [one['all'] for one in rounds]})
    table.rows |= {label: [one[name] for one in rounds] for name, label in STEPS.items()}
    table.rows['(an iteration later on)'] = [one['later'] for one in rounds]
    table.notes = [
        f'{RECORDS} records: reading real annotations takes longer . Weights are read '
        'twice: checked before anything is built, and loaded.'
    ]
    return table


def main(argv: list[str] | None = None) -> int:
    parser = build_parser()
    args = parser.parse_args(argv)
    if args.iterations < 2:
        parser.error('--iterations must be at least 2')
    ways = {
        'python -c pass': lambda: run('-c', 'pass'),
        'train.py --help': lambda: run(TRAIN, '--help'),
    }
    help_table = Table(
        'tools/train.py --help', 's', 'python -c pass', measure(ways, max(args.repeats, 5))
    )
    help_table.notes = [
        'Nothing of MMEngine, MMPose or torch is imported before the arguments are known to be right.'
    ]
    finish([help_table, imports_table(args.repeats), start_table(args)], args)
    return 0


if __name__ == '__main__':
    raise SystemExit(main())
