# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import os
import signal
import threading
import time
from pathlib import Path

import pytest
from runner import Runner, Step, StepFailed, run_experiment

APPEND = """
import pathlib, sys
out = pathlib.Path('out/a.txt')
out.write_text(out.read_text() + 'x' if out.exists() else 'x')
print('hello', *sys.argv[1:])
"""
MEET = """
import os, pathlib, sys, time
mine, other = map(pathlib.Path, sys.argv[1:])
mine.write_text(os.environ['OMP_NUM_THREADS'])
for _ in range(600):
    if other.exists():
        sys.exit()
    time.sleep(0.05)
sys.exit('alone')
"""
HANG = """
import pathlib, subprocess, sys
child = subprocess.Popen(['sleep', '60'])
pathlib.Path('child').write_text(str(child.pid))
child.wait()
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, text in dict(append=APPEND, meet=MEET, hang=HANG).items():
        Path(f'{name}.py').write_text(text)
    Path('in').mkdir()
    Path('in/1.txt').write_text('1')
    return tmp_path


def step(**changes):
    given = dict(inputs=[Path('in/*.txt')], outputs=[Path('out/a.txt')])
    return Step(**{'name': 'one', 'command': ['append.py', 'a'], **given, **changes})


def run(*steps, **options):
    """Run steps, by default :func:`step`; the content of its output."""
    Runner('steps', **options).run(steps or [step()])
    return Path('out/a.txt').read_text() if Path('out/a.txt').exists() else ''


def script(text):
    Path('script.py').write_text(text)
    return ['script.py']


def test_a_step_that_is_done_is_skipped(capsys):
    assert run() == 'x' and run() == 'x'
    assert 'hello a' in Path('steps/one.log').read_text()
    out = capsys.readouterr().out
    assert '[step 1 of 1, 1 min left] one (first run)' in out and 'one is up to date' in out


def test_only_content_counts(capsys):
    run()
    os.utime('in/1.txt', ns=(1, 1))
    assert run(step(uncounted=['--workers', 7])) == 'x'
    for change, reason in (
        (lambda: Path('in/1.txt').write_text('2'), 'changed: in/1.txt'),
        (lambda: Path('in/2.txt').write_text('2'), 'changed: in/2.txt'),
        (lambda: Path('in/2.txt').unlink(), 'changed: in/2.txt'),
        (lambda: Path('out/a.txt').unlink(), 'out/a.txt is missing'),
    ):
        change()
        assert not Runner('steps').up_to_date([step()])
        run()
        assert f'({reason})' in capsys.readouterr().out and Runner('steps').up_to_date([step()])
    run(step(command=['append.py', 'b']))
    assert '(changed: command)' in capsys.readouterr().out
    run(step(command=['append.py', 'b'], text='another config'))
    assert '(changed: config)' in capsys.readouterr().out


def test_runners_of_several_experiments_share_steps():
    run()
    other = Runner('elsewhere')
    other.run([step()])
    assert Path('out/a.txt').read_text() == 'x' and other.seconds['one'] < 60


def test_failures_are_not_remembered_as_done():
    failing = step(command=script("print('this is why'); raise SystemExit(3)"))
    for _ in range(2):
        with pytest.raises(StepFailed, match=r'(?s)this is why.*one .* status 3.*one\.log'):
            run(failing)
    assert Runner('steps').reason(failing) == 'was not finished'


def test_a_missing_output_or_input_is_named():
    with pytest.raises(StepFailed, match=r'one .*out/b\.txt'):
        run(step(outputs=[Path('out/b.txt')]))
    with pytest.raises(StepFailed, match=r'one .*nothing\.txt'):
        run(step(inputs=[Path('nothing.txt')]))


def test_a_step_waits_for_what_it_reads():
    """The second reads a file in a folder that the first writes, and is given first in time."""
    slow = script("import os, time; time.sleep(0.5); os.makedirs('made'); open('made/a', 'w')")
    first = step(name='first', inputs=(), outputs=[Path('made')], command=slow)
    assert run(first, step(inputs=[Path('made/*')])) == 'x'


def test_steps_side_by_side_share_the_cores(monkeypatch):
    """Each waits for the other's file: one after the other they would never end."""
    monkeypatch.setattr('os.sched_getaffinity', lambda pid: set(range(4)))
    runner = Runner('steps', jobs=2)
    runner.run([Step(a, ['meet.py', a, b], outputs=[Path(a)]) for a, b in ('ab', 'ba')])
    assert Path('a').read_text() == '2' and set(runner.seconds) == {'a', 'b'}


