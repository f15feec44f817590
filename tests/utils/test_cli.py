# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import argparse
import errno
import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from wsp_mm.utils.cli import (
    REPLACEMENTS,
    ConfigOptionError,
    add_common_arguments,
    config_from_args,
    load_config,
    parse_cfg_options,
    printable,
    run_and_explain,
)

TEXT = """
data_root = '{{$WSP_DATA:data/}}'
model = dict(backbone=dict(depth=50))
train_dataloader = dict(dataset=dict(datasets=[dict(data_root=data_root), dict(data_root='b/')]))
"""


@pytest.fixture
def config(tmp_path):
    path = tmp_path / 'my_config.py'
    path.write_text(TEXT)
    return path


def test_options_are_mmengines(config, monkeypatch):
    monkeypatch.delenv('WSP_DATA', raising=False)
    place = 'train_dataloader.dataset.datasets.0.actions'
    cfg = load_config(config, {'model.backbone.depth': 18, place: ['Walking'], 'compile': True})
    assert cfg.model.backbone.depth == 18 and cfg.compile is True
    assert cfg.train_dataloader.dataset.datasets[0] == dict(data_root='data/', actions=['Walking'])
    assert load_config(config).model.backbone.depth == 50
    monkeypatch.setenv('WSP_DATA', '/elsewhere')
    datasets = load_config(config).train_dataloader.dataset.datasets
    assert [dataset.data_root for dataset in datasets] == ['/elsewhere', 'b/']


@pytest.mark.parametrize(
    ('name', 'remedy'),
    [
        ('data_root', 'WSP_DATA'),
        ('pretrained', 'model.init_cfg.checkpoint'),
        ('action', 'train_dataloader.dataset.actions'),
        ('boxes', 'boxes_file'),
        ('bbox_root', 'bbox_root_file'),
        ('bfloat16', 'optim_wrapper.enabled'),
        ('codec.sigma', 'model.head.decoder'),
        ('crop_cache', 'crop_cache'),
        ('modle.backbone.depth', 'modle'),
    ],
)
def test_options_that_nothing_reads_are_refused(config, name, remedy):
    with pytest.raises(ConfigOptionError, match=remedy):
        load_config(config, {'model.backbone.depth': 18, name: 'x'})
    assert 'modle' not in REPLACEMENTS


@pytest.mark.parametrize('name', ['model.backbone.depth.x', 'train_dataloader.dataset.datasets.7'])
def test_options_that_cannot_be_merged(config, name):
    with pytest.raises(ConfigOptionError, match=name):
        load_config(config, {name: 1})


@pytest.mark.parametrize(
    ('name', 'hint'), [('wsp_pretrain_r50.py', 'did you mean /'), ('nothing.py', 'no config')]
)
def test_a_config_that_is_not_there(name, hint):
    with pytest.raises(FileNotFoundError, match=hint):
        load_config(f'nowhere/{name}')


def test_configs_are_parsed_by_one_thread_at_a_time(config):
    with ThreadPoolExecutor(8) as pool:
        assert len(list(pool.map(load_config, [config] * 24))) == 24


def test_words_of_the_command_line(config, capsys):
    parser = argparse.ArgumentParser()
    parser.add_argument('config')
    add_common_arguments(parser)
    words = ['--cfg-options', 'a=1', '--work-dir', 'x', '--cfg-options', 'b.c=[2,x]', 'a=3']
    args = parser.parse_args(['c.py', *words])
    assert parse_cfg_options(parser, args.cfg_options) == {'a': 3, 'b.c': [2, 'x']}
    for words, complaint in (
        ([str(config), '--cfg-options', 'novalue'], 'KEY=VALUE'),
        ([str(config), '--cfg-options', 'data_root=x'], 'WSP_DATA'),
        (['nowhere/wsp_pretrain_r50.py'], 'did you mean'),
    ):
        with pytest.raises(SystemExit) as stop:
            config_from_args(parser, parser.parse_args(words))
        assert stop.value.code == 2 and complaint in capsys.readouterr().err


def test_printable():
    assert printable('Übung 日本 a b.jpg') == 'Übung 日本 a b.jpg'
    shown = printable('\x1b[2J\x9b31m\n\udcff\u202egpj.a')
    assert shown == r'\x1b[2J\x9b31m\n\udcff\u202egpj.a'


def test_a_full_or_read_only_disk_is_one_line(tmp_path):
    def save(error):
        try:
            raise error
        except OSError:  # as torch.save hides it
            raise RuntimeError('unexpected pos 704 vs 598')  # noqa: B904

    for code, name in ((errno.ENOSPC, 'epoch_1.pth'), (errno.EROFS, None)):
        error = OSError(code, 'cause', name)
        with pytest.raises(SystemExit, match=rf'{re.escape(str(error))}: .*free space'):
            run_and_explain(lambda error=error: save(error))
    with pytest.raises(RuntimeError, match='unexpected pos'):
        run_and_explain(lambda: save(FileNotFoundError(errno.ENOENT, 'cause')))
