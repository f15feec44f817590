# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""A checkpoint is data: nothing in it runs unless the user said so."""

import contextlib
import functools
import hashlib
import http.server
import os
import pickle
import socket
import threading
from collections import OrderedDict

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner import CheckpointLoader, load_checkpoint

from wsp_mm.utils import checkpoint as ckpt


class Hostile:
    """Pickles as a call that makes a file."""

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


def training_checkpoint(weights):
    """What MMEngine's runner saves, with every kind of number that ends up in it."""
    buffer = HistoryBuffer()
    for value in (1.0, 2.0):
        buffer.update(value)
    parameter = torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.Adam([parameter])
    parameter.sum().backward()
    optimizer.step()
    return dict(
        state_dict=weights,
        meta=dict(
            epoch=1,
            cfg='a = 1',
            dataset_meta=dict(sigmas=np.ones(3, np.float32), ids=np.arange(2), name='x'),
        ),
        message_hub=dict(
            log_scalars=OrderedDict(loss=buffer),
            runtime_info=dict(best=np.float64(0.5), n=np.int32(3)),
        ),
        optimizer=optimizer.state_dict(),
    )


def test_hostile_file_is_refused_and_not_run(hostile_file, tmp_path):
    with pytest.raises(ckpt.UntrustedCheckpointError) as error:
        ckpt.load_file(hostile_file)
    assert not (tmp_path / 'owned').exists()
    assert str(hostile_file) in str(error.value)
    assert '--trust-checkpoint' in str(error.value)
    assert 'mkdir' in str(error.value)


def test_trust_is_what_lets_it_run(hostile_file, tmp_path, monkeypatch):
    monkeypatch.setenv(ckpt.TRUST_ENV, '1')
    with contextlib.suppress(ckpt.BrokenCheckpointError):  # the plain pickle holds no checkpoint
        ckpt.load_file(hostile_file)
    assert (tmp_path / 'owned').is_dir()


@pytest.mark.parametrize(
    'value, trusted', [('', False), ('0', False), ('no', False), ('1', True), ('TRUE', True)]
)
def test_trust_variable(value, trusted, monkeypatch):
    monkeypatch.setenv(ckpt.TRUST_ENV, value)
    assert ckpt.is_trusted() is trusted
    ckpt.trust_checkpoints(not trusted)
    assert ckpt.is_trusted() is not trusted


def test_getattr_only_reaches_the_statistics_of_a_log_buffer(tmp_path):
    path = tmp_path / 'a.pth'
    torch.save(dict(x=ThroughGetattr()), path)
    with pytest.raises(ckpt.UntrustedCheckpointError, match='__init__'):
        ckpt.load_file(path)
    assert ckpt._history_statistic(HistoryBuffer, 'mean') is HistoryBuffer.mean
    with pytest.raises(pickle.UnpicklingError):
        ckpt._history_statistic(os, 'mkdir')


def test_training_checkpoints_load_without_trust(tmp_path, weights):
    path = tmp_path / 'epoch_1.pth'
    torch.save(training_checkpoint(weights), path)
    loaded = ckpt.load_file(path)
    assert torch.equal(loaded['state_dict']['backbone.conv.weight'], torch.arange(4.0))
    assert loaded['message_hub']['log_scalars']['loss'].mean() == 1.5
    assert loaded['message_hub']['runtime_info'] == dict(best=0.5, n=3)
    assert loaded['meta']['dataset_meta']['sigmas'].dtype == np.float32
    assert loaded['optimizer']['state'][0]['step'] == 1


def test_numpy_1_module_names_are_read(tmp_path):
    """Files written under numpy 1 say numpy.core where numpy 2 says numpy._core; both hosts must
    read both.
    """
    path = tmp_path / 'a.pth'
    torch.save(dict(a=np.arange(3), b=np.float64(2)), path, _use_new_zipfile_serialization=False)
    old = path.read_bytes().replace(b'numpy._core.multiarray', b'numpy.core.multiarray')
    path.write_bytes(old)
    assert b'numpy.core.multiarray' in old
    loaded = ckpt.load_file(path)
    assert loaded['a'].tolist() == [0, 1, 2]
    assert loaded['b'] == 2