def test_a_step_that_uses_all_cores_runs_alone(monkeypatch):
    monkeypatch.setattr('os.sched_getaffinity', lambda pid: set(range(4)))
    note = script(
        'import sys, time\n'
        "file = open('order.txt', 'a')\n"
        "print(sys.argv[1], 'starts', file=file, flush=True)\n"
        'time.sleep(0.4)\n'
        "print(sys.argv[1], 'ends', file=file, flush=True)\n"
        "open(sys.argv[1], 'w')\n"
    )
    names = ('a', 'b', 'c')
    run(*(Step(n, [*note, n], outputs=[Path(n)], alone=n == 'b') for n in names))
    lines = Path('order.txt').read_text().splitlines()
    assert lines == [f'{name} {what}' for name in names for what in ('starts', 'ends')]


def test_a_failing_step_ends_the_others(assert_gone):
    hanging = Step('hanging', ['hang.py'], outputs=[Path('never')])
    text = "import os, time\nwhile not os.path.exists('child'): time.sleep(0.05)\nexit(3)"
    with pytest.raises(StepFailed, match='bad failed with status 3'):
        run(hanging, Step('bad', script(text), outputs=[Path('b')]), jobs=2)
    assert_gone(int(Path('child').read_text()))


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_the_children(number, assert_gone):
    """The steps of an interrupted experiment and what they have started are gone."""

    def interrupt():
        for _ in range(600):
            if Path('child').exists() and Path('child').read_text():
                break
            time.sleep(0.05)
        os.kill(os.getpid(), number)

    # A shell starts background jobs, and so the tests in one, with SIGINT ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            run(Step('hanging', ['hang.py'], outputs=[Path('never')]))
    finally:
        thread.join()
        signal.signal(signal.SIGINT, before)
    assert_gone(int(Path('child').read_text()))
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_a_resuming_step_finds_its_own_files_alone(capsys):
    """Files of a stopped run stay, those of a run of another kind are put aside."""
    stopped = step(command=script("open('out/last.pth', 'w'); raise SystemExit(3)"), resumes=True)
    with pytest.raises(StepFailed):
        run(stopped)
    script("import os; assert os.path.exists('out/last.pth'); open('out/a.txt', 'w')")
    run(stopped)
    other = step(command=['append.py', 'b'], resumes=True)
    assert run(other) == 'x' and not Path('out/last.pth').exists()
    assert Path('out.old-1/last.pth').exists() and 'out.old-1' in capsys.readouterr().out
    # Without checkpoints there is nothing to keep.
    assert run(step(command=['append.py', 'c'], resumes=True)) == 'x'
    assert not Path('out.old-2').exists()


def test_the_time_that_is_left(monkeypatch, capsys):
    """Twice as fast as expected: 4 more steps of 600 s take 20 minutes, on two cores 10."""
    steps = [step(name=f's{i}', outputs=[Path(f'out/{i}')], seconds=600.0) for i in range(5)]
    runner = Runner('steps', jobs=2)
    runner.jobs, runner._steps, runner._waiting, runner._pace = 2, steps, steps[1:], [600.0, 300.0]
    assert runner._status() == 'step 1 of 5, 10 min left'


def test_experiments_end_with_a_status(capsys, monkeypatch):
    def fail(args):
        raise StepFailed('one failed')

    def interrupt(args):
        raise KeyboardInterrupt

    cwd = os.getcwd()
    assert [run_experiment(a, None) for a in (lambda args: None, fail, interrupt)] == [0, 1, 130]
    monkeypatch.chdir(cwd)
    assert 'one failed' in capsys.readouterr().err
