# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Command lines and configs of the tools. Imports nothing heavy: ``--help`` answers at once."""

import argparse
import errno
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

Result = TypeVar('Result')

TRUST_HELP = (
    'load checkpoints that hold more than weights and plain values; this executes code in them'
)
_KEYS = """
activation_checkpointing auto_scale_lr compile custom_hooks data_preprocessor default_hooks
default_scope efficient_conv_bn_eval env_cfg experiment_name find_unused_parameters launcher
load_from log_level log_processor model model_wrapper_cfg optim_wrapper param_scheduler
preprocess_cfg randomness resume sync_bn test_cfg test_dataloader test_evaluator train_cfg
train_dataloader val_cfg val_dataloader val_evaluator visualizer work_dir
"""
#: Top-level keys of a loaded config that MMEngine's Runner or MMPose's tools read.
RUNNER_KEYS = frozenset(_KEYS.split())
#: What replaces an option that would change nothing.
REPLACEMENTS = dict(
    data_root='set the environment variable WSP_DATA=FOLDER',
    pretrained='use model.init_cfg.checkpoint=FILE',
    action='use train_dataloader.dataset.actions="[NAME]", in a mixture '
    'train_dataloader.dataset.datasets.0.actions="[NAME]"',
    boxes='use test_dataloader.dataset.boxes_file=FILE',
    bbox_root='use test_dataloader.dataset.bbox_root_file=FILE',
    bfloat16='use optim_wrapper.enabled=True or False',
    channels_last='use default_hooks.channels_last.enabled=True or False',
    codec='set it where it is used: model.head.decoder and the encoder of GenerateTarget',
)
#: Full, over the user's share or a file's limit, read-only, not the user's.
DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES}
# CPython before 3.13 counts the depth of a syntax tree in one place for all threads: of two that
# parse at once one may fail ("AST constructor recursion depth mismatch").
_parsing = threading.Lock()


class ConfigOptionError(ValueError):
    """An option of ``--cfg-options`` that cannot be applied, or would change nothing."""


def load_config(path: str | Path, cfg_options: Mapping[str, Any] | None = None):
    """Load a config and merge options into it, as MMEngine does.

    Args:
        path: the config file.
        cfg_options: dotted names -> values.

    Returns:
        mmengine.Config

    Raises:
        FileNotFoundError: no such config; the message names similar ones.
        ConfigOptionError: an option that cannot be merged, or whose top-level key nothing reads
            once the config is loaded (a variable such as ``data_root``); the message names what
            replaces it.
    """
    from mmengine.config import Config

    options = dict(cfg_options or {})
    for key in dict.fromkeys(name.partition('.')[0] for name in options):
        if key not in RUNNER_KEYS:
            remedy = REPLACEMENTS.get(key, 'override the places where it is used')
            raise ConfigOptionError(f'nothing reads {key} once a config is loaded: {remedy}')
    if not Path(path).is_file():
        from wsp_mm.config_path import find_config

        try:
            hint = f'did you mean {find_config(Path(path).name)}?'
        except FileNotFoundError as error:
            hint = str(error)
        raise FileNotFoundError(f'{path} does not exist: {hint}')
    with _parsing:
        config = Config.fromfile(path)
    try:
        config.merge_from_dict(options)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise ConfigOptionError(f'cannot apply {options}: {error}') from error
    return config


def add_cfg_options(
    parser: argparse.ArgumentParser,
    text: str = 'override settings of the config, e.g. model.backbone.depth=18; lists as '
    'key="[a,b]" or key=a,b, tuples as key="(a,b)"',
    default: list[str] | None = None,
) -> None:
    """Add ``--cfg-options``, which may be given several times, as with MMEngine."""
    parser.add_argument(
        '--cfg-options', action='extend', nargs='+', default=default, metavar='KEY=VALUE', help=text
    )