def test_code_in_the_meta_is_dropped(tmp_path, weights):
    """MMEngine executes meta['config'] as Python when it resumes."""
    path = tmp_path / 'a.pth'
    torch.save(dict(state_dict=weights, meta=dict(config='import os; os.abort()', epoch=3)), path)
    assert ckpt.load_file(path)['meta'] == dict(epoch=3)


@pytest.mark.parametrize('content', [b'', b'<html>not found</html>', b'PK\x03\x04 cut off'])
def test_files_of_another_kind_are_called_broken(content, tmp_path):
    path = tmp_path / 'a.pth'
    path.write_bytes(content)
    with pytest.raises(ckpt.BrokenCheckpointError, match=rf'a\.pth \({len(content)} bytes\)'):
        ckpt.load_file(path)


def test_truncated_checkpoint_is_called_broken(tmp_path, weights):
    path = tmp_path / 'a.pth'
    torch.save(training_checkpoint(weights), path)
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(ckpt.BrokenCheckpointError, match='truncated'):
        ckpt.load_file(path)


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'nothing\.pth does not exist'):
        ckpt.load_file(tmp_path / 'nothing.pth')


def test_mmengine_comes_through_here(hostile_file, tmp_path, weights):
    """Every scheme of MMEngine's loader, and load_checkpoint as MMPose's init_model calls it."""
    assert set(CheckpointLoader._schemes.values()) == {ckpt._load_from_wsp}
    model = torch.nn.Linear(1, 1)
    with pytest.raises(ckpt.UntrustedCheckpointError):
        load_checkpoint(model, str(hostile_file))
    assert not (tmp_path / 'owned').exists()


def test_init_cfg_with_prefix(tmp_path, weights):
    from mmengine.model import BaseModule

    class Backbone(BaseModule):
        def __init__(self, init_cfg):
            super().__init__(init_cfg)
            self.conv = torch.nn.Linear(2, 2)

    path = tmp_path / 'a.pth'
    torch.save(
        dict(
            state_dict={
                f'backbone.{k}': torch.full_like(v, 7)
                for k, v in Backbone(None).state_dict().items()
            }
        ),
        path,
    )
    backbone = Backbone(dict(type='Pretrained', checkpoint=str(path), prefix='backbone.'))
    backbone.init_weights()
    assert (backbone.conv.weight == 7).all()


# ------------------------------------------------------------------------------------------------------
# addresses
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
    assert torch.equal(
        CheckpointLoader.load_checkpoint(f'{url}/{name}')['head.bias'], torch.zeros(2)
    )
    assert [path.name for path in (tmp_path / 'hub' / 'checkpoints').iterdir()] == [name]


def test_wrong_hash_is_refused_and_not_kept(server, weights, tmp_path):
    www, url = server
    torch.save(weights, www / 'w-00000000.pth')
    with pytest.raises(ckpt.BrokenCheckpointError, match='its name promises 00000000'):
        ckpt.load(f'{url}/w-00000000.pth')
    assert list((tmp_path / 'hub' / 'checkpoints').iterdir()) == []


def test_hostile_file_from_the_web_is_refused(server, tmp_path):
    www, url = server
    torch.save(Hostile(tmp_path / 'owned'), www / 'h.pth')
    with pytest.raises(ckpt.UntrustedCheckpointError):
        ckpt.load(f'{url}/h.pth')
    assert not (tmp_path / 'owned').exists()


def test_silent_server_does_not_hang():
    with socket.socket() as silent:
        silent.bind(('127.0.0.1', 0))
        silent.listen()
        with pytest.raises(OSError, match='timed out'):
            ckpt.fetch(f'http://127.0.0.1:{silent.getsockname()[1]}/w.pth', timeout_s=0.3)


def test_names_of_other_schemes():
    assert ckpt.resolve_url('models/a.pth') is None
    assert ckpt.resolve_url('https://host/a.pth') == 'https://host/a.pth'
    assert ckpt.resolve_url('torchvision://resnet50').startswith(
        'https://download.pytorch.org/models/resnet50-'
    )
    assert ckpt.resolve_url('open-mmlab://resnet50_v1c').startswith('https://')
    assert ckpt.resolve_url('mmcls://mobilenet_v2').startswith('https://')
    with pytest.raises(KeyError, match=r'resnet500: no model of that name is known.*resnet50'):
        ckpt.resolve_url('torchvision://resnet500')
    with pytest.raises(ValueError, match='copy the file to a local path'):
        ckpt.resolve_url('s3://bucket/a.pth')
