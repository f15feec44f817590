# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Evaluate a checkpoint: MMPose's ``tools/test.py`` with safe checkpoints and CPU processes."""

import argparse
from pathlib import Path

from wsp_mm.utils.cli import (
    add_common_arguments,
    apply_common_arguments,
    config_from_args,
    require_checkpoint,
    run_and_explain,
)


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description='Evaluate a checkpoint under a config file.')
    add = parser.add_argument
    add('config', help='config file; `python -m wsp_mm.config_path NAME` finds installed ones')
    add('checkpoint', help='checkpoint: a path, a URL or e.g. torchvision://resnet50')
    add('--out', help='write the metrics to this json file')
    add('--dump', help='write all predictions to this .npz file, for tools/score.py and others')
    add_common_arguments(parser)
    return parser


def merge_args(cfg, args: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Write the options into the config."""
    apply_common_arguments(cfg, args, parser)
    require_checkpoint(parser, args.checkpoint)
    cfg.load_from = args.checkpoint
    cfg.resume = False
    if args.out is not None and Path(args.out).suffix != '.json':
        parser.error(f'--out {args.out}: the name must end in .json')
    if args.dump is not None:
        if Path(args.dump).suffix != '.npz':
            parser.error(f'--dump {args.dump}: the name must end in .npz')
        evaluators = cfg.test_evaluator
        evaluators = evaluators if isinstance(evaluators, (list, tuple)) else [evaluators]
        cfg.test_evaluator = [*evaluators, dict(type='mmpose.DumpPredictions', out_file=args.dump)]


def main() -> None:
    parser = build_parser()
    args = parser.parse_args()
    cfg = config_from_args(parser, args)
    merge_args(cfg, args, parser)

    if args.dump is not None:
        import wsp_mm.evaluation.metrics.dump_predictions  # noqa: F401
    from mmengine.dist import is_main_process
    from mmengine.runner import Runner

    from wsp_mm.utils.compat import prepare_run
    from wsp_mm.utils.files import dump_json

    def test() -> None:
        prepare_run(cfg, args.launcher)
        metrics = Runner.from_cfg(cfg).test()
        if args.out is not None and is_main_process():
            dump_json(args.out, metrics)

    run_and_explain(test)


if __name__ == '__main__':
    main()
