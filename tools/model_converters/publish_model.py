# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Strip a checkpoint to weights and plain metadata, which load anywhere without trust.

``torch.load(file, weights_only=True)`` reads the result.
:func:`wsp_mm.utils.checkpoint.published_form` says what is kept.
"""

import argparse
import os
import sys
from datetime import date
from pathlib import Path

from wsp_mm.utils.cli import TRUST_HELP


def publish(in_file: str | Path, out_file: str | Path) -> Path:
    """Write the publishable form of a checkpoint.

    Args:
        in_file: a training checkpoint.
        out_file: where to, e.g. ``models/wsp_r50.pth``; the hash and the date are added to the name
            as MMPose does.

    Returns:
        The file written: ``models/wsp_r50-1a2b3c4d_20250101.pth``, whose SHA-256 starts with
        ``1a2b3c4d``.

    Raises:
        wsp_mm.utils.checkpoint.CheckpointError: ``in_file`` is unsafe or broken.
        ValueError: it holds no weights.
        TypeError: its metadata has no plain form.
    """
    import torch

    from wsp_mm.utils.checkpoint import load_file, published_form
    from wsp_mm.utils.files import atomic_file, file_sha256

    published = published_form(load_file(in_file, map_location='cpu'), str(in_file))
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
    parser.add_argument('--trust-checkpoint', action='store_true', help=TRUST_HELP)
    return parser


def main() -> None:
    args = build_parser().parse_args()

    from wsp_mm.utils.checkpoint import CheckpointError, trust_checkpoints

    if args.trust_checkpoint:
        trust_checkpoints()
    try:
        final = publish(args.in_file, args.out_file)
    except (CheckpointError, OSError, ValueError, TypeError) as error:
        sys.exit(str(error))
    print(f'{final} ({final.stat().st_size / 1e6:.1f} MB)')


if __name__ == '__main__':
    main()
