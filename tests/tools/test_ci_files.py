# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""The commands that README and CI rely on exist and mean what they say."""

import os
import shutil

import pytest
import yaml
from process_fixture import run

needs_make = pytest.mark.skipif(shutil.which('make') is None, reason='make is not installed')


@needs_make
@pytest.mark.parametrize(
    'target, words',
    [
        ('setup', ['tools/setup_env.sh']),
        ('test', ['tools/setup_env.sh', "-m pytest -n auto -m 'not slow' -x"]),
        ('test-slow', ['tools/setup_env.sh', '-m pytest -n auto -m slow -x']),
        ('quickstart', ['tools/setup_env.sh', 'tools/experiments/quickstart.py --preset tiny']),
        ('study', ['tools/setup_env.sh', 'tools/experiments/study.py --stage A --preset tiny']),
        ('lint', ['tools/setup_env.sh', 'ruff check .', 'ruff format --check .']),
        (
            'docs',
            ['tools/setup_env.sh', 'requirements/docs.txt', '-m sphinx -W', 'site/index.html'],
        ),
    ],
)
def test_make_targets(target, words, repo):
    def lines_of(*more):
        done = run('make', '--no-print-directory', '-n', target, *more, cwd=repo)
        return done.stdout.splitlines()

    lines = lines_of('PRESET=tiny', 'PYTEST_ARGS=-x')
    assert '--preset' not in str(lines_of())  # without one the tool decides
    assert len(lines) == len(words)
    for line, expected in zip(lines, words, strict=True):
        assert expected in line
        script = [word for word in line.split() if word.startswith('tools/')]
        assert all((repo / word).is_file() for word in script)


@pytest.mark.parametrize('script', ['.ci/run', 'tools/setup_env.sh', 'tools/dist_train.sh'])
def test_scripts_are_executable_and_parse(script, repo):
    assert os.access(repo / script, os.X_OK)
    run('bash', '-n', repo / script)


def test_workflow_runs_ci(repo):
    workflow = yaml.safe_load((repo / '.github/workflows/ci.yml').read_text())
    (job,) = workflow['jobs'].values()
    assert any(step.get('run', '').startswith('.ci/run') for step in job['steps'])
    assert set(workflow[True]) == {'push', 'pull_request'}  # YAML 1.1 reads `on` as a boolean


def test_citation(repo):
    import wsp_mm

    citation = yaml.safe_load((repo / 'CITATION.cff').read_text())
    paper = citation['preferred-citation']
    readme = (repo / 'README.md').read_text()
    assert citation['version'] == wsp_mm.__version__ and citation['license'] == 'Apache-2.0'
    assert f'title  = {{{paper["title"]}}}' in readme
    names = (f'{author["family-names"]}, {author["given-names"]}' for author in paper['authors'])
    assert f'author = {{{" and ".join(names)}}}' in readme
