#!/usr/bin/env python
# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Name what a config's data sets and metrics will miss, before a training starts.

Every data set of the dataloaders is loaded, which checks its annotation files, and its images are
looked for: the first of each folder and some others. With --all every image is looked for and
decoded. Metrics load the ground truth that they read on their own.

Exit status: 0 when all is there, 1 when something is missing or broken, 2 when the config cannot be
read.

Example:
    python tools/analysis_tools/check_data.py configs/wsp_pretrain_r50.py --all
"""

import argparse
import inspect
import os
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import PurePath

from wsp_mm.datasets.annotations import build_nonempty, first_of_folders, missing_images
from wsp_mm.utils.cli import add_cfg_options, config_from_args
from wsp_mm.utils.files import progress_bar


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument('config', help='configuration file')
    parser.add_argument('--all', action='store_true', help='decode every image, not look for some')
    parser.add_argument(
        '--samples', type=int, default=200, metavar='N',
        help='images of each data set without --all, beside the first of each folder (default: '
        '200)',
    )  # fmt: skip
    parser.add_argument(
        '--shown', type=int, default=20, metavar='N',
        help='missing images named a folder, 0 for all (default: 20)',
    )  # fmt: skip
    add_cfg_options(parser)
    return parser


def datasets_of(where: str, node: object) -> Iterator[tuple[str, Mapping]]:
    """Yield dotted name and entry of every data set, wrapped ones taken out of their wrappers."""
    if isinstance(node, (list, tuple)):
        for i, item in enumerate(node):
            yield from datasets_of(f'{where}.{i}', item)
    elif isinstance(node, Mapping):
        inner = [key for key in ('dataset', 'datasets') if key in node]
        for key in inner:
            yield from datasets_of(f'{where}.{key}', node[key])
        if not inner and 'type' in node:
            yield where, node


def check_dataset(cfg: Mapping, samples: int) -> tuple[list[str], list[str], int]:
    """Load a data set and look for its images.

    Args:
        cfg: its entry in the config.
        samples: number of images beside the first of each folder, 0 for all, which are decoded.

    Returns:
        Paths of the missing images, the damaged ones with what is wrong, and the number of those
        looked for.
    """
    from mmpose.registry import DATASETS

    changes = dict(pipeline=[])
    if 'check_images' in inspect.signature(DATASETS.get(cfg['type'])).parameters:
        changes['check_images'] = False  # it would stop at the first
    dataset = build_nonempty({**cfg, **changes})
    if hasattr(dataset, 'load_row'):  # the paths alone, without making samples
        paths = [dataset.load_row(int(row))['img_path'] for row in dataset.data_list]
    else:
        paths = [dataset.get_data_info(i)['img_path'] for i in range(len(dataset))]
    paths = list(dict.fromkeys(paths))
    if samples:
        spread = paths[:: max(1, len(paths) // samples)]
        paths = list(dict.fromkeys([*first_of_folders(paths), *spread]))
    absent = missing_images('', paths)
    gone = [path for path, missing in zip(paths, absent, strict=True) if missing]
    there = [path for path, missing in zip(paths, absent, strict=True) if not missing]
    return gone, [] if samples else damaged_images(there), len(paths)


def damaged_images(paths: list[str]) -> list[str]:
    """Decode images, and return 'path: what is wrong' of those that cannot be used."""
    import cv2
    from PIL import Image

    def damage(path: str) -> str:
        try:
            with Image.open(path) as image:
                image.load()  # a cut JPEG is an error here, OpenCV fills it with gray
            usual = image.format in ('JPEG', 'PNG')
            if usual or cv2.imread(path) is not None:
                return ''
            return f'{path}: OpenCV, which training reads with, cannot decode it'
        except Exception as error:  # decoders raise many types for broken files
            return f'{path}: empty file' if not os.path.getsize(path) else f'{path}: {error}'

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = progress_bar(pool.map(damage, paths), total=len(paths), label='decoding images')
        return [line for line in found if line]


def check_metric(cfg: Mapping) -> None:
    """Build a metric; those that score frames load their ground truth."""
    from mmpose.registry import METRICS

    getattr(METRICS.build(cfg), 'ground_truth', None)


def image_lines(paths: list[str], shown: int) -> Iterator[str]:
    """Yield the lines that name missing images, by folder."""
    by_folder = defaultdict(list)
    for path in paths:
        by_folder[str(PurePath(path).parent)].append(PurePath(path).name)
    for folder, names in by_folder.items():
        yield f'  {folder}: {len(names):,} of the images looked for are not there'
        yield from (f'    {name}' for name in names[: shown or None])
        if shown and len(names) > shown:
            yield f'    and {len(names) - shown:,} more (--shown 0 names them all)'


def main(argv: list[str] | None = None) -> int:
    parser = build_parser()
    args = parser.parse_args(argv)
    if args.samples < 1 or args.shown < 0:
        parser.error('--samples must be positive, --shown not negative')
    cfg = config_from_args(parser, args)
    from mmengine.registry import init_default_scope

    init_default_scope(cfg.get('default_scope', 'mmpose'))
    seen, broken, looked_for = set(), 0, 0
    for name in cfg:
        kind = name.rpartition('_')[2]
        if kind not in ('dataloader', 'evaluator') or not cfg[name]:
            continue
        for where, entry in datasets_of(name, cfg[name]):
            # Validation and test share their files.
            key = str({key: value for key, value in entry.items() if key != 'pipeline'})
            if key in seen:
                continue
            seen.add(key)
            absent, damaged, count = [], [], 1
            try:
                if kind == 'evaluator':
                    check_metric(entry)
                else:
                    absent, damaged, count = check_dataset(entry, 0 if args.all else args.samples)
            except Exception as error:  # whatever a data set raises is what the user must know
                broken += 1
                print(f'{where}: {entry["type"]}: {type(error).__name__}: {error}')
            if absent:
                broken += len(absent)
                print(f'{where}: {entry["type"]}: {len(absent):,} of {count:,} images are missing')
                print(*image_lines(absent, args.shown), sep='\n')
            if damaged:
                broken += len(damaged)
                print(f'{where}: {entry["type"]}: {len(damaged):,} images cannot be decoded')
                print(*(f'  {line}' for line in damaged[: args.shown or None]), sep='\n')
                if len(damaged) > args.shown > 0:
                    more = len(damaged) - args.shown
                    print(f'  and {more:,} more (--shown 0 names them all)')
            looked_for += count
    if not seen:
        print('the config has no dataloader with a data set')
    elif broken:
        print(f'{broken:,} missing or broken; docs/data_*.md say where to get what is missing')
    else:
        print(f'all there ({looked_for:,} images and files looked for)')
    return int(broken > 0 or not seen)


if __name__ == '__main__':
    sys.exit(main())
