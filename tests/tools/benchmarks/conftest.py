# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import json
import sys
from pathlib import Path

import pytest
from process_fixture import run as process

sys.path.append(str(Path(__file__).resolve().parents[3] / 'tools' / 'benchmarks'))


@pytest.fixture
def run_bench(repo, tmp_path):
    """``run_bench('bench_x', '--size', '3')`` runs a benchmark as a process; its json."""

    def run(name: str, *options: str) -> dict:
        out = tmp_path / 'new' / f'{name}.json'
        script = repo / 'tools' / 'benchmarks' / f'{name}.py'
        words = [sys.executable, script, '--json', out, *options]
        done = process(*words, cwd=tmp_path, PYTHONPATH=str(repo), OMP_NUM_THREADS='1')
        found = json.loads(out.read_text())
        assert found['benchmark'] == name and found['machine'] in done.stdout
        for table in found['tables']:
            assert f'**{table["title"]}**' in done.stdout
            assert all(value >= 0 for values in table['rows'].values() for value in values)
        titles = {table['title']: table for table in found['tables']}
        return found | dict(by_title=titles, stdout=done.stdout)

    return run
