# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import json
import runpy
from pathlib import Path

import pytest

pytest.importorskip('mmengine')

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope='module')
def main():
    return runpy.run_path(str(ROOT / 'tools' / 'misc' / 'check_data.py'))['main']


@pytest.fixture
def config(tmp_path):
    """A config over five pictures of which two are missing."""
    images = [dict(id=n, source='coco', file_name=f'train2017/{n}.jpg') for n in range(5)]
    (tmp_path / 'mcpc.json').write_text(json.dumps(dict(images=images, annotations=[])))
    (tmp_path / 'coco' / 'train2017').mkdir(parents=True)
    for n in (0, 1, 4):
        (tmp_path / 'coco' / 'train2017' / f'{n}.jpg').touch()
    path = tmp_path / 'config.py'
    dataset = dict(type='MCPCDataset', data_root=str(tmp_path), ann_file='mcpc.json')
    path.write_text(f'train_dataloader = dict(dataset={dataset!r})\n')
    return path


def test_missing_pictures(main, config, capsys):
    assert main([str(config), '--all']) == 1
    shown = capsys.readouterr().out
    assert (
        '2 missing' in shown and '2.jpg' in shown and '3.jpg' in shown and 'docs/data.md' in shown
    )
    assert main([str(config), '--all', '--shown', '1']) == 1
    shown = capsys.readouterr().out
    assert '2.jpg' in shown and '3.jpg' not in shown and 'and 1 more' in shown


def test_all_there(main, config, capsys):
    for n in (2, 3):
        (config.parent / 'coco' / 'train2017' / f'{n}.jpg').touch()
    assert main([str(config), '--all']) == 0
    assert 'all there (6' in capsys.readouterr().out


def test_cfg_options_and_bad_arguments(main, config, capsys):
    assert main([str(config), '--cfg-options', 'train_dataloader.dataset.ann_file=gone.json']) == 1
    assert 'gone.json: no such file' in capsys.readouterr().out
    for args in ([str(config), '--samples', '0'], [str(config.parent / 'none.py')]):
        with pytest.raises(SystemExit) as error:
            main(args)
        assert error.value.code == 2
