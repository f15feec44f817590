# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""A checkpoint is data: nothing in it runs unless the user said so."""

import contextlib
import functools
import hashlib
import http.server
import os
import pickle
import re
import socket
import sys
import threading
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner import CheckpointLoader, load_checkpoint
from process_fixture import run

from wsp_mm.utils import checkpoint as ckpt


class Hostile:
    """Pickles as a call that makes a folder."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


class ThroughGetattr:
    """Reaches a harmful function by attribute, from an object that checkpoints may hold."""

    def __reduce__(self):
        return getattr, (HistoryBuffer, '__init__')


@pytest.fixture
def weights():
    return OrderedDict([('backbone.conv.weight', torch.arange(4.0)), ('head.bias', torch.zeros(2))])


@pytest.fixture(params=['zip', 'legacy', 'plain pickle'])
def hostile_file(request, tmp_path, weights):
    """The same attack in the three formats that torch.load reads."""
    content = dict(state_dict=weights, meta=dict(evil=Hostile(tmp_path / 'owned')))
    path = tmp_path / 'hostile.pth'
    if request.param == 'plain pickle':
        path.write_bytes(pickle.dumps(Hostile(tmp_path / 'owned'), protocol=2))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=request.param == 'zip')
    return path


@pytest.fixture
def training_file(tmp_path, weights):
    """What MMEngine's runner saves, with every kind of value that ends up in it."""
    buffer = HistoryBuffer()
    for value in (1.0, 2.0):
        buffer.update(value)
    parameter = torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.Adam([parameter])
    parameter.sum().backward()
    optimizer.step()
    meta = dict(epoch=9, cfg='a = 1', seed=np.int64(5), train_subjects=[1, 5])
    meta |= dict(wsp_mm=dict(version='0', git='abc'), env_info={'user': 'me'})
    meta['config'] = 'import os; os.abort()'  # MMEngine executes it when it resumes
    names = np.array(['a', 'b'])
    meta['dataset_meta'] = dict(sigmas=np.ones(3, np.float32), names=names, ids={2, 1})
    hub = dict(runtime_info=dict(best=np.float64(0.5), n=np.int32(3)))
    hub['log_scalars'] = OrderedDict(loss=buffer)
    state = OrderedDict(weights, view=torch.arange(1000.0)[:2])
    content = dict(state_dict=state, ema_state_dict=weights, meta=meta, message_hub=hub)
    path = tmp_path / 'epoch_9.pth'
    torch.save(content | dict(optimizer=optimizer.state_dict()), path)
    return path


# ------------------------------------------------------------------------------- safe loading
def test_a_hostile_file_is_refused_and_not_run(hostile_file, tmp_path, monkeypatch):
    monkeypatch.delenv(ckpt.TRUST_ENV, raising=False)
    with pytest.raises(ckpt.UntrustedCheckpointError) as error:
        ckpt.load_file(hostile_file)
    for name in (str(hostile_file), '--trust-checkpoint', 'mkdir'):
        assert name in str(error.value)
    # as MMPose's init_model and the runner call it
    with ckpt.safe_loading(), pytest.raises(ckpt.UntrustedCheckpointError):
        load_checkpoint(torch.nn.Linear(1, 1), str(hostile_file))
    assert not (tmp_path / 'owned').exists()

    monkeypatch.setenv(ckpt.TRUST_ENV, '0')  # put back at the end
    ckpt.trust_checkpoints()
    with contextlib.suppress(ckpt.BrokenCheckpointError):  # the plain pickle holds no checkpoint
        ckpt.load_file(hostile_file)
    assert (tmp_path / 'owned').is_dir()


