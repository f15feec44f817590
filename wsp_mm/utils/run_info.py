# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Which code made this run: the git revision in the log and in every checkpoint."""

import subprocess
from pathlib import Path

from mmengine.hooks import Hook
from mmpose.registry import HOOKS

import wsp_mm


def git_revision(folder: str | Path | None = None) -> str | None:
    """Revision of the repository that ``folder`` is tracked in.

    Args:
        folder: Defaults to the package's own folder.

    Returns:
        The full hash, with ``+changes`` when tracked files differ from it; None outside a
        repository, without git, or when the folder only happens to lie in somebody else's
        repository (an environment inside a project).
    """
    folder = Path(folder) if folder is not None else Path(__file__).resolve().parents[1]

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ['git', '-C', str(folder), *arguments],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
        return done.stdout.strip()

    try:
        if not git('ls-files', '--', '.'):
            return None
        revision = git('rev-parse', 'HEAD')
        return (
            f'{revision}+changes'
            if git('status', '--porcelain', '--untracked-files=no')
            else revision
        )
    except (OSError, subprocess.SubprocessError):
        return None


@HOOKS.register_module()
class RunInfoHook(Hook):
    """Logs version, git revision and seed, and writes them as ``meta['wsp_mm']`` into the
    checkpoints.
    """

    priority = 'VERY_LOW'

    def _info(self, runner) -> dict:
        if not hasattr(self, '_static'):
            self._static = dict(version=wsp_mm.__version__, git=git_revision() or 'unknown')
        return dict(self._static, seed=int(runner.seed))

    def before_run(self, runner) -> None:
        """Log one line as the run starts."""
        info = self._info(runner)
        runner.logger.info(
            f'wsp_mm {info["version"]}, git revision {info["git"]}, seed {info["seed"]}'
        )

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Add ``meta['wsp_mm'] = dict(version, git, seed)``."""
        checkpoint['meta']['wsp_mm'] = self._info(runner)
