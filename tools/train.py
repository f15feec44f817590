# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Train a model: MMPose's ``tools/train.py`` plus safe checkpoints, CPU processes, checked first
weights.
"""

import argparse

from wsp_mm.utils.cli import (
    add_common_arguments,
    apply_common_arguments,
    load_config,
    require_checkpoint,
    run_and_explain,
)

_AMP_REPLACES = ('OptimWrapper', 'AmpOptimWrapper', 'BFloat16OptimWrapper')


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description='Train a model from a configuration file.')
    parser.add_argument(
        'config',
        help='configuration file; `python -m wsp_mm.config_path NAME` finds installed ones',
    )
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='CHECKPOINT',
        help='go on from this checkpoint, or without a value from the latest one in the work dir',
    )
    parser.add_argument(
        '--amp', action='store_true', help='automatic mixed precision (needs a GPU)'
    )
    parser.add_argument(
        '--no-validate', action='store_true', help='do not evaluate during training'
    )
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help='scale the learning rate by actual / original batch size',
    )
    add_common_arguments(parser)
    return parser


def merge_args(cfg, args: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Write the options into the configuration."""
    apply_common_arguments(cfg, args, parser)

    if args.no_validate:
        cfg.val_cfg = None
        cfg.val_dataloader = None
        cfg.val_evaluator = None

    if args.amp:
        import torch

        if not torch.cuda.is_available():
            parser.error('--amp needs a GPU, and none is visible')
        if cfg.optim_wrapper.get('type', 'OptimWrapper') not in _AMP_REPLACES:
            parser.error(f'--amp does not go with the optimizer wrapper {cfg.optim_wrapper.type}')
        cfg.optim_wrapper.type = 'AmpOptimWrapper'
        cfg.optim_wrapper.pop('enabled', None)  # of BFloat16OptimWrapper
        cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')

    if args.resume == 'auto':
        cfg.resume = True
        cfg.load_from = None
    elif args.resume is not None:
        require_checkpoint(parser, args.resume)
        cfg.resume = True
        cfg.load_from = args.resume

    if args.auto_scale_lr:
        if not (cfg.get('auto_scale_lr') or {}).get('base_batch_size'):
            parser.error(
                '--auto-scale-lr needs `auto_scale_lr = dict(base_batch_size=...)` in the configuration'
            )
        cfg.auto_scale_lr.enable = True


def main() -> None:
    parser = build_parser()
    args = parser.parse_args()
    cfg = load_config(parser, args.config, args.cfg_options)
    merge_args(cfg, args, parser)

    import torch
    from mmengine.runner import Runner

    from wsp_mm.utils.allocator import keep_freed_memory
    from wsp_mm.utils.compat import pin_memory_for_gpus, prepare_distributed
    from wsp_mm.utils.pretrained import require_pretrained

    def train() -> None:
        require_pretrained(cfg)
        if not torch.cuda.is_available():
            keep_freed_memory()
        pin_memory_for_gpus(cfg)
        prepare_distributed(cfg, args.launcher)
        Runner.from_cfg(cfg).train()

    run_and_explain(train)


if __name__ == '__main__':
    main()
