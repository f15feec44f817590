# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
from pathlib import Path

import pytest

GOOD = """
import argparse, json, pathlib
parser = argparse.ArgumentParser()
parser.add_argument('--json'), parser.add_argument('--pictures', type=int)
args = parser.parse_args()
rows = dict(old=[2.0, 4.0], new=[1.0, 2.0])
table = dict(title='speed', unit='ms', reference='old', rows=rows, notes=['why'])
print('measuring', args.pictures)
plain = dict(machine='2 cores of X', tables=[dict(table, median={}, ratio={})])
pathlib.Path(args.json).write_text(json.dumps(plain))
"""


@pytest.fixture
def run_all(repo, monkeypatch, load_tool):
    monkeypatch.syspath_prepend(repo / 'tools' / 'benchmarks')
    return load_tool('benchmarks/run_all')


@pytest.fixture
def scripts(tmp_path):
    folder = tmp_path / 'scripts'
    folder.mkdir()
    (folder / 'good.py').write_text(GOOD)
    (folder / 'bad.py').write_text("print('before'); raise SystemExit('this is why')")
    (folder / 'silent.py').write_text('')
    (folder / 'slow.py').write_text(
        'import subprocess, sys, pathlib\n'
        "child = subprocess.Popen(['sleep', '60'])\n"
        "pathlib.Path(sys.argv[-1]).with_name('child').write_text(str(child.pid))\n"
        'child.wait()\n'
    )
    return folder


def test_a_failure_is_said_and_stops_nothing(run_all, scripts, tmp_path, capsys):
    out = tmp_path / 'new' / 'out'
    chosen = {'bad': (), 'absent': (), 'silent': (), 'good': ('--pictures', '7')}
    assert run_all.run_set(chosen, out, 60, scripts) == 3
    said = capsys.readouterr().out
    assert (
        '4/4 good' in said and '1 of 4 measured' in said and 'failed: bad, absent, silent' in said
    )
    assert (
        f'FAILED with exit status 1 after 0 s: {out / "bad.log"}' in said
        and 'no such script' in said
    )
    assert 'this is why' in (out / 'bad.log').read_text()
    assert 'wrote no' in (out / 'silent.log').read_text()
    assert 'measuring 7' in (out / 'good.log').read_text()
    text = (out / 'summary.md').read_text()
    assert (
        'Measured on 2 cores of X.' in text
        and '| new | 1.5 | 1 to 2 | 0.500 (0.50 to 0.50) |' in text
    )
    assert f'FAILED with exit status 1, see {out / "bad.log"}' in text and 'why' in text


def test_old_figures_do_not_pass_for_new_ones(run_all, scripts, tmp_path):
    assert run_all.run_set({'good': ()}, tmp_path, 60, scripts) == 0
    (scripts / 'good.py').write_text('raise SystemExit(3)')
    assert run_all.run_set({'good': ()}, tmp_path, 60, scripts) == 1
    assert not (tmp_path / 'good.json').exists()
    assert '2 cores' not in (tmp_path / 'summary.md').read_text()


def test_one_that_hangs_is_ended_with_its_children(run_all, scripts, tmp_path):
    import os
    import time

    outcome = run_all.run_one('slow', (), tmp_path, 2, scripts)
    assert outcome.status == 124 and 'stopped after 2 s' in outcome.log.read_text()
    pid = int((tmp_path / 'child').read_text())
    for _ in range(100):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            break
        # who inherits orphans may be slow to bury this one
        if Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[0] == 'Z':
            break
        time.sleep(0.05)
    else:
        raise AssertionError(f'process {pid} is still there')


def test_names(run_all, repo, capsys, tmp_path):
    there = {path.stem for path in (repo / 'tools' / 'benchmarks').glob('bench_*.py')}
    assert there == {*run_all.CPU_SET, *run_all.LEFT_OUT}, (
        'a benchmark that make bench forgets, or one that is gone'
    )
    with pytest.raises(SystemExit):
        run_all.main(['--only', 'bench_nothing'])
    assert 'no benchmark bench_nothing' in capsys.readouterr().err


def test_it_hides_gpus_and_passes_the_environment_on(run_all, monkeypatch):
    monkeypatch.setenv('OMP_NUM_THREADS', '1')
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '0')
    assert {
        'OMP_NUM_THREADS': '1',
        'CUDA_VISIBLE_DEVICES': '-1',
    }.items() <= run_all._environment().items()


def test_it_is_a_target(repo):
    makefile = (repo / 'Makefile').read_text()
    assert 'bench: setup\n\t@$(PYTHON_VENV) tools/benchmarks/run_all.py $(ARGS)' in makefile
    assert "@echo 'make bench " in makefile
