# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""The embedded worlds as steps of a chain."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from wsp_mm.apis.steps import Steps

SOURCES = ('coco', 'mpii', 'posetrack18', 'crowdpose')


def make_data(steps: Steps, preset: str, data_root: str, seed: int, workers: int) -> None:
    """Render the wild world and gather MCPC from it."""
    root = Path(data_root)
    make_named_world(steps, 'wild', preset, data_root, seed, workers, [*SOURCES, 'truth'], 'world')
    folders = [text for source in SOURCES for text in (f'--{source}', root / source)]
    steps.run(
        'mcpc',
        ['tools/dataset_converters/build_mcpc.py', *folders, '--out', root / 'mcpc'],
        reads=[root / 'coco/annotations/person_keypoints_train2017.json'],
        writes=[root / 'mcpc/mcpc_train.json', root / 'mcpc/mcpc_test.json'],
    )


def make_lab(steps: Steps, preset: str, data_root: str, seed: int, workers: int) -> None:
    """Render the h36m world, in both layouts of Human3.6M, and convert its annotations."""
    make_named_world(steps, 'h36m', preset, data_root, seed, workers, ['human36m', 'h36m'], 'lab')
    root = Path(data_root)
    folder = root / 'human36m/annotations'
    annotations = sorted((steps.root / folder).glob('*.json'))
    steps.run(
        'h36m-arrays',
        ['tools/dataset_converters/convert_h36m.py', '--data-root', data_root],
        reads=[folder / file.name for file in annotations],
        writes=[root / 'human36m/arrays'],
    )


def make_named_world(
    steps: Steps,
    world: str,
    preset: str,
    data_root: str,
    seed: int,
    workers: int,
    folders: Sequence[str],
    name: str,
) -> None:
    """Render one of the embedded worlds as the step ``name``, which writes ``folders`` below
    ``data_root``.
    """
    command = ['tools/make_world.py', '--worlds', world, '--preset', preset, '--out', data_root]
    steps.run(
        name,
        [*command, '--seed', seed, '--workers', workers],
        writes=[Path(data_root) / folder for folder in folders],
    )
