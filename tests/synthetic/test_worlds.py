# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
from pathlib import Path

import pytest

from wsp_mm.synthetic import lab_plan, muco_plan, world
from wsp_mm.synthetic.lab_plan import LabPreset
from wsp_mm.synthetic.layouts.files import WorldError
from wsp_mm.synthetic.muco_plan import MucoPreset
from wsp_mm.synthetic.plan import PRESETS
from wsp_mm.synthetic.worlds import KINDS, WORLDS, check_names, make_named, verify_named


@pytest.fixture
def minute(monkeypatch):
    """Smaller worlds than 'tiny' under its name."""
    monkeypatch.setitem(lab_plan.LAB_PRESETS, 'tiny', LabPreset('tiny', 64, (14,), 1, 1, 0))
    monkeypatch.setitem(muco_plan.MUCO_PRESETS, 'tiny', MucoPreset('tiny', 4, 64))


def contents(root: Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob('*')) if p.is_file()
    }


@pytest.mark.slow
def test_worlds_share_a_folder_in_any_order(minute, tmp_path):
    for name in ('h36m', 'muco'):
        make_named(name, tmp_path / 'a', 'tiny', 0, 0)
    for name in ('muco', 'h36m'):
        make_named(name, tmp_path / 'b', 'tiny', 0, 0)
    assert contents(tmp_path / 'a') == contents(tmp_path / 'b')
    make_named('muco', tmp_path / 'c', 'tiny', 0, 0)
    alone = contents(tmp_path / 'c')
    assert {name.split('/')[0] for name in alone} == {'muco', 'records', 'world_muco.json'}
    assert alone.items() <= contents(tmp_path / 'a').items()
    for name in ('h36m', 'muco'):
        assert verify_named(name, tmp_path / 'a', 'tiny', 0, 0) == ([], 56 if name == 'h36m' else 4)
    # Another seed of one world does not fit into the folder, and the other world does not mind.
    make_named('h36m', tmp_path / 'c', 'tiny', 0, 0)
    with pytest.raises(WorldError, match='seed is 0, asked for is 1'):
        make_named('h36m', tmp_path / 'c', 'tiny', 1, 0)
    assert make_named('muco', tmp_path / 'c', 'tiny', 0, 0).kept == 4


def test_the_wild_world_is_one_of_them(monkeypatch, tmp_path):
    seen = []
    monkeypatch.setattr(world, 'make_world', lambda *args: seen.append(args))
    monkeypatch.setattr(world, 'verify_world', lambda *args: seen.append(args))
    make_named('wild', tmp_path, 'tiny', 3, 2, True)
    verify_named('wild', tmp_path, 'tiny', 3, 2, 7)
    assert seen == [(tmp_path, PRESETS['tiny'], 3, 2, True), (tmp_path, PRESETS['tiny'], 3, 2, 7)]


def test_presets_have_the_same_names_everywhere():
    assert WORLDS == ('wild', 'h36m', 'muco', 'mupots') and set(KINDS) < set(WORLDS)
    for preset in PRESETS:
        check_names(list(WORLDS), preset)


@pytest.mark.parametrize('name', WORLDS)
def test_unknown_names_are_told(name):
    with pytest.raises(WorldError, match=r"unknown preset 'huge'; there are: tiny, small, full"):
        check_names([name], 'huge')
    with pytest.raises(
        WorldError, match=r"unknown world 'moon'; there are: wild, h36m, muco, mupots"
    ):
        check_names([name, 'moon'], 'tiny')


def test_folders_of_worlds_are_apart():
    folders = [folder for kind in KINDS.values() for folder in kind.folders]
    assert len(set(folders)) == len(folders) and not set(folders) & {
        *world.SOURCES,
        'truth',
        'mcpc',
    }
    assert len({kind.identity for kind in KINDS.values()} | {'world.json'}) == len(KINDS) + 1


def test_pictures_have_no_name_twice():
    for kind in KINDS.values():
        requests = kind.plan(kind.get_preset('tiny'), 0)
        names = [
            name for request in requests for pair in kind.names(request) for name in pair if name
        ]
        assert len(set(names)) == len(names)
        assert {name.split('/')[0] for name in names} == set(kind.folders)
