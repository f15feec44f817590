# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import pytest

from wsp_mm.apis.steps import StepFailed, Steps

SCRIPT = """
import pathlib, sys
out = pathlib.Path('out.txt')
out.write_text(out.read_text() + 'x' if out.exists() else 'x')
print('hello', sys.argv[1:])
"""


@pytest.fixture
def steps(tmp_path):
    (tmp_path / 'script.py').write_text(SCRIPT)
    (tmp_path / 'input.txt').write_text('1')
    return Steps(tmp_path / 'steps', tmp_path, echo=lambda line: None)


def run(steps, **kwargs):
    steps.run(
        'one', ['script.py', 'a'], **{'reads': ['input.txt'], 'writes': ['out.txt'], **kwargs}
    )
    return (steps.root / 'out.txt').read_text()


def test_a_done_step_is_skipped(steps):
    assert run(steps) == 'x'
    assert run(steps) == 'x'
    assert 'hello' in (steps.folder / 'one.log').read_text()


def test_a_changed_input_a_lost_output_or_another_text_runs_it_again(steps):
    run(steps)
    (steps.root / 'input.txt').write_text('22')
    assert run(steps) == 'xx'
    (steps.root / 'out.txt').unlink()
    assert run(steps) == 'x'
    assert run(steps, depends='new') == 'xx'
    assert run(steps, depends='new') == 'xx'


def test_failures_are_not_remembered_as_done(steps):
    (steps.root / 'script.py').write_text('raise SystemExit(3)')
    for _ in range(2):
        with pytest.raises(StepFailed, match='one failed with status 3'):
            run(steps)


def test_a_missing_output_or_input_is_named(steps):
    with pytest.raises(StepFailed, match=r'did not write other\.txt'):
        run(steps, writes=['other.txt'])
    with pytest.raises(StepFailed, match=r'nothing\.txt is missing'):
        run(steps, reads=['nothing.txt'])


def test_environment_reaches_the_command(steps):
    (steps.root / 'script.py').write_text(
        "import os; open('out.txt', 'w').write(os.environ['WSP_TEST'])"
    )
    assert run(steps, env={'WSP_TEST': 'seen'}) == 'seen'


def test_jobs_side_by_side_share_the_cores_and_keep_their_order(steps, capfd):
    """Each waits for the other's file: one after the other they would never end."""
    (steps.root / 'meet.py').write_text(
        """
import os, pathlib, sys, time
mine, other = sys.argv[1:]
pathlib.Path(mine).write_text(os.environ['OMP_NUM_THREADS'])
for _ in range(600):
    if pathlib.Path(other).exists():
        break
    time.sleep(0.05)
else:
    sys.exit('alone')
print('met')
"""
    )

    def job(mine, other):
        steps.run(mine, ['meet.py', mine, other], writes=[mine])
        return (steps.root / mine).read_text()

    assert steps.together([lambda: job('a', 'b'), lambda: job('b', 'a')], cores=range(4)) == [
        '2',
        '2',
    ]
    assert sorted(capfd.readouterr().out.split()) == ['[a]', '[b]', 'met', 'met']
    assert set(steps.seconds) == {'a', 'b'}


def test_one_core_runs_jobs_in_order(steps):
    seen = []
    assert steps.together([lambda i=i: seen.append(i) or i for i in range(3)], cores=[0]) == [
        0,
        1,
        2,
    ]
    assert seen == [0, 1, 2]


def test_a_failing_job_ends_the_others_and_says_why(steps):
    (steps.root / 'long.py').write_text('import time; print(1, flush=True); time.sleep(600)')
    (steps.root / 'bad.py').write_text('raise SystemExit(3)')
    jobs = [lambda name=name: steps.run(name, [f'{name}.py']) for name in ('long', 'bad', 'long')]
    with pytest.raises(StepFailed, match='bad failed with status 3'):
        steps.together(jobs, cores=range(2))
    assert run(steps) == 'x'  # the chain goes on working
