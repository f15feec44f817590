# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from mmengine.config import Config

from wsp_mm.utils.config import load_config

TEXT = """
data_root = 'data/synthetic/'
train_dataloader = dict(dataset=dict(type='Mix', datasets=[
    dict(data_root=data_root, ann_file='a.json'), dict(data_root='elsewhere/', ann_file='b.json')]))
test_dataloader = dict(dataset=dict(data_root=data_root))
plain_options = dict(action=['train_dataloader.dataset.datasets.1.actions', 'test_dataloader.actions'])
"""


@pytest.fixture
def config_file(tmp_path):
    path = tmp_path / 'config.py'
    path.write_text(TEXT)
    return path


def test_data_root_moves_every_data_set_that_lies_there(config_file):
    config = load_config(config_file, {'data_root': '/real', 'test_dataloader.batch_size': 3})
    first, second = config.train_dataloader.dataset.datasets
    assert (
        first.data_root == '/real/' == config.data_root == config.test_dataloader.dataset.data_root
    )
    assert second.data_root == 'elsewhere/'
    assert config.test_dataloader.batch_size == 3


def test_a_plain_option_sets_all_its_places(config_file):
    config = load_config(config_file, {'action': 'Walking'})
    assert (
        config.train_dataloader.dataset.datasets[1].actions
        == 'Walking'
        == config.test_dataloader.actions
    )
    assert 'actions' not in config.train_dataloader.dataset.datasets[0] and 'action' not in config
    for name in ('pretrained', 'bbox_root', 'boxes'):
        with pytest.raises(ValueError, match=f'no option {name}'):
            load_config(config_file, {name: 'x'})


def test_errors_are_clear(config_file, tmp_path):
    with pytest.raises(FileNotFoundError, match='no config'):
        load_config(tmp_path / 'absent.py')
    config_file.write_text('x = 1')
    with pytest.raises(ValueError, match='no variable data_root'):
        load_config(config_file, {'data_root': '/real'})


def test_threads_parse_one_after_the_other(config_file, monkeypatch):
    """CPython's parser may fail when two threads build a syntax tree at once."""
    inside, most, lock = [0], [0], threading.Lock()
    parse = Config.fromfile

    def watched(path):
        with lock:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
        time.sleep(0.01)
        config = parse(path)
        with lock:
            inside[0] -= 1
        return config

    monkeypatch.setattr(Config, 'fromfile', watched)
    with ThreadPoolExecutor(4) as pool:
        configs = list(pool.map(lambda _: load_config(config_file), range(8)))
    assert most[0] == 1 and all(config.data_root == 'data/synthetic/' for config in configs)
