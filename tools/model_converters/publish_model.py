# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Strip a checkpoint to weights and plain metadata, which load anywhere without trust.

``torch.load(file, weights_only=True)`` reads the result.
:func:`wsp_mm.utils.checkpoint.published_form` says what is kept. What it prints goes into
``model_zoo/metafile.yml``; Size is in bytes.
"""

import argparse
import os
import sys
from datetime import date
from pathlib import Path

from wsp_mm.utils.cli import TRUST_HELP


def publish(
    in_file: str | Path, out_file: str | Path, half: bool = False, config: str | None = None
) -> Path:
    """Write the publishable form of a checkpoint.

    Args:
        in_file: a training checkpoint.
        out_file: where to, e.g. ``models/wsp_r50.pth``; the hash and the date are added to the name
            as MMPose does.
        half: store floating-point numbers as float16. Models take them as their own type when they
            load them.
        config: name of the configuration, kept as ``meta['config_name']`` instead of its whole
            text, which has the paths of the training's machine.

    Returns:
        The file written: ``models/wsp_r50-1a2b3c4d_20250101.pth``, whose SHA-256 starts with
        ``1a2b3c4d``.

    Raises:
        wsp_mm.utils.checkpoint.CheckpointError: ``in_file`` is unsafe or broken.
        ValueError: it holds no weights, or one that is too large for float16.
        TypeError: its metadata has no plain form.
    """
    import torch

    from wsp_mm.utils.checkpoint import load_file, published_form
    from wsp_mm.utils.files import atomic_file, file_sha256

    published = published_form(load_file(in_file, map_location='cpu'), str(in_file))
    state = published['state_dict']
    halves = {}  # a tensor under several names (convolutions shared by levels) is stored once
    for name, value in state.items() if half else ():
        if value.is_floating_point():
            key = value.shape, value.numpy().tobytes()
            state[name] = halves.setdefault(key, value.half())
            if value.isfinite().all() and not state[name].isfinite().all():
                raise ValueError(f'{in_file}: {name} is too large for float16: leave out --half')
    if config is not None:
        published['meta'].pop('cfg', None)
        published['meta']['config_name'] = config
    stem = Path(str(out_file).removesuffix('.pth'))
    unnamed = stem.with_name(f'{stem.name}.unnamed')
    with atomic_file(unnamed) as file:
        torch.save(published, file)
    final = stem.with_name(f'{stem.name}-{file_sha256(unnamed)[:8]}_{date.today():%Y%m%d}.pth')
    os.replace(unnamed, final)
    return final


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description='Strip a checkpoint to weights and plain metadata.'
    )
    parser.add_argument('in_file', help='training checkpoint')
    parser.add_argument('out_file', help='output name; -HASH_DATE.pth is added')
    parser.add_argument('--half', action='store_true', help='store weights as float16')
    parser.add_argument(
        '--config', metavar='NAME', help="keep this name instead of the configuration's whole text"
    )
    parser.add_argument('--trust-checkpoint', action='store_true', help=TRUST_HELP)
    return parser


def main() -> None:
    args = build_parser().parse_args()

    from wsp_mm.utils.checkpoint import CheckpointError, trust_checkpoints
    from wsp_mm.utils.files import file_sha256

    if args.trust_checkpoint:
        trust_checkpoints()
    try:
        final = publish(args.in_file, args.out_file, args.half, args.config)
    except (CheckpointError, OSError, ValueError, TypeError) as error:
        sys.exit(str(error))
    print(f'{final}\nSHA256: {file_sha256(final)}\nSize: {final.stat().st_size}')


if __name__ == '__main__':
    main()
