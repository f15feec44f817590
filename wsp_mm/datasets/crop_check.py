# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Whether a crop cache is of the data set and the augmentation that it is to be used with: seen at
start-up.

Each sample is looked up by file name, id and box, and each crop is compared with what is cached of
its frame. So a cache that does not fit is noticed when a sample is drawn, at the latest; what can
be said before is said here.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from wsp_mm.datasets.crop_cache import CropCache, CropCacheError, how_to
from wsp_mm.datasets.crop_reach import Reach
from wsp_mm.utils.files import file_sha256

#: So many samples are looked up at start-up, and the sizes of their frames compared.
_SAMPLES = 64


def annotation_files(dataset: Any, digest: bool = True) -> list[dict]:
    """Files that a data set's samples come from: file, size, mtime_ns, sha256 (``digest``), path.

    Human3.6M's index stands for the files that it was made of, so a cache serves both.
    """
    if getattr(dataset, 'layout', None) == 'index':
        from wsp_mm.datasets.h36m_index import read_header

        sources = read_header(dataset.ann_path)['sources']
        return [
            dict(source, file=os.path.basename(source['file']), path=None) for source in sources
        ]
    table = getattr(dataset, 'table', None)
    paths = [Path(path) for path in (table.files if table is not None else [dataset.ann_file])]
    out = []
    for path in paths:
        stat = path.stat()
        one = dict(file=path.name, size=stat.st_size, mtime_ns=stat.st_mtime_ns, path=str(path))
        out.append(one | (dict(sha256=file_sha256(path)) if digest else {}))
    return out


def check_crop_caches(dataset: Any, later: Sequence[Any] = ()) -> None:
    """See whether the caches that a data set's pipeline reads are right for it.

    Args:
        dataset: with a built pipeline; of a mixture (``datasets``), each of its data sets is looked
            at as well.
        later: steps that run after the pipeline.

    Raises:
        CropCacheError: a cache of another data set, other annotations or frames, or smaller
            augmentation.
        ValueError: a cache in a pipeline for tests.
    """
    own = list(dataset.pipeline.transforms)
    for number, step in enumerate(own):
        if getattr(step, 'cache', None) is not None and hasattr(step, 'crop_cache'):
            check_crop_cache(step.cache, dataset, step, [*own[number + 1 :], *later])
    for inner in getattr(dataset, 'datasets', ()):
        if hasattr(getattr(inner, 'pipeline', None), 'transforms'):
            check_crop_caches(inner, [*own, *later])


def check_crop_cache(cache: CropCache, dataset: Any, read: Any, steps: Sequence[Any]) -> None:
    """One cache, see :func:`check_crop_caches`.

    Args:
        read: the ``ReadPicture`` that reads it.
        steps: those that follow. Where none of them crops (the pipeline of one data set of a
            mixture, before the mixture is there) they are not compared.
    """
    if getattr(dataset, 'test_mode', False):
        raise ValueError(
            f'{type(dataset).__name__}(test_mode=True) reads the crop cache {cache.folder}: tests take frames'
        )
    made, mend = cache.manifest, how_to(cache.folder)
    if made['dataset']['type'] != type(dataset).__name__:
        more = ''
        if hasattr(dataset, 'datasets'):
            more = " In a mixture the data set's own pipeline reads it: dict(type='ReadPicture', crop_cache=...)."
        raise CropCacheError(
            f'the crop cache {cache.folder} was made of {made["dataset"]["type"]}, not of '
            f'{type(dataset).__name__}.{more} {mend}'
        )
    if made['color_type'] != read.color_type:
        raise CropCacheError(
            f'the crop cache {cache.folder} was made with color_type {made["color_type"]!r}, this pipeline has '
            f'{read.color_type!r}. {mend}'
        )
    if any(hasattr(step, 'input_size') for step in steps):
        lacks = Reach.from_plain(made['reach']).lacks(Reach.of(steps))
        if lacks:
            raise CropCacheError(
                f'the crop cache {cache.folder} was made for other augmentation: {"; ".join(lacks)}. {mend}'
            )
    _check_annotations(cache, dataset)
    for i in np.unique(np.linspace(0, len(dataset) - 1, _SAMPLES).astype(int)).tolist():
        sample = dataset.get_data_info(i)
        cached = int(cache.record(sample)['frame_bytes'])
        try:
            found = os.stat(sample['img_path']).st_size
        except OSError:
            continue  # frames may be elsewhere by now
        if found != cached:
            raise CropCacheError(
                f'{sample["img_path"]} has {found:,} bytes, it had {cached:,} when the crop cache '
                f'{cache.folder} was made. {mend}'
            )


def _check_annotations(cache: CropCache, dataset: Any) -> None:
    """Files of one name must be the same; one of the same size and another date (a copied tree) is
    read.
    """
    made = {source['file']: source for source in cache.manifest['annotations']}
    now = annotation_files(dataset, digest=False)
    if not any(file['file'] in made for file in now):
        raise CropCacheError(
            f'the crop cache {cache.folder} was made of the annotations {", ".join(made)}, not of '
            f'{", ".join(file["file"] for file in now)}. {how_to(cache.folder)}'
        )
    for file in now:
        old = made.get(file['file'])
        if old is None:
            continue
        same = file['size'] == old['size']
        if same and file['mtime_ns'] != old['mtime_ns']:
            same = (file.get('sha256') or file_sha256(Path(file['path']))) == old['sha256']
        if not same:
            raise CropCacheError(
                f'{file["path"] or file["file"]} ({file["size"]:,} bytes) is not the one that the crop cache '
                f'{cache.folder} was made of ({old["size"]:,} bytes, sha256 {old["sha256"][:12]}...). '
                f'{how_to(cache.folder)}'
            )