def test_safe_loading_lasts_as_long_as_its_context():
    """And importing what a config imports replaces nothing of the host's."""
    before = dict(CheckpointLoader._schemes)
    with pytest.raises(KeyError), ckpt.safe_loading():
        assert not set(CheckpointLoader._schemes.values()) & set(before.values())
        assert list(CheckpointLoader._schemes) == list(before)
        raise KeyError
    assert CheckpointLoader._schemes == before
    code = (
        'from mmengine.runner import CheckpointLoader as loader\n'
        'before = dict(loader._schemes)\n'
        'import wsp_mm.register\n'
        'assert loader._schemes == before'
    )
    run(sys.executable, '-c', code)


def test_getattr_only_reaches_the_statistics_of_a_log_buffer(tmp_path):
    torch.save(dict(x=ThroughGetattr()), tmp_path / 'a.pth')
    with pytest.raises(ckpt.UntrustedCheckpointError, match='getattr'):
        ckpt.load_file(tmp_path / 'a.pth')


def test_training_checkpoints_load_without_trust(training_file):
    loaded = ckpt.load_file(training_file)
    assert torch.equal(loaded['state_dict']['backbone.conv.weight'], torch.arange(4.0))
    assert loaded['message_hub']['log_scalars']['loss'].mean() == 1.5
    assert loaded['message_hub']['runtime_info'] == dict(best=0.5, n=3)
    assert loaded['meta']['dataset_meta']['sigmas'].dtype == np.float32
    assert loaded['optimizer']['state'][0]['step'] == 1
    assert loaded['meta']['epoch'] == 9 and 'config' not in loaded['meta']


def test_module_names_of_numpy_1_are_read(tmp_path):
    """Files written under numpy 1 say numpy.core where numpy 2 says numpy._core."""
    path = tmp_path / 'a.pth'
    torch.save(dict(a=np.arange(3), b=np.float64(2)), path, _use_new_zipfile_serialization=False)
    old = path.read_bytes().replace(b'numpy._core.multiarray', b'numpy.core.multiarray')
    path.write_bytes(old)
    assert b'numpy.core.multiarray' in old
    loaded = ckpt.load_file(path)
    assert loaded['a'].tolist() == [0, 1, 2] and loaded['b'] == 2


@pytest.mark.parametrize('content', [b'', b'<html>not found</html>', b'PK\x03\x04 cut off', None])
def test_files_of_another_kind_and_torn_ones_are_called_broken(content, training_file):
    content = training_file.read_bytes()[:-500] if content is None else content
    training_file.write_bytes(content)
    with pytest.raises(ckpt.BrokenCheckpointError, match=rf'epoch_9\.pth \({len(content)} bytes\)'):
        ckpt.load_file(training_file)


def test_a_published_file_is_checked_against_its_name(weights, tmp_path, load_tool):
    torch.save(weights, tmp_path / 'w.pth')
    final = load_tool('model_converters/publish_model').publish(tmp_path / 'w.pth', tmp_path / 'p')
    assert torch.equal(ckpt.load(str(final))['state_dict']['head.bias'], torch.zeros(2))
    content = (tmp_path / 'w.pth').read_bytes()  # whole, and another file
    final.write_bytes(content)
    with pytest.raises(ckpt.BrokenCheckpointError, match='its name promises') as error:
        ckpt.load_file(final)
    assert str(final) in str(error.value)
    # a date alone, and names that others give, promise nothing
    for name in ('w-20250101.pth', 'w-0123abcd.pth', 'w-1_20250101.pth'):
        (tmp_path / name).write_bytes(content)
        assert set(ckpt.load_file(tmp_path / name)) == set(weights)
    assert ckpt._HASH_IN_NAME.search('w-20250101.pth') is None
    assert ckpt._HASH_IN_NAME.search('w-12345678.pth')['hash'] == '12345678'


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'nothing\.pth'):
        ckpt.load_file(tmp_path / 'nothing.pth')


