# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Make a checkpoint fit to hand on: weights and plain metadata, nothing that a loader would have to
trust.

The result loads with ``torch.load(file, weights_only=True)`` alone; what is kept:
wsp_mm/utils/publish.py.
"""

import argparse
import os
import sys
from datetime import date
from pathlib import Path

from wsp_mm.utils.publish import META_KEYS, plain, published_form

__all__ = ['META_KEYS', 'plain', 'publish']


def publish(in_file: str | Path, out_file: str | Path) -> Path:
    """Write the publishable form of a checkpoint.

    Args:
        in_file: A training checkpoint.
        out_file: Where to, e.g. ``models/wsp_r50.pth``; the hash and the date are added to the name
            as MMPose does.

    Returns:
        The file written: ``models/wsp_r50-1a2b3c4d_20250101.pth``, whose SHA-256 starts with
        ``1a2b3c4d``.

    Raises:
        wsp_mm.utils.checkpoint.CheckpointError: ``in_file`` is unsafe or broken.
        ValueError: It holds no weights.
    """
    import torch

    from wsp_mm.utils.checkpoint import load_file
    from wsp_mm.utils.files import file_sha256

    published = published_form(load_file(in_file, map_location='cpu'), str(in_file))
    stem = Path(out_file).with_suffix('') if Path(out_file).suffix == '.pth' else Path(out_file)
    stem.parent.mkdir(parents=True, exist_ok=True)
    part = stem.with_name(f'{stem.name}.part')
    torch.save(published, part)
    digest = file_sha256(part)
    final = stem.with_name(f'{stem.name}-{digest[:8]}_{date.today():%Y%m%d}.pth')
    os.replace(part, final)
    return final


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description='Strip a checkpoint to weights and plain metadata.'
    )
    parser.add_argument('in_file', help='training checkpoint')
    parser.add_argument('out_file', help='output name; -HASH_DATE.pth is added')
    parser.add_argument(
        '--trust-checkpoint', action='store_true', help='read IN_FILE even if it executes code'
    )
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
