# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import hashlib
import re
import subprocess
import sys
from collections import OrderedDict

import numpy as np
import pytest
import torch

from wsp_mm.utils.checkpoint import load_file


@pytest.fixture
def training_file(tmp_path):
    model = torch.nn.Linear(3, 2)
    whole = torch.arange(1000.0)
    state = OrderedDict(model.state_dict(), view=whole[:2])
    path = tmp_path / 'epoch_9.pth'
    torch.save(
        dict(
            state_dict=state,
            ema_state_dict=model.state_dict(),
            optimizer=torch.optim.Adam(model.parameters()).state_dict(),
            message_hub=dict(log_scalars={}),
            meta=dict(
                epoch=9,
                cfg='model = dict()',
                seed=np.int64(5),
                wsp_mm=dict(version='0', git='abc'),
                env_info={'user': 'me'},
                dataset_meta=dict(
                    dataset_name='mcpc',
                    colors=np.ones((2, 3), np.uint8),
                    names=np.array(['a', 'b']),
                    ids={2, 1},
                ),
            ),
        ),
        path,
    )
    return path, state


def test_only_weights_and_plain_metadata_are_left(training_file, tmp_path, load_tool):
    path, state = training_file
    final = load_tool('misc/publish_model').publish(path, tmp_path / 'out' / 'wsp_r50.pth')
    name = re.fullmatch(r'wsp_r50-([0-9a-f]{8})_\d{8}\.pth', final.name)
    assert hashlib.sha256(final.read_bytes()).hexdigest().startswith(name.group(1))
    assert list(final.parent.iterdir()) == [final]

    published = torch.load(final, weights_only=True)
    assert set(published) == {'meta', 'state_dict'}
    assert list(published['state_dict']) == list(state)
    for key, value in state.items():
        assert torch.equal(published['state_dict'][key], value)
    assert (
        published['state_dict']['view'].untyped_storage().nbytes() == 8
    )  # not the 1000 numbers it was cut from
    meta = published['meta']
    assert (meta['epoch'], meta['cfg'], meta['seed'], meta['wsp_mm']['git']) == (
        9,
        'model = dict()',
        5,
        'abc',
    )
    assert type(meta['seed']) is int
    assert 'env_info' not in meta
    assert meta['dataset_meta']['names'] == ['a', 'b']
    assert meta['dataset_meta']['ids'] == [1, 2]


def test_our_loader_gives_arrays_back(training_file, tmp_path, load_tool):
    final = load_tool('misc/publish_model').publish(training_file[0], tmp_path / 'm')
    colors = load_file(final)['meta']['dataset_meta']['colors']
    assert isinstance(colors, np.ndarray)
    assert colors.dtype == np.uint8
    assert colors.shape == (2, 3)


def test_published_file_can_be_published_again(training_file, tmp_path, load_tool):
    publish = load_tool('misc/publish_model').publish
    once = publish(training_file[0], tmp_path / 'm')
    twice = publish(once, tmp_path / 'n')
    a, b = (torch.load(file, weights_only=True) for file in (once, twice))
    assert a['meta']['dataset_meta']['names'] == b['meta']['dataset_meta']['names']
    assert list(a['state_dict']) == list(b['state_dict'])


def test_bare_weights(tmp_path, load_tool):
    torch.save(torch.nn.Linear(1, 1).state_dict(), tmp_path / 'w.pth')
    final = load_tool('misc/publish_model').publish(tmp_path / 'w.pth', tmp_path / 'm')
    assert set(torch.load(final, weights_only=True)['state_dict']) == {'weight', 'bias'}


@pytest.mark.parametrize('content', [dict(meta={}), [1, 2], dict(state_dict=dict(a=1))])
def test_files_without_weights_are_refused(content, tmp_path, load_tool):
    torch.save(content, tmp_path / 'w.pth')
    with pytest.raises(ValueError, match=r'w\.pth holds no `state_dict`'):
        load_tool('misc/publish_model').publish(tmp_path / 'w.pth', tmp_path / 'm')


def test_metadata_without_a_plain_form_is_named(load_tool):
    with pytest.raises(TypeError, match=r'meta\.a\[1\] is a object'):
        load_tool('misc/publish_model').plain({'a': [1, object()]}, 'meta')


def test_command_line(training_file, tmp_path, repo):
    tool = repo / 'tools' / 'misc' / 'publish_model.py'
    done = subprocess.run(
        [sys.executable, tool, training_file[0], tmp_path / 'a.pth'],
        capture_output=True,
        text=True,
        check=True,
    )
    assert len(list(tmp_path.glob('a-*_*.pth'))) == 1
    assert str(tmp_path / 'a-') in done.stdout
    missing = subprocess.run(
        [sys.executable, tool, 'nothing.pth', 'b.pth'], capture_output=True, text=True
    )
    assert missing.returncode == 1
    assert 'nothing.pth does not exist' in missing.stderr
    assert 'Traceback' not in missing.stderr
