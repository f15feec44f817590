# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from wsp_mm.datasets.crop_cache import CropCache, read_manifest
from wsp_mm.utils.config import load_config

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / 'configs/posenet_h36m_r50.py'
WITH_OPTION = ['posenet_h36m_r50', 'root_h36m_r50', 'quickstart/posenet_h36m_r18', 'wsp_h36m_r50_p2',
               'posenet_compat/posenet_h36m_r50']  # fmt: skip


@pytest.fixture(scope='module')
def tool(load_tool):
    return load_tool('dataset_converters/cache_crops')


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    """Five subjects of the hand-made Human3.6M."""
    sys.path.append(str(ROOT / 'tests' / 'datasets'))
    try:
        import h36m_fixture
    finally:
        sys.path.pop()
    folder = tmp_path_factory.mktemp('h36m')
    h36m_fixture.write_3dmppe(folder)
    return folder


def options(root):
    return [
        '--cfg-options',
        f'data_root={root}',
        'train_dataloader.dataset.pipeline.5.input_size=(64, 64)',
    ]


def test_the_whole_way(tool, root, tmp_path, capsys):
    """Made by the command, trained on by the option."""
    from mmpose.registry import DATASETS

    words = [
        str(CONFIG),
        str(tmp_path / 'crops'),
        '--workers',
        '0',
        '--shard-size',
        '50',
        *options(root),
    ]
    assert tool.main(words) == 0
    said = capsys.readouterr().out
    assert '160 pictures (160 cut now' in said and 'pictures/s' in said and "of the frames'" in said
    assert tool.main(words) == 0
    assert '160 pictures (0 cut now' in capsys.readouterr().out
    cache = CropCache(tmp_path / 'crops')
    assert len(cache) == 160 and cache.manifest['dataset']['layout'] == '3dmppe'
    assert tool.main([*words, '--quality', '90']) == 1
    assert 'quality is 95 there, 90 here' in capsys.readouterr().err

    config = load_config(CONFIG, {'data_root': str(root), 'crop_cache': str(tmp_path / 'crops')})
    assert config.val_dataloader.dataset.pipeline[0].get('crop_cache') is None
    with pytest.raises(ValueError, match='64 x 64 px in the cache, 256 x 256 in the pipeline'):
        DATASETS.build(config.train_dataloader.dataset)
    config.train_dataloader.dataset.pipeline[5].input_size = (64, 64)
    assert DATASETS.build(config.train_dataloader.dataset)[7]['inputs'].shape == (3, 64, 64)


def test_of_a_mixture_one_data_set(tool):
    config = load_config(ROOT / 'configs/posenet_h36m_mpii_r50.py')
    chosen, steps = tool.plan(config, 0)
    assert chosen['type'] == 'H36MImageDataset' and 'pipeline' not in chosen
    assert [step['type'] for step in steps][:3] == [
        'ReadPicture',
        'ReadPicture',
        'PersonCenterScale',
    ]
    chosen, steps = tool.plan(config, 1)
    assert chosen['type'] == 'MpiiDataset' and steps[0]['type'] == 'ConvertJoints'
    with pytest.raises(ValueError, match='mixes data sets 0 to 1'):
        tool.plan(config, 2)
    with pytest.raises(ValueError, match='trains on one data set'):
        tool.plan(load_config(CONFIG), 1)


@pytest.mark.parametrize('name', WITH_OPTION)
def test_one_plain_option_sets_the_training_pictures_alone(name):
    config = load_config(ROOT / f'configs/{name}.py', {'crop_cache': 'somewhere'})
    step = config.train_dataloader.dataset.pipeline[0]
    assert step.type == 'ReadPicture' and step.crop_cache == 'somewhere'
    for loader in (config.val_dataloader, config.test_dataloader):
        assert not any('crop_cache' in step for step in loader.dataset.pipeline)


@pytest.mark.parametrize(
    'name', ['posenet_h36m_mcpc_r50', 'posenet_h36m_mpii_r50', 'wsp_muco_r50', 'root_muco_r50']
)
def test_of_a_mixture_the_3d_data_set_alone_is_cached(name):
    config = load_config(ROOT / f'configs/{name}.py', {'crop_cache': 'somewhere'})
    mixture = config.train_dataloader.dataset
    assert mixture.datasets[0].pipeline[0] == dict(type='ReadPicture', crop_cache='somewhere')
    others = [
        *mixture.pipeline,
        *config.test_dataloader.dataset.pipeline,
        *mixture.datasets[1].pipeline,
    ]
    assert not any('crop_cache' in step for step in others)


def test_configs_without_it_say_so():
    with pytest.raises(ValueError, match='has no option crop_cache'):
        load_config(ROOT / 'configs/wsp_pretrain_r50.py', {'crop_cache': 'somewhere'})


def test_wrong_words(tool, tmp_path, capsys):
    for words in (['--workers', '-1'], ['--quality', '0'], ['--shard-size', '0']):
        with pytest.raises(SystemExit):
            tool.main([str(CONFIG), str(tmp_path), *words])
    assert (
        tool.main([str(CONFIG), str(tmp_path / 'x'), '--cfg-options', f'data_root={tmp_path}']) == 1
    )
    assert 'cache_crops:' in capsys.readouterr().err


@pytest.mark.slow
def test_an_interrupt_says_how_to_go_on(root, tmp_path):
    out = tmp_path / 'crops'
    words = [
        sys.executable,
        str(ROOT / 'tools/dataset_converters/cache_crops.py'),
        str(CONFIG),
        str(out),
    ]
    words += ['--workers', '1', '--shard-size', '3', *options(root)]
    # What runs the tests in the background may have had SIGINT ignored, which processes inherit.
    process = subprocess.Popen(
        words,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    deadline = time.monotonic() + 60
    while (
        not list(out.glob('shard-*.npy')) and process.poll() is None and time.monotonic() < deadline
    ):
        time.sleep(0.002)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 130 and 'Traceback' not in said
    assert 'interrupted; whole shards are kept. The same command goes on from there: python' in said
    assert not read_manifest(out)['complete'] and not list(out.glob('.shard*'))
    assert subprocess.run(words, capture_output=True).returncode == 0 and len(CropCache(out)) == 160
