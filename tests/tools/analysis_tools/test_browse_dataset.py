# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from wsp_mm.datasets.annotations import AnnotationError

ROOT = Path(__file__).resolve().parents[3]

CONFIG = """
_base_ = ['{base}']
default_scope = 'mmpose'
custom_imports = dict(imports=['wsp_mm.register'])
codec = dict(_base_.codec, input_size=(64, 64), heatmap_size=(16, 16))
size = dict(input_size=codec['input_size'])
changes = dict(PairTopdownAffine=size, GenerateTarget=dict(encoder=codec))
train_pipeline = [dict(step, **changes.get(step['type'], {{}})) for step in _base_.train_pipeline]
train_dataloader = dict(dataset=dict(data_root='{data}', pipeline=train_pipeline))
test_dataloader = dict(dataset=dict(data_root='{data}'))
"""


@pytest.fixture
def config(tmp_path, load_tool):
    data = load_tool('../tests/datasets/mcpc_fixture').build_tree(tmp_path)
    text = CONFIG.format(base=ROOT / 'configs/wsp_pretrain_r50.py', data=data)
    (tmp_path / 'config.py').write_text(text, encoding='utf-8')
    return str(tmp_path / 'config.py')


@pytest.fixture
def browse(monkeypatch, load_tool):
    def run(*arguments):
        monkeypatch.setattr(sys, 'argv', ['browse_dataset.py', *map(str, arguments)])
        load_tool('analysis_tools/browse_dataset').main()

    return run


def test_training_samples(config, browse, tmp_path, capsys):
    browse(config, '--out', tmp_path / 'out', '--num', 2)
    names = sorted(path.name for path in (tmp_path / 'out').iterdir())
    assert names == ['train_000000.png', 'train_000001.png']
    assert '2 of 3 train samples' in capsys.readouterr().out
    shown = cv2.imread(str(tmp_path / 'out/train_000000.png'))
    assert shown.shape[1] == 2 * 384 and shown.shape[0] > 384
    # Both persons' colours are in the crop, and the heatmaps are not black.
    for color in ((255, 160, 40), (40, 120, 255)):
        assert (np.abs(shown[:, :384].astype(int) - color).max(axis=-1) < 30).sum() > 50
    assert shown[-384:, 384:].max() > 150
    # The same epoch is the same, another one is not.
    browse(config, '--out', tmp_path / 'again', '--num', 2)
    browse(config, '--out', tmp_path / 'later', '--num', 3, '--epoch', 1)
    first, again, later = (
        [(tmp_path / folder / name).read_bytes() for name in names]
        for folder in ('out', 'again', 'later')
    )
    assert first == again != later


def test_test_samples_have_no_heatmaps(config, browse, tmp_path):
    browse(config, '--out', tmp_path / 'out', '--split', 'test')
    assert len(list((tmp_path / 'out').iterdir())) == 3
    assert cv2.imread(str(tmp_path / 'out/test_000001.png')).shape[1] == 384


def test_bad_input_is_explained(config, browse, tmp_path):
    with pytest.raises(SystemExit) as error:
        browse(config, '--num', 0)
    assert error.value.code == 2
    with pytest.raises(AnnotationError, match=r'nowhere/mcpc/mcpc_train\.json'):
        browse(config, '--cfg-options', 'train_dataloader.dataset.data_root=nowhere')
    with pytest.raises(SystemExit, match='does not end in PackPairInputs'):
        browse(config, '--cfg-options', 'train_dataloader.dataset.pipeline=[]')
