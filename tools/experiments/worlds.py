# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""The embedded worlds as steps."""

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from runner import Step

#: Preset -> folder of its worlds.
DATA_ROOTS = dict(small='data/synthetic', tiny='data/synthetic_tiny', full='data/synthetic_full')
SOURCES = ('coco', 'mpii', 'posetrack18', 'crowdpose')


@dataclass(frozen=True)
class Worlds:
    """How and where the embedded worlds are made.

    Attributes:
        root: folder of the data; configs find it by the variable WSP_DATA. preset: size.
        workers: processes that render.
    """

    root: Path
    preset: str = 'small'
    seed: int = 0
    workers: int = 1

    def __post_init__(self) -> None:
        os.environ['WSP_DATA'] = f'{self.root}/'

    def wild(self) -> list[Step]:
        """The wild world, and MCPC gathered from it."""
        return [self._render('wild', (*SOURCES, 'ground_truth'), 50), self.mcpc()]

    def mcpc(self, folder: str = 'mcpc', options: Sequence[object] = ()) -> Step:
        """MCPC gathered from the wild world in ``folder`` of the data, with these ``options`` of
        ``build_mcpc.py``.
        """
        sources = [text for name in SOURCES for text in (f'--{name}', self.root / name)]
        inputs, out = [self.root / name / '**/*.json' for name in SOURCES], self.root / folder
        command = ['tools/dataset_converters/build_mcpc.py', *sources, '--out', out, *options]
        return Step(folder, command, inputs, [out / 'mcpc_train.json', out / 'mcpc_test.json'])

    def h36m(self) -> list[Step]:
        """The Human3.6M world, and its annotations as the arrays that the data set reads."""
        tool, folder = 'tools/dataset_converters/convert_h36m.py', self.root / 'human36m'
        command = [tool, '--data-root', self.root, '--quiet']
        arrays = Step('h36m-arrays', command, [folder / 'annotations'], [folder / 'arrays'])
        return [self._render('h36m', ('human36m', 'h36m'), 25), arrays]

    def multi_person(self) -> list[Step]:
        """The worlds in the layouts of MuCo-3DHP and MuPoTS-3D."""
        return [self._render(name, (name,), 30) for name in ('muco', 'mupots')]

    def _render(self, world: str, folders: Sequence[str], seconds: float) -> Step:
        command = ['tools/dataset_converters/make_world.py', '--worlds', world]
        command += ['--preset', self.preset, '--out', self.root, '--seed', self.seed]
        workers = ['--workers', self.workers]
        outputs = [self.root / folder for folder in folders]
        return Step(world, command, (), outputs, uncounted=workers, alone=True, seconds=seconds)


def add_world_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which worlds are made, and where."""
    add = parser.add_argument
    add('--data-root', type=Path, help='folder of the worlds, which are made if they are absent')
    add('--preset', choices=DATA_ROOTS, default='small', help='size of the worlds')
    add('--seed', type=int, default=0, help='of worlds and trainings (default: 0)')
    add('--workers', type=int, default=os.cpu_count(), help='processes that render')


def worlds_of(args: argparse.Namespace) -> Worlds:
    """The worlds of :func:`add_world_arguments`."""
    root = args.data_root or DATA_ROOTS[args.preset]
    return Worlds(Path(root), args.preset, args.seed, args.workers)