def add_common_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that mean the same in training and testing (MMPose's names)."""
    add = parser.add_argument
    add('--work-dir', help='folder for logs and results; default: ./work_dirs/CONFIG_NAME')
    add('--show-dir', help='folder for images with predictions drawn in')
    add('--show', action='store_true', help='show images with predictions in a window')
    add('--interval', type=int, default=1, help='draw every n-th sample (--show, --show-dir)')
    add('--wait-time', type=float, default=1, help='seconds that a window stays (--show)')
    add_cfg_options(parser)
    add('--trust-checkpoint', action='store_true', help=TRUST_HELP)
    add('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none', help='of a job')
    # torch.distributed.launch hands its processes this one; torchrun sets the variable instead.
    add('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)


def add_camera_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that :func:`wsp_mm.apis.cameras.cameras_of` reads."""
    group = parser.add_argument_group('camera of images that have none (it is never guessed)')
    one = group.add_mutually_exclusive_group()
    one.add_argument('--focal', type=float, nargs='+', metavar='PX', help='focal length, or fx fy')
    text = '{"f": [fx, fy], "c": [cx, cy]}, or one an image'
    one.add_argument('--camera', metavar='FILE.json', help=text)
    text = "assumed angle across the image's longer side"
    one.add_argument('--assume-fov', type=float, metavar='DEG', help=text)
    text, names = 'with --focal; default: the image centre', ('CX', 'CY')
    group.add_argument('--principal-point', type=float, nargs=2, metavar=names, help=text)
    text = 'with --camera: the images were resized after the calibration'
    group.add_argument('--scale-camera', action='store_true', help=text)


def parse_cfg_options(parser: argparse.ArgumentParser, values: list[str] | None) -> dict[str, Any]:
    """Return the words after ``--cfg-options`` as ``{'model.backbone.depth': 18, ...}``.

    MMEngine's own parser action does it, but only here, after all arguments are known to be right:
    it is slow to import.
    """
    if not values:
        return {}
    for value in values:
        if not value.partition('=')[0] or '=' not in value:
            parser.error(f'--cfg-options takes KEY=VALUE, not {value!r}')
    from mmengine.config import DictAction

    inner = argparse.ArgumentParser()
    inner.add_argument('--cfg-options', nargs='+', action=DictAction)
    return inner.parse_args(['--cfg-options', *values]).cfg_options


def config_from_args(parser: argparse.ArgumentParser, args: argparse.Namespace):
    """Return :func:`load_config` of ``args.config`` and ``args.cfg_options``, or end the
    program.
    """
    try:
        return load_config(args.config, parse_cfg_options(parser, args.cfg_options))
    except (FileNotFoundError, ConfigOptionError) as error:
        parser.error(str(error))


def apply_common_arguments(cfg, args: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Write the options of :func:`add_common_arguments` into the config and the environment."""
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
        hook = (cfg.get('default_hooks') or {}).get('visualization')
        if not hook:
            parser.error('--show and --show-dir need default_hooks.visualization in the config')
        # mmdet's hook, that of detectors, has other names for two of MMPose's settings.
        detector = hook.get('type') == 'DetVisualizationHook'
        switch, folder = ('draw', 'test_out_dir') if detector else ('enable', 'out_dir')
        hook.update({switch: True, folder: args.show_dir}, show=args.show, interval=args.interval)
        if args.show:
            hook.update(wait_time=args.wait_time)


def printable(text: object) -> str:
    """Return what a terminal can show: control characters, such as those of escape sequences, and
    bytes that are not UTF-8 are written as ``\\x1b`` and ``\\udcff``.
    """
    return ''.join(c if c.isprintable() else c.encode('unicode_escape').decode() for c in str(text))


def require_checkpoint(parser: argparse.ArgumentParser, name: str) -> None:
    """End the program, before anything is built, when a local checkpoint is not there."""
    if '://' not in name and not Path(name).expanduser().is_file():
        parser.error(f'checkpoint {name} does not exist')


def run_and_explain(action: Callable[[], Result]) -> Result:
    """Call the work of a tool; a refused checkpoint, or a disk that is full or read-only, ends the
    program with its message alone.

    MMEngine loads every checkpoint safely meanwhile, and refuses initial weights of another
    network. As one of several processes, any failure is left for the launcher to tell
    (:func:`wsp_mm.utils.compat.run_rank`).
    """
    from wsp_mm.utils.checkpoint import CheckpointError, safe_loading
    from wsp_mm.utils.compat import finish_distributed, run_rank
    from wsp_mm.utils.pretrained import checked_pretrained

    try:
        with safe_loading(), checked_pretrained():
            result = run_rank(action)
    except CheckpointError as error:
        raise SystemExit(f'{type(error).__name__}: {error}') from None
    except (OSError, RuntimeError) as error:  # torch.save makes a RuntimeError of it
        cause: BaseException | None = error
        while cause is not None and getattr(cause, 'errno', None) not in DISK_ERRORS:
            cause = cause.__cause__ or cause.__context__
        if cause is None:
            raise
        remedy = 'check free space and permissions, or name another folder'
        raise SystemExit(f'{type(cause).__name__}: {cause}: {remedy}') from None
    finish_distributed()
    return result
