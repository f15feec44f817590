# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import itertools
import sys
import time
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))  # scale_out_fixture

_numbers = itertools.count()


@pytest.fixture(scope='session')
def scale_out_data(tmp_path_factory):
    """Data of all kinds of training, a few samples each; for tests that change nothing in it."""
    import scale_out_fixture

    return scale_out_fixture.write_data(tmp_path_factory.mktemp('scale_out'))


@pytest.fixture
def data(scale_out_data, monkeypatch):
    """These data, in the place that configs name."""
    monkeypatch.setenv('WSP_DATA', str(scale_out_data))
    return scale_out_data


@pytest.fixture
def assert_gone():
    """``assert_gone(pid)``: no process of this number goes on."""

    def wait(pid):
        state = Path(f'/proc/{pid}/stat')
        for _ in range(100):
            # Who inherits orphans may be slow to reap this one.
            if not state.exists() or state.read_text().rpartition(')')[2].split()[0] == 'Z':
                return
            time.sleep(0.05)
        raise AssertionError(f'process {pid} is still there')

    return wait


@pytest.fixture
def call_tool(load_tool, capsys):
    """``call_tool('score', ...)``: what a tool's main returns and prints, (status, out, err)."""

    def call(name: str, *words):
        status = load_tool(name).main([str(word) for word in words])
        return status, *capsys.readouterr()

    return call


@pytest.fixture
def run_tool(load_tool, monkeypatch, tmp_path):
    """``run_tool('train', CONFIG, ...)`` runs tools/train.py in this process, in ``tmp_path``.

    A process of its own would take longer to start than all that it does.
    """

    def run(name: str, *words) -> None:
        # MMEngine keeps one visualizer of a name in a process.
        words = [*words, '--cfg-options', f'visualizer.name=visualizer_{next(_numbers)}']
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, 'argv', [f'{name}.py', *map(str, words)])
        load_tool(name).main()

    return run
