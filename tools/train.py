# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Train a model: MMPose's ``tools/train.py`` plus safe checkpoints and CPU processes."""

import argparse

from wsp_mm.utils.cli import (
    add_common_arguments,
    apply_common_arguments,
    config_from_args,
    require_checkpoint,
    run_and_explain,
)


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description='Train a model from a config file.')
    add = parser.add_argument
    add('config', help='config file; `python -m wsp_mm.config_path NAME` finds installed ones')
    add(
        '--resume', nargs='?', const='auto', metavar='CHECKPOINT',
        help='go on from this checkpoint, or without a value from the newest whole one in the work '
        'dir (from the beginning where there is none)',
    )  # fmt: skip
    add('--amp', action='store_true', help='float16 mixed precision (needs a GPU)')
    add('--no-validate', action='store_true', help='do not evaluate during training')
    scaling = 'scale the learning rate by actual / original batch size'
    add('--auto-scale-lr', action='store_true', help=scaling)
    add_common_arguments(parser)
    return parser


def merge_args(cfg, args: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Write the options into the config."""
    apply_common_arguments(cfg, args, parser)

    if args.no_validate:
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None

    if args.amp:
        import torch

        if not torch.cuda.is_available():
            parser.error('--amp needs a GPU, and none is visible')
        cfg.optim_wrapper.type = 'AmpOptimWrapper'
        cfg.optim_wrapper.pop('enabled', None)  # of BFloat16OptimWrapper
        cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')

    if args.resume is not None:
        cfg.resume = True
        cfg.load_from = None if args.resume == 'auto' else args.resume
    if cfg.get('load_from'):
        require_checkpoint(parser, cfg.load_from)

    if args.auto_scale_lr:
        if not (cfg.get('auto_scale_lr') or {}).get('base_batch_size'):
            parser.error('--auto-scale-lr needs auto_scale_lr.base_batch_size in the config')
        cfg.auto_scale_lr.enable = True


def main() -> None:
    parser = build_parser()
    args = parser.parse_args()
    cfg = config_from_args(parser, args)
    start_from = cfg.get('load_from')
    merge_args(cfg, args, parser)

    from contextlib import nullcontext

    from mmengine.runner import Runner

    from wsp_mm.engine.work_dir import choose_checkpoint, is_first_rank, one_training
    from wsp_mm.utils.compat import prepare_run

    def train() -> None:
        first = is_first_rank(args.launcher)
        with one_training(cfg.work_dir) if first else nullcontext():
            prepare_run(cfg, args.launcher)
            choose_checkpoint(cfg, args.launcher, start_from)
            Runner.from_cfg(cfg).train()

    run_and_explain(train)


if __name__ == '__main__':
    main()
