# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Slurm's part by a stand-in for srun."""

import json
import os
import sys

import pytest
import scale_out_fixture as jobs
from process_fixture import run

pytestmark = pytest.mark.slow


# What Slurm does with `srun --ntasks=N --ntasks-per-node=M ... COMMAND`: N processes that know
# their places.
SRUN = """#!{python}
import os, subprocess, sys
words = sys.argv[1:]
first = next(i for i, word in enumerate(words) if not word.startswith('-') and words[i - 1] != '-p')
value = dict(word.lstrip('-').split('=', 1) for word in words[:first] if '=' in word)
tasks, each = int(value['ntasks']), int(value['ntasks-per-node'])
jobs = [
    subprocess.Popen(words[first:], env=dict(
        os.environ, SLURM_PROCID=str(i), SLURM_LOCALID=str(i % each), SLURM_NTASKS=str(tasks),
        SLURM_NODELIST='node[1-2]', MASTER_ADDR='127.0.0.1', MASTER_PORT='{port}',
    ))
    for i in range(tasks)
]
sys.exit(max(job.wait() for job in jobs))
"""
# MMEngine's own start of a Slurm process, on a machine whose two GPUs are only said to be there.
PROCESS = """
import json, os, sys
import torch
from unittest import mock
from mmengine.dist import all_gather_object, get_dist_info, init_dist

assert sys.argv[-1] == '--launcher=slurm'
with mock.patch('torch.cuda.set_device') as chosen:
    init_dist('slurm', backend='gloo')
rank, world = get_dist_info()
found = all_gather_object((rank, world, os.environ['LOCAL_RANK'], chosen.call_args.args[0]))
if rank == 0:
    open('ranks.json', 'w').write(json.dumps(found))
torch.distributed.destroy_process_group()
"""


def test_slurm_script_starts_ranks_that_mmengine_understands(tmp_path):
    """Two nodes of two processes. What needs a GPU, NCCL and the training itself, is not tested
    here.
    """
    (tmp_path / 'bin').mkdir()
    srun = tmp_path / 'bin/srun'
    srun.write_text(SRUN.format(python=sys.executable, port=jobs.free_port()))
    (tmp_path / 'process.py').write_text(PROCESS)
    # In the place of Python, which is called with `-u tools/train.py CONFIG ...`.
    python = tmp_path / 'bin/python'
    python.write_text(f'#!/bin/sh\nshift 2\nexec {sys.executable} process.py "$@"\n')
    for file in (srun, python):
        file.chmod(0o755)
    sizes = dict(GPUS=4, GPUS_PER_NODE=2, PATH=f'{tmp_path / "bin"}:{os.environ["PATH"]}')
    env = jobs.environment(**sizes) | dict(PYTHON=str(python))
    command = ['bash', jobs.ROOT / 'tools/slurm_train.sh', 'part', 'job', 'c.py', 'w']
    run(*command, cwd=tmp_path, timeout=120, **env)
    found = json.loads((tmp_path / 'ranks.json').read_text())
    assert found == [[rank, 4, str(rank % 2), rank % 2] for rank in range(4)]
