# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Training with loading: the real runner and a config's own loader, hooks and optimizer, on data on
the disk.

Three rates, each for `--seconds` after a warm-up:

- together: the runner trains; the share of the host's time that waits in the loader is beside it;
- loading alone: the same loader, its batches thrown away;
- device alone: training steps on batches kept in memory.

The lower of the latter two is the bound of the first. Validation and checkpoints are left out. This
script makes no data: `python tools/dataset_converters/make_world.py --out data/synthetic` does.

    python tools/benchmarks/bench_end_to_end.py --device cuda                # R50, 256 px, B 64,
    1,500 pairs/s
    python tools/benchmarks/bench_end_to_end.py --device cuda --task h36m

On a processor it is R18 at 64 px by default: it shows where the time goes, and no GPU's speed.
"""

import argparse
import os
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from bench_train_step import REPO, WAYS, add_network_arguments, fresh
from bench_train_step import make_config as make_model_config
from harness import Table, finish, make_parser, set_by_device, wait_for

KEPT = 4  # batches for the rate of the device alone


def build_parser() -> argparse.ArgumentParser:
    parser = make_parser(__doc__, repeats=3)
    add_network_arguments(parser, '64 on a GPU, else 8')
    add, way = parser.add_argument, 'bfloat16 + channels_last'
    add('--data-root', default=str(REPO / 'data/synthetic'))
    add('--seconds', type=float, help='of each rate: 30 on a GPU, else 4; cut into --repeats')
    add('--warm-up', type=int, help='iterations before: 50 on a GPU, else 2')
    add('--way', choices=list(WAYS), default=way, help='default: %(default)s')
    add('--workers', type=int, help='of the loader: all cores but 2 on a GPU, else 0')
    return parser


def make_config(args: argparse.Namespace, work_dir: str):
    """The task's config, training alone and without end."""
    os.environ['WSP_DATA'] = str(args.data_root)
    cfg = make_model_config(args.task, args.way, args.depth, args.side)
    for step in cfg.train_dataloader.dataset.pipeline:
        if 'input_size' in step:
            step.input_size = (args.side, args.side)
        if 'encoder' in step:
            step.encoder = cfg.model.head.decoder
    cfg.train_dataloader.update(
        batch_size=args.batch,
        num_workers=args.workers,
        persistent_workers=args.workers > 0,
        pin_memory=args.device == 'cuda',
        drop_last=True,
    )
    cfg.train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=1_000_000)
    for split in ('val', 'test'):
        for part in ('cfg', 'dataloader', 'evaluator'):
            cfg[f'{split}_{part}'] = None
    cfg.default_hooks.checkpoint.interval = 1_000_000
    cfg.work_dir = work_dir
    cfg.experiment_name = f'end_to_end_{os.getpid()}'
    cfg.log_level = 'WARNING'
    cfg.custom_hooks = [hook for hook in cfg.custom_hooks if hook['type'] != 'PublishedWeightsHook']
    return cfg


class Enough(Exception):
    """The time is up."""


def make_hook(args: argparse.Namespace):
    """Counts samples and the host's waiting in windows of ``--seconds`` / ``--repeats``; ends the
    training.
    """
    from mmengine.hooks import Hook

    class Watch(Hook):
        priority = 'LOWEST'

        def __init__(self) -> None:
            self.rates, self.waits, self.batches = [], [], []
            self.iterations = self.waited = self.samples = 0
            self.start = self.end = None

        def before_train_iter(self, runner, batch_idx, data_batch=None):
            if self.start is not None:
                self.waited += time.perf_counter() - self.end
                self.samples += len(data_batch['inputs'])
            elif len(self.batches) < KEPT:
                self.batches.append(fresh(data_batch))

        def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
            self.iterations += 1
            self.end = time.perf_counter()
            if self.start is None:
                if self.iterations >= args.warm_up and len(self.batches) == KEPT:
                    self._begin()
            elif self.end - self.start >= args.seconds / args.repeats:
                wait_for(args.device)
                spent = time.perf_counter() - self.start
                self.rates.append(self.samples / spent)
                self.waits.append(100 * self.waited / spent)
                if len(self.rates) == args.repeats:
                    raise Enough
                self._begin()

        def _begin(self):
            wait_for(args.device)
            self.waited, self.samples = 0, 0
            self.start = self.end = time.perf_counter()

    return Watch()


def loading_rates(cfg, args: argparse.Namespace) -> list[float]:
    """Samples/s of the loader alone."""
    from mmengine.runner import Runner

    loader = Runner.build_dataloader(cfg.train_dataloader, seed=0)
    rates, samples, batches, start, warm = [], 0, 0, None, 2 * max(1, args.workers)
    while True:
        for batch in loader:
            now = time.perf_counter()
            batches += 1
            if batches <= warm:  # every worker's first batches are there
                start, samples = now, 0
                continue
            samples += len(batch['inputs'])
            if now - start >= args.seconds / args.repeats:
                rates.append(samples / (now - start))
                start, samples = now, 0
                if len(rates) == args.repeats:
                    return rates


def device_rates(runner, batches: list[dict], args: argparse.Namespace) -> list[float]:
    """Samples/s of training steps on batches that are there."""
    rates = []
    for _ in range(args.repeats):
        copies = [fresh(batch) for batch in batches]
        size = sum(len(batch['inputs']) for batch in copies)
        wait_for(args.device)
        samples, spent = 0, 0.0
        while spent < args.seconds / args.repeats:
            start = time.perf_counter()
            for batch in copies:
                runner.model.train_step(batch, runner.optim_wrapper)
            wait_for(args.device)
            spent += time.perf_counter() - start
            samples += size
            copies = [fresh(batch) for batch in batches]
        rates.append(samples / spent)
    return rates


def main() -> None:
    args = build_parser().parse_args()
    set_by_device(args, depth=(50, 18), side=(256, 64), batch=(64, 8), seconds=(30, 4))
    workers = max(1, len(os.sched_getaffinity(0)) - 2)
    set_by_device(args, warm_up=(50, 2), workers=(workers, 0))
    if not Path(args.data_root).is_dir():
        sys.exit(
            f'no data in {args.data_root}: `python tools/dataset_converters/make_world.py --out '
            f'{args.data_root}` writes a world, --data-root names another place'
        )
    import torch
    from mmengine.device import get_device
    from mmengine.runner import Runner

    if get_device() != args.device:
        sys.exit(f'--device {args.device}, but the runner would take {get_device()}')
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as work_dir:
        cfg = make_config(args, work_dir)
        watch = make_hook(args)
        runner = Runner.from_cfg(cfg)
        runner.register_hook(watch)
        with suppress(Enough):
            runner.train()
        alone = device_rates(runner, watch.batches, args)
        del runner
        loading = loading_rates(cfg, args)

    rates = Table(f'Training with loading, {args.task}, {args.device}', 'samples/s', 'together')
    rates.notes = [
        f'R{args.depth}, {args.side} x {args.side}, B {args.batch}, {args.workers} worker(s), '
        f'{args.way}.',
        'Waiting is what the host spends in the loader; on a GPU it may have work queued '
        'meanwhile.',
    ]
    rates.rows = {'together': watch.rates, 'loading alone': loading, 'device alone': alone}
    waits = Table("Waiting for data, of the host's time", '%', rows={'together': watch.waits})
    finish([rates, waits], args)


if __name__ == '__main__':
    main()
