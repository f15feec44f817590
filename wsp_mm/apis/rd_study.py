# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Train a relative-depth network, test it under every protocol and control, and put the tables side
by side.

Everything runs through the command-line tools, as a user would type them; this module only chains
them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wsp_mm.apis.steps import Steps
from wsp_mm.evaluation.controls import (
    PairTable,
    control_table,
    load_pairs,
    load_probs,
    sign_test,
)

# What is tested: name -> suffix of the config beside the trained one.
PROTOCOLS = {'protocol 1': '', 'protocol 2 (ankles removed)': '_ra', 'grey picture': '_gray'}
SLUGS = {'protocol 1': 'p1', 'protocol 2 (ankles removed)': 'p2', 'grey picture': 'grey'}


@dataclass
class RelativeDepthStudy:
    """One network: its training and its tests.

    Args:
        steps: the chain that runs and remembers commands.
        name: prefix of the steps.
        config: config of the training; its ``_ra`` and ``_gray`` siblings change the test pictures
            alone.
        data_root: folder with the sources and ``mcpc/``.
        work_dir: where the training writes.
        options: ``--cfg-options`` of training and tests.
    """

    steps: Steps
    name: str
    config: str
    data_root: str
    work_dir: Path
    options: Sequence[str] = ()

    @property
    def mcpc_test(self) -> Path:
        return Path(self.data_root) / 'mcpc' / 'mcpc_test.json'

    def cfg_options(self) -> list[str]:
        return ['--cfg-options', *self.options] if self.options else []

    @property
    def env(self) -> dict[str, str]:
        """Variables of training and tests: where the data lie."""
        return {'WSP_DATA': str(self.data_root)}

    def train(self, depends: str = '') -> float:
        """Train, going on from the last checkpoint of the same training if there is one; returns
        seconds.

        Args:
            depends: the config's text. Where it, an option or the data changed, the work dir of the
                earlier training is removed: going on from its checkpoints would train nothing.
        """
        reads = [Path(self.data_root) / 'mcpc' / 'mcpc_train.json', self.mcpc_test]
        depends = f'data: {self.data_root}\n{depends}'
        self.steps.fresh_or_same(self.work_dir, [depends, *self.cfg_options()], reads[:1])
        command = ['tools/train.py', self.config, '--work-dir', self.work_dir, '--resume']
        return self.steps.run(
            f'{self.name}-train',
            command + self.cfg_options(),
            reads=reads,
            writes=[self.work_dir / 'last_checkpoint'],
            depends=depends,
            env=self.env,
        )

    def last_checkpoint(self) -> Path:
        return Path((self.steps.root / self.work_dir / 'last_checkpoint').read_text().strip())

    def test(self, protocol: str = 'protocol 1') -> float:
        """Test the trained network under one of :data:`PROTOCOLS`; returns seconds."""
        config = self.config.removesuffix('.py') + PROTOCOLS[protocol] + '.py'
        slug = SLUGS[protocol]
        checkpoint = self.last_checkpoint()
        out = self.work_dir / 'test'
        command = ['tools/test.py', config, checkpoint, '--work-dir', out / slug]
        command += [
            '--dump',
            self.dump(protocol),
            '--out',
            self._metrics(protocol),
            *self.cfg_options(),
        ]
        return self.steps.run(
            f'{self.name}-test-{slug}',
            command,
            reads=[checkpoint, self.mcpc_test],
            writes=[self.dump(protocol), self._metrics(protocol)],
            depends=f'data: {self.data_root}',
            env=self.env,
        )

    def dump(self, protocol: str) -> Path:
        """Predictions of a test, relative to the chain's root."""
        return self.work_dir / 'test' / f'{SLUGS[protocol]}.npz'

    def _metrics(self, protocol: str) -> Path:
        return self.work_dir / 'test' / f'{SLUGS[protocol]}.json'

    def metrics(self, protocol: str = 'protocol 1') -> dict[str, float]:
        """Flat metrics of a test that has run."""
        return json.loads((self.steps.root / self._metrics(protocol)).read_text())

    def predictions(
        self, table: PairTable, protocol: str = 'protocol 1'
    ) -> tuple[np.ndarray, np.ndarray]:
        return load_probs(self.steps.root / self.dump(protocol), table)

    def against_rule(self, gt_dir: Path, rule: str = 'lower box bottom') -> dict[str, float]:
        """The network under protocol 1 against a box rule, pair by pair (see :func:`sign_test`)."""
        table = load_pairs(self.steps.root / self.mcpc_test, gt_dir)
        return sign_test(table, self.predictions(table)[1], table.rule(rule))

    def controls(self, gt_dir: Path | None) -> dict[str, dict[str, float]]:
        """Control table of the tests that have run (see :mod:`wsp_mm.evaluation.controls`)."""
        table = load_pairs(self.steps.root / self.mcpc_test, gt_dir)
        ran = [name for name in PROTOCOLS if (self.steps.root / self.dump(name)).is_file()]
        return control_table(
            table, {f'network, {name}': self.predictions(table, name) for name in ran}
        )
