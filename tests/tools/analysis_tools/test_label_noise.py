# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from wsp_mm.synthetic.annotations_only import Bank, scenes
from wsp_mm.synthetic.plan import Preset, plan_world
from wsp_mm.synthetic.world import Report, write_annotations

TOOL = Path(__file__).resolve().parents[3] / 'tools' / 'analysis_tools' / 'label_noise.py'


@pytest.fixture(scope='module')
def tool():
    spec = importlib.util.spec_from_file_location('label_noise_tool', TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope='module')
def world(tmp_path_factory):
    out = tmp_path_factory.mktemp('world')
    joints = np.random.default_rng(0).normal((0, 0, 900), (150, 80, 350), (10, 29, 3))
    names = ['standing', 'sitting'] * 5
    bank = Bank(joints, names, names, np.full(10, 30.0), np.full(10, 1700.0), np.zeros(10))
    records = scenes(plan_world(Preset('x', 60, 320, 3, 0.25), 0), bank, 0)
    write_annotations(out, records, 60, Report())
    return out


def test_prints_and_writes(tool, world, tmp_path, capsys):
    assert tool.main(['--world', str(world), '--out', str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert 'camera roll' in said and 'sitting + standing' in said
    result = json.loads((tmp_path / 'label_noise.json').read_text())
    assert 0 < result['person/all/all'] < 60 and result['n/all/all'] > 30
    assert (tmp_path / 'label_noise.md').read_text().count('|---|---|---|---|') == 5
    assert (tmp_path / 'label_noise.png').stat().st_size > 10_000


def test_default_folder_and_the_other_ankle_rule(tool, world, capsys):
    assert tool.main(['--world', str(world), '--ankle', 'mean']) == 0
    mean = json.loads((world / 'label_noise' / 'label_noise.json').read_text())
    assert tool.main(['--world', str(world)]) == 0
    assert json.loads((world / 'label_noise' / 'label_noise.json').read_text()) != mean


def test_no_world(tool, tmp_path, capsys):
    assert tool.main(['--world', str(tmp_path)]) == 1
    assert 'make_world.py' in capsys.readouterr().err