# ---------------------------------------------------------------------------------- addresses
@pytest.fixture
def server(tmp_path):
    """A web server on this machine, with the files of ``tmp_path / 'www'``."""
    (tmp_path / 'www').mkdir()
    handler = functools.partial(QuietHandler, directory=str(tmp_path / 'www'))
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield tmp_path / 'www', f'http://127.0.0.1:{httpd.server_port}'
        httpd.shutdown()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, '_hub_dir', str(tmp_path / 'hub'))
    for name in ('http_proxy', 'HTTP_PROXY', 'all_proxy', 'ALL_PROXY'):
        monkeypatch.delenv(name, raising=False)


def test_web_addresses_are_fetched_once_and_checked(server, weights, tmp_path):
    www, url = server
    torch.save(weights, www / 'w.pth')
    digest = hashlib.sha256((www / 'w.pth').read_bytes()).hexdigest()[:8]
    name = f'w-{digest}_20250101.pth'
    os.rename(www / 'w.pth', www / name)
    assert torch.equal(ckpt.load(f'{url}/{name}')['head.bias'], torch.zeros(2))
    (www / name).unlink()
    with ckpt.safe_loading():
        again = CheckpointLoader.load_checkpoint(f'{url}/{name}')
    assert torch.equal(again['head.bias'], torch.zeros(2))
    assert os.listdir(tmp_path / 'hub' / 'checkpoints') == [name]


def test_what_is_wrong_on_the_web(server, weights, tmp_path):
    www, url = server
    torch.save(weights, www / 'w-00000000.pth')
    torch.save(Hostile(tmp_path / 'owned'), www / 'h.pth')
    with pytest.raises(ckpt.BrokenCheckpointError, match='00000000'):
        ckpt.load(f'{url}/w-00000000.pth')
    with pytest.raises(ckpt.UntrustedCheckpointError):
        ckpt.load(f'{url}/h.pth')
    with pytest.raises(ckpt.CheckpointError, match='404'):
        ckpt.load(f'{url}/nothing.pth')
    with socket.socket() as silent:
        silent.bind(('127.0.0.1', 0))
        silent.listen()
        with pytest.raises(ckpt.CheckpointError, match='timed out'):
            ckpt.fetch(f'http://127.0.0.1:{silent.getsockname()[1]}/w.pth', timeout_s=0.3)
    assert os.listdir(tmp_path / 'hub' / 'checkpoints') == ['h.pth']
    assert not (tmp_path / 'owned').exists()


def test_names_of_other_schemes():
    assert ckpt.resolve_url('models/a.pth') is None
    for name, url in (
        ('https://host/a.pth', 'https://host/a.pth'),
        ('torchvision://resnet50', 'https://download.pytorch.org/models/resnet50-'),
        ('open-mmlab://resnet50_v1c', 'https://'),
        ('mmcls://mobilenet_v2', 'https://'),
    ):
        assert ckpt.resolve_url(name).startswith(url)
    for name in ('torchvision://resnet500', 's3://bucket/a.pth'):
        with pytest.raises(ckpt.CheckpointError, match=name):
            ckpt.resolve_url(name)


