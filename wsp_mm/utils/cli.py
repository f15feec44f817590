# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""What ``tools/train.py`` and ``tools/test.py`` share. Imports nothing heavy: ``--help`` is
quick.
"""

import argparse
import os
from pathlib import Path
from typing import Any

TRUST_HELP = (
    'load checkpoints that hold more than weights and plain values; this executes code in them'
)


def add_cfg_options(
    parser: argparse.ArgumentParser,
    text: str = 'override settings',
    default: list[str] | None = None,
) -> None:
    """``--cfg-options``, whose words add up however often it is given, as with MMEngine's."""
    parser.add_argument(
        '--cfg-options', action='extend', nargs='+', default=default, metavar='KEY=VALUE', help=text
    )


def add_common_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that mean the same in training and testing (MMPose's names)."""
    parser.add_argument(
        '--work-dir', help='folder for logs and results; default: ./work_dirs/CONFIG_NAME'
    )
    parser.add_argument('--show-dir', help='folder for pictures with predictions drawn in')
    parser.add_argument(
        '--show', action='store_true', help='show pictures with predictions in a window'
    )
    parser.add_argument(
        '--interval', type=int, default=1, help='draw every n-th sample (with --show or --show-dir)'
    )
    parser.add_argument(
        '--wait-time', type=float, default=1, help='seconds that a window stays (with --show)'
    )
    add_cfg_options(
        parser,
        'override settings of the configuration, e.g. model.backbone.depth=18; '
        'lists as key="[a,b]" or key=a,b, tuples as key="(a,b)", None and numbers as themselves',
    )
    parser.add_argument('--trust-checkpoint', action='store_true', help=TRUST_HELP)
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='job launcher',
    )
    # torch.distributed.launch hands its processes this one; torchrun sets the variable instead.
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)


def parse_cfg_options(parser: argparse.ArgumentParser, values: list[str] | None) -> dict[str, Any]:
    """Read ``--cfg-options`` as MMEngine does, but after the arguments are known to be right.

    Args:
        parser: Reports the error.
        values: The words after ``--cfg-options``.

    Returns:
        ``{'model.backbone.depth': 18, ...}``.
    """
    if not values:
        return {}
    for value in values:
        if '=' not in value.lstrip('=') or value.startswith('='):
            parser.error(f'--cfg-options takes KEY=VALUE, not {value!r}')
    from mmengine.config import DictAction

    inner = argparse.ArgumentParser()
    inner.add_argument('--cfg-options', nargs='+', action=DictAction)
    return inner.parse_args(['--cfg-options', *values]).cfg_options


def load_config(parser: argparse.ArgumentParser, path: str, cfg_options: list[str] | None):
    """Read a configuration and apply ``--cfg-options``; a wrong name or option is a plain message.

    Returns:
        mmengine.Config
    """
    options = parse_cfg_options(parser, cfg_options)
    if not Path(path).is_file():
        from wsp_mm.config_path import find_config

        try:
            parser.error(f'{path} does not exist; did you mean {find_config(Path(path).name)}?')
        except FileNotFoundError as error:
            parser.error(f'{path} does not exist. {error}')
    try:
        import mmpose  # noqa: F401
    except ImportError as error:
        raise SystemExit(
            f'{error}. MMEngine, MMCV and MMPose are needed: README.md, "Install"'
        ) from error
    # Also for configurations that do not import wsp_mm.register.
    import wsp_mm.utils.checkpoint  # noqa: F401
    from wsp_mm.utils import config as config_files

    try:
        return config_files.load_config(path, options)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        if not options:
            raise
        parser.error(f'--cfg-options {" ".join(cfg_options)}: {error}')


def apply_common_arguments(cfg, args: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Write the shared options into the configuration and the environment."""
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    if args.trust_checkpoint:
        from wsp_mm.utils.checkpoint import trust_checkpoints

        trust_checkpoints()
    cfg.launcher = args.launcher
    if args.work_dir is not None:
        cfg.work_dir = args.work_dir
    elif cfg.get('work_dir') is None:
        cfg.work_dir = str(Path('work_dirs') / Path(args.config).stem)

    if args.show or args.show_dir is not None:
        hooks = cfg.get('default_hooks') or {}
        if not hooks.get('visualization'):
            parser.error(
                '--show and --show-dir need `default_hooks.visualization` in the configuration'
            )
        # mmdet's hook, that of detectors, has other names for two of MMPose's settings.
        detector = hooks['visualization'].get('type') == 'DetVisualizationHook'
        switch, folder = ('draw', 'test_out_dir') if detector else ('enable', 'out_dir')
        hooks['visualization'].update(
            {switch: True, folder: args.show_dir, 'show': args.show, 'interval': args.interval}
        )
        if args.show:
            hooks['visualization'].update(wait_time=args.wait_time)


def require_checkpoint(parser: argparse.ArgumentParser, name: str) -> None:
    """Stop before anything is built when a local checkpoint is not there."""
    from wsp_mm.utils.checkpoint import resolve_url

    try:
        missing = (
            resolve_url(name) is None
            and not Path(name.removeprefix('file://')).expanduser().is_file()
        )
    except (KeyError, ValueError) as error:
        parser.error(str(error.args[0]))
    if missing:
        parser.error(f'checkpoint {name} does not exist')


def run_and_explain(action):
    """Call ``action``; a refused checkpoint ends the program with its message instead of a
    traceback.

    As one of several processes, it leaves word of any failure for the launcher
    (:mod:`wsp_mm.utils.rank_failure`).

    Args:
        action: A function without arguments.

    Returns:
        What ``action`` returns.
    """
    from wsp_mm.utils.checkpoint import CheckpointError
    from wsp_mm.utils.compat import finish_distributed
    from wsp_mm.utils.rank_failure import run_rank

    try:
        result = run_rank(action)
    except CheckpointError as error:
        raise SystemExit(f'{type(error).__name__}: {error}') from None
    finish_distributed()
    return result
