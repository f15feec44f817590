# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""The commands that README and CI rely on exist and mean what they say."""

import os
import shutil
import subprocess

import pytest

needs_make = pytest.mark.skipif(shutil.which('make') is None, reason='make is not installed')


@needs_make
@pytest.mark.parametrize(
    'target, words',
    [
        ('setup', ['tools/setup_env.sh']),
        ('test', ['tools/setup_env.sh', "-m pytest -n auto -m 'not slow' -x"]),
        ('test-slow', ['tools/setup_env.sh', '-m pytest -n auto -m slow -x']),
        ('quickstart', ['tools/setup_env.sh', 'tools/experiments/quickstart.py --preset tiny']),
        ('ablation', ['tools/setup_env.sh', 'tools/experiments/ablation.py']),
        ('lint', ['tools/setup_env.sh', 'ruff check .', 'ruff format --check .']),
    ],
)
def test_make_targets(target, words, repo):
    command = ['make', '--no-print-directory', '-n', target, 'PRESET=tiny', 'PYTEST_ARGS=-x']
    done = subprocess.run(command, cwd=repo, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert len(lines) == len(words)
    for line, expected in zip(lines, words, strict=True):
        assert expected in line
        script = [word for word in line.split() if word.startswith('tools/')]
        assert all((repo / word).is_file() for word in script)


@needs_make
def test_without_a_preset_the_tool_decides(repo):
    done = subprocess.run(
        ['make', '--no-print-directory', '-n', 'quickstart'],
        cwd=repo,
        capture_output=True,
        text=True,
        check=True,
    )
    assert '--preset' not in done.stdout


@pytest.mark.parametrize('script', ['.ci/run', 'tools/setup_env.sh', 'tools/dist_train.sh'])
def test_scripts_are_executable_and_parse(script, repo):
    assert os.access(repo / script, os.X_OK)
    assert subprocess.run(['bash', '-n', repo / script]).returncode == 0