# --------------------------------------------------------------------------------- publishing
def test_only_weights_and_plain_metadata_are_left(training_file, tmp_path, load_tool):
    publish = load_tool('model_converters/publish_model').publish
    final = publish(training_file, tmp_path / 'out' / 'wsp_r50.pth')
    name = re.fullmatch(r'wsp_r50-([0-9a-f]{8})_\d{8}\.pth', final.name)
    assert hashlib.sha256(final.read_bytes()).hexdigest().startswith(name.group(1))
    assert list(final.parent.iterdir()) == [final]
    published, state = torch.load(final, weights_only=True), ckpt.load_file(training_file)
    assert set(published) == {'meta', 'state_dict'}
    assert list(published['state_dict']) == list(state['state_dict'])
    for key, value in state['state_dict'].items():
        assert torch.equal(published['state_dict'][key], value)
    # not the 1000 numbers that it was cut from
    assert published['state_dict']['view'].untyped_storage().nbytes() == 8
    meta = published['meta']
    kept = (meta['epoch'], meta['cfg'], meta['seed'], meta['wsp_mm']['git'])
    assert kept == (9, 'a = 1', 5, 'abc')
    assert type(meta['seed']) is int and meta['train_subjects'] == [1, 5]
    assert not {'env_info', 'config'} & set(meta)
    assert meta['dataset_meta']['names'] == ['a', 'b'] and meta['dataset_meta']['ids'] == [1, 2]
    # our loader gives arrays back, and what is published can be published again
    sigmas = ckpt.load_file(final)['meta']['dataset_meta']['sigmas']
    assert isinstance(sigmas, np.ndarray) and sigmas.dtype == np.float32
    # a training that starts from it looks at the metadata alone
    assert ckpt.load_file(final, 'meta')['meta']['train_subjects'] == [1, 5]
    again = torch.load(publish(final, tmp_path / 'again'), weights_only=True)
    assert list(again['state_dict']) == list(published['state_dict'])
    assert again['meta']['dataset_meta'].keys() == meta['dataset_meta'].keys()


@pytest.mark.parametrize('content', [dict(meta={}), [1, 2], dict(state_dict=dict(a=1))])
def test_files_without_weights_are_not_published(content):
    with pytest.raises(ValueError, match=r'w\.pth'):
        ckpt.published_form(content, 'w.pth')


def test_bare_weights_are_published_metadata_without_a_plain_form_is_not(weights):
    assert set(ckpt.published_form(weights, 'w')['state_dict']) == set(weights)
    meta = dict(wsp_mm=dict(a=[1, object()]))
    with pytest.raises(TypeError, match=r'meta\.wsp_mm\.a\[1\]'):
        ckpt.published_form(dict(state_dict=weights, meta=meta), 'w')


def test_half_precision_is_stored_where_it_holds_the_numbers(tmp_path, load_tool):
    publish, config = load_tool('model_converters/publish_model').publish, 'configs/a.py'
    state = dict(w=torch.tensor([0.1, -3.0]), double=torch.ones(1).double(), n=torch.tensor(70000))
    state['same'] = state['w'].clone()
    meta = dict(cfg='data_root = "/home/me"', epoch=9)
    torch.save(dict(state_dict=state, meta=meta), tmp_path / 'a.pth')
    half = torch.load(publish(tmp_path / 'a.pth', tmp_path / 'h', True, config), weights_only=True)
    assert {key: value.dtype for key, value in half['state_dict'].items()} == dict(
        w=torch.float16, double=torch.float16, n=torch.int64, same=torch.float16
    )
    assert half['state_dict']['same'].data_ptr() == half['state_dict']['w'].data_ptr()
    assert half['state_dict']['n'] == 70000
    assert (half['meta']['config_name'], half['meta'].get('cfg')) == (config, None)
    torch.save(dict(state_dict=dict(state, var=state['n'].float())), tmp_path / 'a.pth')
    with pytest.raises(ValueError, match=r'a\.pth: var .*--half'):
        publish(tmp_path / 'a.pth', tmp_path / 'h', half=True)


def test_command_line(training_file, tmp_path, load_tool, monkeypatch, capsys):
    tool = load_tool('model_converters/publish_model')
    monkeypatch.setattr(sys, 'argv', ['publish', str(training_file), str(tmp_path / 'a.pth')])
    tool.main()
    name, digest, size = capsys.readouterr().out.splitlines()
    assert name.startswith(str(tmp_path / 'a-'))
    content = Path(name).read_bytes()
    assert digest == f'SHA256: {hashlib.sha256(content).hexdigest()}'
    assert size == f'Size: {len(content)}'
    monkeypatch.setattr(sys, 'argv', ['publish', 'nothing.pth', 'b.pth'])
    with pytest.raises(SystemExit, match=r'nothing\.pth'):
        tool.main()
