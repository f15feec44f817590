# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import pytest
import run_all

GOOD = """
import argparse, json, os, pathlib
parser = argparse.ArgumentParser()
parser.add_argument('--json'), parser.add_argument('--images', type=int)
args = parser.parse_args()
rows = dict(old=[2.0, 4.0], new=[1.0, 2.0])
table = dict(title='speed', unit='ms', reference='old', rows=rows, notes=['why'])
print('measuring', args.images, 'on', os.environ['CUDA_VISIBLE_DEVICES'])
plain = dict(machine='2 cores of X', tables=[dict(table, median={}, ratio={})])
pathlib.Path(args.json).write_text(json.dumps(plain))
"""
SLOW = """
import subprocess, sys, pathlib
child = subprocess.Popen(['sleep', '60'])
pathlib.Path(sys.argv[-1]).with_name('child').write_text(str(child.pid))
child.wait()
"""


@pytest.fixture
def scripts(tmp_path):
    folder = tmp_path / 'scripts'
    folder.mkdir()
    bad = "print('before'); raise SystemExit('this is why')"
    for name, text in dict(good=GOOD, slow=SLOW, bad=bad, silent='').items():
        (folder / f'{name}.py').write_text(text)
    return folder


def test_a_failure_is_named_and_stops_nothing(scripts, tmp_path, capsys):
    out = tmp_path / 'new' / 'out'
    chosen = {'bad': (), 'absent': (), 'silent': (), 'good': ('--images', '7')}
    assert run_all.run_set(chosen, out, 60, scripts) == 3
    printed = capsys.readouterr().out
    assert '4/4 good' in printed and '1 of 4 measured' in printed
    assert all(str(out / f'{name}.log') in printed for name in ('bad', 'absent', 'silent'))
    assert 'this is why' in (out / 'bad.log').read_text()
    assert 'measuring 7 on -1' in (out / 'good.log').read_text()
    text = (out / 'summary.md').read_text()
    assert '2 cores of X' in text and 'why' in text and str(out / 'bad.log') in text
    assert '| new | 1.5 | 1 to 2 | 0.500 (0.50 to 0.50) |' in text
    # Figures of an earlier run do not pass for new ones.
    (scripts / 'good.py').write_text('raise SystemExit(3)')
    assert run_all.run_set({'good': ()}, out, 60, scripts) == 1
    assert not (out / 'good.json').exists()
    assert '2 cores' not in (out / 'summary.md').read_text()


def test_one_that_hangs_is_ended_with_its_children(scripts, tmp_path, assert_gone):
    assert '2 s' in run_all.run_one('slow', (), tmp_path, 2, scripts)
    assert_gone((tmp_path / 'child').read_text())


def test_names(repo, capsys):
    there = {path.stem for path in (repo / 'tools/benchmarks').glob('bench_*.py')}
    assert there == {*run_all.CPU_SET, *run_all.LEFT_OUT}
    with pytest.raises(SystemExit):
        run_all.parse_args(['--only', 'bench_nothing'])
    assert 'bench_nothing' in capsys.readouterr().err
    assert 'tools/benchmarks/run_all.py $(ARGS)' in (repo / 'Makefile').read_text()
