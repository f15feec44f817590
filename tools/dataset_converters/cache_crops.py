#!/usr/bin/env python
# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Cut that part out of each training frame that the config's augmentation can ask for, once, before
training.

A training then reads small pictures (--cfg-options crop_cache=OUT) instead of decoding frames in
each epoch. The command can be stopped at any time and given again: it goes on with the shard that
it was at.

Exit status: 0 when the cache is complete, 1 when it cannot be made, 130 when it was interrupted.

Example: python tools/dataset_converters/cache_crops.py configs/posenet_h36m_r50.py
    work_dirs/h36m_crops --workers 8
"""

from __future__ import annotations

import argparse
import shlex
import sys
from concurrent.futures.process import BrokenProcessPool

from wsp_mm.utils.cli import add_cfg_options


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument('config', help='configuration file of the training')
    parser.add_argument('out', help='folder of the cache')
    parser.add_argument(
        '--workers', type=int, default=2, metavar='N', help='processes (default: 2)'
    )
    parser.add_argument(
        '--quality', type=int, default=95, metavar='Q', help='of the JPEGs, 1 to 100 (default: 95)'
    )
    parser.add_argument(
        '--dataset', type=int, default=0, metavar='N',
        help='which data set of a mixture (SeededCombinedDataset) to cache, from 0 (default: 0)',
    )  # fmt: skip
    parser.add_argument(
        '--shard-size',
        type=int,
        default=4096,
        metavar='N',
        help='samples of a file (default: 4096)',
    )
    add_cfg_options(parser)
    return parser


def plan(config, number: int) -> tuple[dict, list[dict]]:
    """Config of the data set (without a pipeline), and of all steps that its samples go through.

    Raises:
        ValueError: no such data set.
    """
    outer = config.train_dataloader.dataset.to_dict()
    mixture = outer.get('datasets')
    if mixture is None:
        if number:
            raise ValueError(f'--dataset {number}: the config trains on one data set, number 0')
        chosen, steps = outer, list(outer.pop('pipeline', ()))
    else:
        if not 0 <= number < len(mixture):
            raise ValueError(
                f'--dataset {number}: the config mixes data sets 0 to {len(mixture) - 1}'
            )
        chosen = mixture[number]
        steps = [*chosen.pop('pipeline', ()), *outer.get('pipeline', ())]
    chosen.pop('pipeline', None)
    return chosen, [
        {key: value for key, value in step.items() if key != 'crop_cache'} for step in steps
    ]


def run(args: argparse.Namespace, config) -> int:
    from contextlib import suppress

    from mmengine.registry import init_default_scope
    from mmpose.registry import TRANSFORMS

    import wsp_mm.register  # noqa: F401
    from wsp_mm.datasets.crop_cache_writer import Cutter, write_cache
    from wsp_mm.datasets.crop_check import annotation_files
    from wsp_mm.datasets.nonempty import build_nonempty
    from wsp_mm.synthetic.processes import progress

    init_default_scope('mmpose')
    chosen, steps = plan(config, args.dataset)
    built = [TRANSFORMS.build(step) for step in steps]
    cutter = Cutter(built, args.quality)
    dataset = build_nonempty(dict(chosen, pipeline=[]))
    bar = None

    def shown(count: int) -> None:
        nonlocal bar
        if bar is None:
            bar = progress(len(dataset), 'pictures')
            bar.initial = bar.n = count  # what an earlier run did does not count as speed
        bar.update(count - bar.n)

    try:
        done = write_cache(
            args.out,
            dataset,
            cutter,
            chosen,
            annotation_files(dataset),
            args.shard_size,
            args.workers,
            shown,
        )
    finally:
        if bar is not None:
            with suppress(Exception):
                bar.close()
    rate = f', {done.cut / done.seconds:,.1f} pictures/s' if done.cut else ''
    print(
        f'{args.out}: {done.samples:,} pictures ({done.cut:,} cut now in {done.seconds:,.1f} s{rate}), '
        f'{done.cache_bytes / 1e6:,.1f} MB, {done.cache_bytes / max(1, done.frame_bytes):.3f} of the '
        f"frames' {done.frame_bytes / 1e6:,.1f} MB"
    )
    return 0


def main(argv: list[str] | None = None) -> int:
    parser = build_parser()
    args = parser.parse_args(argv)
    if args.workers < 0 or args.shard_size < 1 or not 1 <= args.quality <= 100:
        parser.error(
            '--workers must not be negative, --shard-size be positive, --quality lie in 1 to 100'
        )
    from wsp_mm.utils.cli import config_from_args

    config = config_from_args(parser, args)
    try:
        return run(args, config)
    except KeyboardInterrupt:
        words = sys.argv[1:] if argv is None else argv
        print(
            'interrupted; whole shards are kept. The same command goes on from there: '
            f'python {sys.argv[0]} {shlex.join(words)}',
            file=sys.stderr,
        )
        return 130
    except BrokenProcessPool:
        print(
            'cache_crops: a worker process died, mostly for want of memory. Whole shards are kept: give the '
            'same command again, with fewer --workers',
            file=sys.stderr,
        )
        return 1
    except (OSError, ValueError) as error:
        print(f'cache_crops: {error}', file=sys.stderr)
        return 1


if __name__ == '__main__':
    sys.exit(main())
