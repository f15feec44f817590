# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""What ``--resume`` goes on from, and that one training at a time writes to a folder."""

import os
import subprocess
import sys

import pytest
import torch
from mmengine.config import Config

from wsp_mm.engine import work_dir
from wsp_mm.engine.work_dir import choose_checkpoint, newest_checkpoint, one_training
from wsp_mm.utils.checkpoint import BrokenCheckpointError, CheckpointError


@pytest.fixture
def lines(monkeypatch):
    found = []
    monkeypatch.setattr(work_dir, 'print_log', lambda text, *args: found.append(text))
    monkeypatch.setattr(work_dir, 'warn', found.append)
    return found


def save(path, **changes):
    content = dict(state_dict={}, message_hub={}, meta=dict(epoch=1, iter=9))
    path.parent.mkdir(exist_ok=True)
    torch.save(content | changes, path)
    return path


def test_the_newest_whole_one_of_this_folder_is_resumed(tmp_path, lines):
    """By number and not by name; beside files that are no state of a training."""
    good = [save(tmp_path / name) for name in ('epoch_9.pth', 'epoch_10.pth', 'iter_700.pth')]
    for name in ('epoch_11_weights.pth', 'best_rd_AUC_epoch_12.pth', 'epoch_x.pth'):
        save(tmp_path / name)
    (tmp_path / 'last_checkpoint').write_text('/elsewhere/epoch_3.pth')
    assert newest_checkpoint(tmp_path) == good[1] and not lines
    assert newest_checkpoint(tmp_path, by_epoch=False) == good[2]

    torn, page = tmp_path / 'epoch_20.pth', tmp_path / 'epoch_21.pth'
    torn.write_bytes(good[0].read_bytes()[:-100])
    page.write_text('<html>')
    save(tmp_path / 'epoch_22.pth', message_hub=Payload())
    torch.save(dict(a=torch.ones(1)), tmp_path / 'epoch_23.pth')
    assert newest_checkpoint(tmp_path) == good[1]
    assert len(lines) == 4
    for line, name in zip(lines, ('23', '22', '21', '20'), strict=True):
        assert f'epoch_{name}.pth' in line


class Payload:
    pass


def resuming(folder, **kwargs):
    return Config(dict(work_dir=str(folder), resume=True, **kwargs))


def test_a_folder_without_a_checkpoint_starts_from_the_beginning(tmp_path, lines):
    (tmp_path / 'there').mkdir()
    for name in ('config.py', 'last_checkpoint', '.a.step', work_dir.LOCK):
        (tmp_path / 'there' / name).touch()
    for folder, start in ((tmp_path / 'there', None), (tmp_path / 'absent', 'first.pth')):
        choose_checkpoint(cfg := resuming(folder), 'none', start)
        assert (cfg.resume, cfg.load_from) == (False, start)
        assert str(folder) in lines[-1] and 'beginning' in lines[-1]


def test_what_is_resumed_is_said(tmp_path, lines):
    path = save(tmp_path / 'w' / 'iter_5.pth')
    hooks = dict(checkpoint=dict(type='CheckpointHook', by_epoch=False))
    choose_checkpoint(cfg := resuming(tmp_path / 'w', default_hooks=hooks), 'none', 'first.pth')
    assert (cfg.resume, cfg.load_from) == (True, str(path)) and str(path) in lines[-1]
    hooks['checkpoint']['out_dir'] = str(tmp_path)
    choose_checkpoint(cfg := resuming('elsewhere/w', default_hooks=hooks), 'none')
    assert cfg.load_from == str(path)
    choose_checkpoint(cfg := Config(dict(work_dir='w', load_from='weights.pth')), 'none')
    assert cfg.load_from == 'weights.pth'  # nobody asked for a resume


def test_nothing_to_resume_is_an_error(tmp_path, lines):
    save(tmp_path / 'best_epoch_3.pth')
    (tmp_path / 'epoch_1.pth').write_bytes(b'PK\x03\x04')
    with pytest.raises(CheckpointError, match='--resume FILE') as error:
        choose_checkpoint(resuming(tmp_path), 'none')
    assert str(tmp_path) in str(error.value) and 'epoch_1.pth' in lines[0]


def test_a_named_checkpoint_is_checked(tmp_path):
    choose_checkpoint(resuming(tmp_path, load_from=str(save(tmp_path / 'a.pth'))), 'none')
    torch.save(dict(state_dict={}, meta=dict(epoch=1)), tmp_path / 'b_weights.pth')
    with pytest.raises(BrokenCheckpointError, match=r'b_weights\.pth .*message_hub, meta\.iter'):
        choose_checkpoint(resuming(tmp_path, load_from=str(tmp_path / 'b_weights.pth')), 'none')


HOLD = """
import sys
from wsp_mm.engine.work_dir import one_training
with one_training(sys.argv[1]):
    print('held', flush=True)
    sys.stdin.read()
"""


def test_two_trainings_in_one_folder(tmp_path):
    """The second is told who the first is; a killed one holds nothing, and its parts go."""
    folder = tmp_path / 'new'
    command = [sys.executable, '-c', HOLD, folder]
    first = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert first.stdout.readline() == 'held\n'
    with pytest.raises(SystemExit, match=rf'process {first.pid} on ') as stop, one_training(folder):
        pass
    assert str(folder) in str(stop.value)
    part = folder / f'.epoch_1_weights.pth.{first.pid}-0123abcd.part'
    part.touch()
    first.kill()
    first.communicate()
    with one_training(folder):
        assert os.listdir(folder) == [work_dir.LOCK]
        assert (folder / work_dir.LOCK).read_text().startswith(f'process {os.getpid()} ')


def test_the_first_rank_is_told_by_the_launchers_own_variable(monkeypatch):
    monkeypatch.setenv('RANK', '0')
    monkeypatch.setenv('SLURM_PROCID', '1')
    first = {name: work_dir.is_first_rank(name) for name in ('none', 'pytorch', 'slurm')}
    assert first == dict(none=True, pytorch=True, slurm=False)
