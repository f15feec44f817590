# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import json
import os
import subprocess
import sys

import pytest


@pytest.fixture
def run_bench(repo, tmp_path):
    """``run_bench('bench_x', '--size', '3')`` runs a benchmark as a process; its json."""

    def run(name: str, *options: str) -> dict:
        out = tmp_path / 'new' / f'{name}.json'
        script = repo / 'tools' / 'benchmarks' / f'{name}.py'
        done = subprocess.run(
            [sys.executable, str(script), '--json', str(out), *options],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={**os.environ, 'PYTHONPATH': str(repo), 'OMP_NUM_THREADS': '1'},
        )
        assert done.returncode == 0, done.stdout + done.stderr
        found = json.loads(out.read_text())
        assert found['benchmark'] == name and found['machine'] in done.stdout
        for table in found['tables']:
            assert f'**{table["title"]}**' in done.stdout
            assert all(value >= 0 for values in table['rows'].values() for value in values)
        titles = {table['title']: table for table in found['tables']}
        return found | dict(by_title=titles, stdout=done.stdout)

    return run
