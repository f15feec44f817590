# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Evaluate a checkpoint: MMPose's ``tools/test.py`` with safe checkpoints and CPU processes."""

import argparse
from pathlib import Path

from wsp_mm.utils.cli import (
    add_common_arguments,
    apply_common_arguments,
    load_config,
    require_checkpoint,
    run_and_explain,
)

METRIC_FILES = ('.json', '.yaml', '.yml', '.pkl')


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description='Evaluate a checkpoint under a configuration file.'
    )
    parser.add_argument(
        'config',
        help='configuration file; `python -m wsp_mm.config_path NAME` finds installed ones',
    )
    parser.add_argument(
        'checkpoint', help='checkpoint: a path, a URL or e.g. torchvision://resnet50'
    )
    parser.add_argument('--out', help=f'write the metrics to this file ({", ".join(METRIC_FILES)})')
    parser.add_argument(
        '--dump', help='write all predictions to this .npz file, for tools/score.py and others'
    )
    add_common_arguments(parser)
    return parser


def merge_args(cfg, args: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Write the options into the configuration."""
    apply_common_arguments(cfg, args, parser)
    require_checkpoint(parser, args.checkpoint)
    cfg.load_from = args.checkpoint
    cfg.resume = False
    if args.out is not None and Path(args.out).suffix not in METRIC_FILES:
        parser.error(f'--out {args.out}: the name must end in one of {", ".join(METRIC_FILES)}')
    if args.dump is not None:
        if Path(args.dump).suffix != '.npz':
            parser.error(f'--dump {args.dump}: the name must end in .npz')
        evaluators = (
            cfg.test_evaluator
            if isinstance(cfg.test_evaluator, (list, tuple))
            else [cfg.test_evaluator]
        )
        cfg.test_evaluator = [*evaluators, dict(type='mmpose.DumpPredictions', out_file=args.dump)]


def main() -> None:
    parser = build_parser()
    args = parser.parse_args()
    cfg = load_config(parser, args.config, args.cfg_options)
    merge_args(cfg, args, parser)

    if args.dump is not None:
        import wsp_mm.evaluation.metrics.dump_predictions  # noqa: F401
    import mmengine
    import torch
    from mmengine.dist import is_main_process
    from mmengine.runner import Runner

    from wsp_mm.utils.allocator import keep_freed_memory
    from wsp_mm.utils.compat import pin_memory_for_gpus, prepare_distributed

    def test() -> None:
        if not torch.cuda.is_available():
            keep_freed_memory()
        pin_memory_for_gpus(cfg)
        prepare_distributed(cfg, args.launcher)
        metrics = Runner.from_cfg(cfg).test()
        if args.out is not None and is_main_process():
            Path(args.out).parent.mkdir(parents=True, exist_ok=True)
            mmengine.dump(metrics, args.out)

    run_and_explain(test)


if __name__ == '__main__':
    main()
