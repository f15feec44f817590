# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""A data loader's worker holds after 2,000 samples what it held after 200."""

import ctypes
import gc
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from mmpose.registry import DATASETS
from torch.utils.data import DataLoader, Dataset

from wsp_mm.datasets.h36m_arrays import open_arrays, write_arrays

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith('linux'),
    reason="reads the kernel's count of a process's memory, and trims glibc's",
)
EARLY, LATE, BATCH = 200, 2000, 20
# An epoch has 50,000 samples and more. A worker that keeps 6 kB of each (a record unpacked, two
# pages touched) fails here; one that keeps a crop (192 kB) fails thirty times over. What remains
# under the bound, 1 to 2 MiB as measured, are pages of the parent that the worker is the first to
# touch.
BOUND_BYTES = (LATE - EARLY) * 6144
ROWS = 6000


def private_growth(dataset: Dataset) -> int:
    """Bytes that are the worker's own after 2,000 samples and were not after 200."""
    drawn = 0

    def used(items: list) -> tuple[int, int] | None:  # in the worker
        nonlocal drawn
        drawn += len(items)
        if drawn not in (EARLY, LATE):
            return None
        # What is kept counts, not what the allocator has in reserve: its pools grow in steps of the
        # largest sample so far, and a collection touches the header of every object that was
        # inherited.
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)
        lines = Path('/proc/self/smaps_rollup').read_text().splitlines()
        private = [line.split()[1] for line in lines if line.startswith('Private_Dirty')]
        return drawn, sum(map(int, private)) * 1024

    order = [i * 997 % len(dataset) for i in range(LATE)]
    loader = DataLoader(dataset, BATCH, sampler=order, num_workers=1, collate_fn=used)
    found = dict(filter(None, loader))
    return found[LATE] - found[EARLY]


def many_pairs(root, tree):
    """MCPC's training json of ROWS images of two persons, all of them the same file."""
    tree.build_tree(root)
    path = root / 'mcpc' / 'mcpc_train.json'
    content = json.loads(path.read_text())
    image, people = content['images'][1], content['annotations'][3:5]
    content['images'] = [image | dict(id=i) for i in range(ROWS)]
    keys = range(2 * ROWS)
    content['annotations'] = [people[k % 2] | dict(id=k, image_id=k // 2) for k in keys]
    path.write_text(json.dumps(content))
    return dict(type='MCPCDataset', data_root=str(root), ann_file='mcpc/mcpc_train.json')


def many_frames(root, h36m):
    """Human3.6M's arrays of ROWS frames, all of them the same frame."""
    h36m.write_3dmppe(root, (1,))
    h36m.convert(root, subjects=(1,))
    arrays = open_arrays(root / 'arrays')
    columns = {name: np.repeat(column[:1], ROWS, axis=0) for name, column in arrays.columns.items()}
    given = arrays.header.keys() - {'format', 'version'}
    write_arrays(root / 'arrays', {key: arrays.header[key] for key in given}, columns)
    return dict(type='H36MImageDataset', data_root=str(root), ann_file='arrays', subjects=[1])


@pytest.mark.slow
@pytest.mark.parametrize('name', ['pairs', 'frames'])
def test_memory_does_not_grow(name, tmp_path, tree, h36m, pipelines, pose3d_pipelines):
    if name == 'pairs':
        dataset = dict(many_pairs(tmp_path, tree), pipeline=pipelines[0])
    else:
        dataset = dict(many_frames(tmp_path, h36m), pipeline=pose3d_pipelines[0])
    dataset = DATASETS.build(dataset)
    assert len(dataset) == ROWS
    dataset.set_item_seed(0, 0)
    assert private_growth(dataset) < BOUND_BYTES
