# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""One rank that fails ends the job, and its own error is the last that the job says."""

import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
import scale_out_fixture as jobs

pytestmark = pytest.mark.slow

BATCH = ['train_dataloader.batch_size=2']
FAIL = """
custom_hooks = [*_base_.custom_hooks, dict(type='FailHook', way='{}')]
"""


def root_cause(output):
    """The end of torchrun's summary, which is that of the job: who failed first, and why."""
    assert output.count('Root Cause (first observed failure)') == 1, output[-5000:]
    return output.split('Root Cause (first observed failure)')[1]


def start_failing(way, data, folder):
    config = jobs.write_config(folder, 'pairs', FAIL.format(way))
    return jobs.start(2, config, *jobs.options(data, folder / 'w', *BATCH), cwd=folder)


def test_exception_in_the_model_of_one_rank(scale_out_data, tmp_path):
    output = jobs.finish(start_failing('exception', scale_out_data, tmp_path), code=None)
    cause = root_cause(output)
    assert 'rank      : 1' in cause
    assert 'ArithmeticError: the head of rank 1 gave up' in output[-300:]


def test_broken_image(scale_out_data, tmp_path):
    """Four of ten images are cut off in the middle; a loader's worker process reads them."""
    data = tmp_path / 'data'
    shutil.copytree(scale_out_data, data, symlinks=True)
    folder = data / 'human36m/images'
    for number in range(1, 5):
        (broken,) = folder.glob(f's_01_act_02_subact_01_ca_0{number}/*_000001.jpg')
        content = broken.read_bytes()
        broken.write_bytes(content[: len(content) // 2])
    config = jobs.write_config(tmp_path, 'h36m')
    words = jobs.options(data, tmp_path / 'w', *BATCH, 'train_dataloader.num_workers=1')
    output = jobs.finish(jobs.start(2, config, *words, cwd=tmp_path), code=None)
    assert 'DataLoader worker process' in root_cause(output)
    assert 's_01_act_02_subact_01_ca_0' in output[-600:]


def start_and_wait(scale_out_data, tmp_path):
    """A job whose rank 1 waits in the middle of a step to be killed, and the number of its
    process.
    """
    job = start_failing('wait', scale_out_data, tmp_path)
    note = tmp_path / 'w/victim'
    while not (note.exists() and note.read_text()) and job.poll() is None:
        time.sleep(0.05)
    return job, int(note.read_text())


def test_killed_rank(scale_out_data, tmp_path):
    """The other rank loses its peer in the middle of a step, and does not take the blame."""
    job, victim = start_and_wait(scale_out_data, tmp_path)
    os.kill(victim, signal.SIGKILL)
    cause = root_cause(jobs.finish(job, code=None, timeout=60))
    assert 'Signal 9 (SIGKILL)' in cause
    assert 'rank      : 1' in cause


@pytest.mark.skipif(sys.platform != 'linux', reason='the kernel of Linux tells the ranks')
def test_killed_launcher(scale_out_data, tmp_path):
    """No rank goes on, or waits for the others: they hold the job's output open until they end."""
    job, victim = start_and_wait(scale_out_data, tmp_path)
    job.kill()
    try:
        job.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        os.kill(victim, signal.SIGKILL)
        raise
    assert job.returncode == -signal.SIGKILL
