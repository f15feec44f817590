# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Make a checkpoint fit to hand on: weights and plain metadata, nothing that a loader would have to trust.

Drops optimizer, schedulers and logs. With an EMA hook ``state_dict`` already holds the averaged weights, so the
copy of the raw ones goes, too. The result loads with ``torch.load(file, weights_only=True)`` alone.
"""

import argparse
import hashlib
import os
import sys
from collections import OrderedDict
from datetime import date
from pathlib import Path
from typing import Any

META_KEYS = (
    'cfg',
    'seed',
    'epoch',
    'iter',
    'experiment_name',
    'time',
    'mmengine_version',
    'wsp_mm',
    'train_subjects',  # without it a test cannot tell whether it scores subjects seen in training
)


def plain(value: Any, where: str) -> Any:
    """Turn metadata into what ``weights_only=True`` reads: numbers, strings, containers and tensors.

    Args:
        value: Anything from a checkpoint's ``meta``; numpy arrays become tensors, numpy numbers become
        Python's. where: Name for the error.

    Raises:
        TypeError: Something that has no plain form.
    """
    import numpy as np
    import torch

    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray) and value.dtype.kind in 'biuf':
        return torch.from_numpy(value.copy())
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, torch.Tensor):
        return value.detach().cpu().clone()
    if isinstance(value, dict):
        return {plain(key, where): plain(item, f'{where}.{key}') for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(plain(item, f'{where}[{i}]') for i, item in enumerate(value))
    if isinstance(value, (set, frozenset)):
        return sorted(plain(item, where) for item in value)
    raise TypeError(f'{where} is a {type(value).__name__}, which has no plain form')


def publish(in_file: str | Path, out_file: str | Path) -> Path:
    """Write the publishable form of a checkpoint.

    Args:
        in_file: A training checkpoint.
        out_file: Where to, e.g. ``models/wsp_r50.pth``; the hash and the date are added to the name as MMPose
            does.

    Returns:
        The file written: ``models/wsp_r50-1a2b3c4d_20250101.pth``, whose SHA-256 starts with ``1a2b3c4d``.

    Raises:
        wsp_mm.utils.checkpoint.CheckpointError: ``in_file`` is unsafe or broken.
        ValueError: It holds no weights.
    """
    import torch

    import wsp_mm
    from wsp_mm.utils.checkpoint import PUBLISHED_FORMAT, load_file

    checkpoint = load_file(in_file, map_location='cpu')
    state = checkpoint.get('state_dict', checkpoint) if isinstance(checkpoint, dict) else None
    if not state or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise ValueError(f'{in_file} holds no `state_dict` of tensors')
    meta = checkpoint.get('meta') or {}
    published = {key: plain(meta[key], f'meta.{key}') for key in META_KEYS if key in meta}
    published.update(
        format=PUBLISHED_FORMAT,
        dataset_meta=plain(meta.get('dataset_meta') or {}, 'meta.dataset_meta'),
        published_with=dict(wsp_mm=wsp_mm.__version__, torch=str(torch.__version__)),
    )
    if not published['dataset_meta']:
        del published['dataset_meta']
    # A tensor that is a view would drag its whole storage along.
    weights = OrderedDict((key, value.detach().cpu().clone()) for key, value in state.items())

    stem = Path(out_file).with_suffix('') if Path(out_file).suffix == '.pth' else Path(out_file)
    stem.parent.mkdir(parents=True, exist_ok=True)
    part = stem.with_name(f'{stem.name}.part')
    torch.save(dict(meta=published, state_dict=weights), part)
    digest = hashlib.sha256(part.read_bytes()).hexdigest()
    final = stem.with_name(f'{stem.name}-{digest[:8]}_{date.today():%Y%m%d}.pth')
    os.replace(part, final)
    return final


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description='Strip a checkpoint to weights and plain metadata.')
    parser.add_argument('in_file', help='training checkpoint')
    parser.add_argument('out_file', help='output name; -HASH_DATE.pth is added')
    parser.add_argument('--trust-checkpoint', action='store_true', help='read IN_FILE even if it executes code')
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
