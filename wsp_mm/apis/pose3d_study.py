# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Train a 3D pose network and test it, through the command-line tools, once for what it depends
on.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wsp_mm.apis.steps import StepFailed, Steps

# What a training reads below the data root, by the type of its data set.
DATA_FILES = {
    'H36MImageDataset': ('human36m/arrays/*',),
    'MuCoDataset': ('muco/*.json',),
    'MuPoTSDataset': ('mupots/*.json', 'mupots/MultiPersonTestSet/*/*.mat'),
    'MCPCDataset': ('mcpc/*.json',),
    'MpiiDataset': ('mpii/annotations/*.json',),
    'CocoDataset': ('coco/annotations/person_keypoints_*.json',),
}


def dataset_types(node: Any) -> Iterator[str]:
    """Every ``type`` in a configuration node that names a data set, at any depth."""
    if isinstance(node, Mapping):
        if str(node.get('type', '')).endswith('Dataset'):
            yield node['type']
        for value in node.values():
            yield from dataset_types(value)
    elif isinstance(node, (list, tuple)):
        for value in node:
            yield from dataset_types(value)


def data_files(config: Any, root: Path, data_root: str) -> list[Path]:
    """Annotation files of the data sets that ``config`` trains and tests on, relative to ``root``.

    Raises:
        StepFailed: there are none at all: the data were not made.
    """
    loaders = [config.get('train_dataloader'), config.get('test_dataloader')]
    patterns = {pattern for name in dataset_types(loaders) for pattern in DATA_FILES.get(name, ())}
    files = sorted({file for pattern in patterns for file in (root / data_root).glob(pattern)})
    if not files:
        raise StepFailed(
            f'{root / data_root} holds none of {sorted(patterns)}: make or link the data first'
        )
    return [Path(data_root) / file.relative_to(root / data_root) for file in files]


@dataclass
class PoseStudy:
    """One network: its training and its test.

    Args:
        steps: the chain that runs and remembers commands.
        name: prefix of the steps.
        config: config of training and test.
        data_root: folder of the data.
        work_dir: where the training writes, relative to the chain's root.
        train_options: ``--cfg-options`` of the training alone (the action of a cross-action model,
            the checkpoint that it starts from).
        options: ``--cfg-options`` of training and test.
        pretrained: checkpoint that the training starts from (``model.init_cfg.checkpoint``); None:
            the config's own start.
    """

    steps: Steps
    name: str
    config: str
    data_root: str
    work_dir: Path
    train_options: Sequence[str] = ()
    options: Sequence[str] = ()
    pretrained: Path | None = None

    def train(self) -> float:
        """Train, going on from the last checkpoint of the same training if there is one; returns
        seconds.

        Raises:
            StepFailed: the training failed, or something that it reads is missing.
        """
        text, reads = self._depends()
        identity = [text, *self._cfg_options(self.train_options)]
        self.steps.fresh_or_same(self.work_dir, identity, reads)
        start = [] if self.pretrained is None else [f'model.init_cfg.checkpoint={self.pretrained}']
        command = ['tools/train.py', self.config, '--work-dir', self.work_dir, '--resume']
        return self.steps.run(
            f'{self.name}-train',
            [*command, *self._cfg_options([*start, *self.train_options])],
            reads=reads,
            writes=[self.work_dir / 'last_checkpoint'],
            depends=text,
            env=self.env,
        )

    def _cfg_options(self, more: Sequence[str] = ()) -> list[str]:
        options = [*more, *self.options]
        return ['--cfg-options', *options] if options else []

    @property
    def env(self) -> dict[str, str]:
        """Variables of training and test: where the data lie."""
        return {'WSP_DATA': str(self.data_root)}

    def _depends(self) -> tuple[str, list[Path]]:
        """The whole config as text, and the files that the training reads."""
        from wsp_mm.utils.cli import load_config

        options = [option.partition('=') for option in (*self.train_options, *self.options)]
        config = load_config(self.steps.root / self.config)
        text = f'data: {self.data_root}\n{config.pretty_text}'
        reads = data_files(config, self.steps.root, self.data_root)
        starts = [self.pretrained] if self.pretrained is not None else []
        starts += [value for name, _, value in options if name == 'model.init_cfg.checkpoint']
        for file in starts:
            if not (self.steps.root / file).is_file():
                raise StepFailed(f'{self.name} starts from {file}, which does not exist')
            reads.append(Path(file))
        return text, reads

    def last_checkpoint(self) -> Path:
        return Path((self.steps.root / self.work_dir / 'last_checkpoint').read_text().strip())

    def test(self) -> dict[str, float]:
        """Test the trained network, keep its predictions, and return its flat metrics."""
        checkpoint = self.last_checkpoint()
        text, reads = self._depends()
        command = ['tools/test.py', self.config, checkpoint, '--work-dir', self.work_dir / 'test']
        command += ['--dump', self.dump, '--out', self._metrics, *self._cfg_options()]
        self.steps.run(
            f'{self.name}-test',
            command,
            reads=[checkpoint, *reads],
            writes=[self.dump, self._metrics],
            depends=text,
            env=self.env,
        )
        return json.loads((self.steps.root / self._metrics).read_text())

    @property
    def dump(self) -> Path:
        """Predictions of the test, relative to the chain's root."""
        return self.work_dir / 'test' / 'predictions.npz'

    @property
    def _metrics(self) -> Path:
        return self.work_dir / 'test' / 'metrics.json'

    @property
    def seconds(self) -> float:
        """How long the training took when it last ran."""
        return self.steps.seconds[f'{self.name}-train']
