# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import pytest

from wsp_mm.synthetic import annotations_only, plan, world
from wsp_mm.synthetic.annotations_only import Bank, scenes
from wsp_mm.synthetic.plan import Preset

ROOT = Path(__file__).resolve().parents[2]
TOOL = ROOT / 'tools' / 'make_world.py'
WILD = ['--worlds', 'wild', '--preset', 'tiny']


@pytest.fixture(scope='module')
def tool():
    spec = importlib.util.spec_from_file_location('make_world_tool', TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def bank() -> Bank:
    import numpy as np

    joints = np.random.default_rng(0).normal((0, 0, 900), (150, 80, 350), (10, 29, 3))
    names = ['standing'] * 10
    return Bank(joints, names, names, np.full(10, 30.0), np.full(10, 1700.0), np.zeros(10))


@pytest.fixture
def painted(monkeypatch, bank):
    """The tool with a painter instead of the renderer, in this process, and a small 'tiny'."""
    import numpy as np

    def generate(request):
        return np.full((request.height, request.width, 3), 90, np.uint8), next(
            scenes([request], bank, 0)
        )

    original = world.make_world

    def make_world(out, preset, seed, workers, mpii_mat=False):
        return original(out, preset, seed, 0, mpii_mat, generate)

    monkeypatch.setattr(world, 'make_world', make_world)
    monkeypatch.setitem(plan.PRESETS, 'tiny', Preset('tiny', 30, 64, 3, 0.25))


def test_writes_a_world_and_says_so(tool, painted, tmp_path, capsys):
    out = tmp_path / 'world'
    assert tool.main([*WILD, '--out', str(out), '--mpii-mat']) == 0
    said = capsys.readouterr().out
    assert '30 pictures made' in said and 'pictures/s a worker' in said and 'crowdpose' in said
    assert (out / 'mpii/annotations/mpii_human_pose_v1_u12_1.mat').is_file()
    assert tool.main([*WILD, '--out', str(out)]) == 0
    assert 'all 30 pictures were there already' in capsys.readouterr().out


def test_another_seed_in_the_same_folder_fails_with_advice(tool, painted, tmp_path, capsys):
    assert tool.main([*WILD, '--out', str(tmp_path)]) == 0
    assert tool.main([*WILD, '--out', str(tmp_path), '--seed', '1']) == 1
    error = capsys.readouterr().err
    assert 'seed is 0, asked for is 1' in error and f'rm -r {tmp_path}' in error


def test_unknown_preset(tool, tmp_path, capsys):
    assert tool.main(['--preset', 'huge', '--out', str(tmp_path)]) == 1
    assert "unknown preset 'huge'; there are: tiny, small, full" in capsys.readouterr().err
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ('options', 'words'),
    [
        (['--workers', '0'], 'at least 1'),
        (['--annotations-only', '--verify'], 'makes none'),
        (['--annotations-only', '--worlds', 'h36m'], 'leave --worlds out'),
        (['--mpii-mat', '--worlds', 'h36m', 'muco'], 'belongs to the wild world'),
        (['--worlds', 'moon'], "invalid choice: 'moon'"),
    ],
)
def test_wrong_options(tool, options, words, capsys):
    with pytest.raises(SystemExit):
        tool.parse_args(options)
    assert words in capsys.readouterr().err


def test_an_interrupt_is_told(tool, monkeypatch, tmp_path, capsys):
    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(world, 'make_world', interrupted)
    assert tool.main([*WILD, '--out', str(tmp_path)]) == 130
    assert 'run the same command again' in capsys.readouterr().err


def test_verify_fails_on_any_problem(tool, painted, monkeypatch, tmp_path, capsys):
    for problems, code in (([], 0), (['scene 3: knee bent backwards'], 1)):
        monkeypatch.setattr(world, 'verify_world', lambda *args, problems=problems: (problems, 30))
        assert tool.main([*WILD, '--out', str(tmp_path), '--verify']) == code
        said = capsys.readouterr().out
        assert f'verified 30 pictures: {len(problems)} problems' in said
        assert all(problem in said for problem in problems)


def test_annotations_only(tool, monkeypatch, bank, tmp_path, capsys):
    monkeypatch.setattr(annotations_only, 'posed_bank', lambda seed: bank)
    options = [
        '--annotations-only',
        '--pictures',
        '60',
        '--persons-per-picture',
        '3',
        '--out',
        str(tmp_path),
    ]
    assert tool.main(options) == 0
    content = json.loads((tmp_path / 'coco/annotations/person_keypoints_val2017.json').read_text())
    assert content['images'] and not list(tmp_path.rglob('*.jpg'))


@pytest.mark.slow
def test_real_worlds_are_the_same_bytes_whatever_the_workers(tmp_path):
    """The command itself, with bodies and renderer: 1 and 2 processes."""
    code = (
        'import sys; sys.path.insert(0, {root!r}); '
        'from wsp_mm.synthetic import lab_plan, muco_plan, mupots_plan, plan; '
        "plan.PRESETS['tiny'] = plan.Preset('tiny', 20, 96, 2, 0.25); "
        "lab_plan.LAB_PRESETS['tiny'] = lab_plan.LabPreset('tiny', 64, (9,), 1, 1, 0); "
        "muco_plan.MUCO_PRESETS['tiny'] = muco_plan.MucoPreset('tiny', 8, 64); "
        "mupots_plan.MUPOTS_PRESETS['tiny'] = mupots_plan.MupotsPreset('tiny', 1, 64, 1.0); import runpy; "
        "sys.argv = ['make_world', *{options!r}]; runpy.run_path({tool!r}, run_name='__main__')"
    )
    folders = [tmp_path / 'one', tmp_path / 'two']
    for workers, out in enumerate(folders, start=1):
        options = ['--preset', 'tiny', '--out', str(out), '--workers', str(workers)]
        script = tmp_path / f'run{workers}.py'
        # Spawned workers import the main module again, which must not run the tool again.
        body = code.format(root=str(ROOT), options=options, tool=str(TOOL))
        script.write_text(f"if __name__ == '__main__':\n    {body}\n")
        done = subprocess.run(
            [sys.executable, str(script)], capture_output=True, text=True, cwd=ROOT
        )
        assert done.returncode == 0, done.stderr
    files = [
        {str(p.relative_to(out)): p.read_bytes() for p in out.rglob('*') if p.is_file()}
        for out in folders
    ]
    assert files[0].keys() == files[1].keys()
    assert [name for name in files[0] if files[0][name] != files[1][name]] == []
    pictures = [name for name in files[0] if name.endswith('.jpg')]
    assert len(pictures) == 20 + 2 * 56 + 8 + 20
    for name in pictures[:: len(pictures) // 8]:
        assert cv2.imread(str(folders[0] / name)).std() > 5


@pytest.mark.skipif(hasattr(os, 'geteuid') and os.geteuid() == 0, reason='root may write anywhere')
def test_a_folder_without_permission(tool, tmp_path, capsys):
    locked = tmp_path / 'locked'
    locked.mkdir()
    locked.chmod(0o500)
    assert tool.main([*WILD, '--out', str(locked / 'world')]) == 1
    assert 'not writable' in capsys.readouterr().err


@pytest.fixture
def parcels_painted(monkeypatch):
    """The lab and MuCo with an empty stage for a picture, in this process, and a small 'tiny'."""
    import numpy as np

    from wsp_mm.synthetic import lab, lab_plan, muco_plan, muco_scene, mupots_plan, parcels, worlds
    from wsp_mm.synthetic.mupots_scene import MupotsRecord

    def lab_moment(moment):
        joints = np.random.default_rng(moment.scene_id).normal((0, 0, 900), 200, (29, 3))
        key = (moment.scene_id, moment.subject, moment.action, moment.subaction, moment.frame)
        return [np.full((64, 64, 3), k, np.uint8) for k in range(4)], lab.LabRecord(
            *key, joints, 'standing', 1700.0
        )

    def muco_picture(request):
        joints = np.random.default_rng(request.scene_id).normal((0, 0, 3000), 200, (2, 29, 3))
        record = muco_scene.MucoRecord(
            request.scene_id, request.file_name, 64, 64, np.full(2, 50.0), np.full(2, 32.0), joints,
            np.ones((2, 29), bool),
        )  # fmt: skip
        return [np.full((64, 64, 3), 7, np.uint8)], record

    def mupots_picture(request):
        joints = np.random.default_rng(request.scene_id).normal((0, 0, 3000), 200, (3, 29, 3))
        record = MupotsRecord(
            request.scene_id, request.sequence, request.frame, request.file_name, 64, 64, np.full(2, 50.0),
            np.full(2, 32.0), joints, np.ones((3, 29), bool), np.ones(3, bool), np.ones(3, bool),
        )  # fmt: skip
        return [np.full((64, 64, 3), 7, np.uint8)], record

    original = parcels.make_parcels
    made = {'h36m': lab_moment, 'muco': muco_picture, 'mupots': mupots_picture}

    def make_parcels(out, kind, preset, seed, workers):
        return original(out, replace(kind, generate=made[kind.name]), preset, seed, 0)

    monkeypatch.setattr(parcels, 'make_parcels', make_parcels)
    monkeypatch.setattr(
        parcels, 'verify_parcels', lambda out, kind, *args: ([f'{kind.name} is odd'], 4)
    )
    monkeypatch.setitem(lab_plan.LAB_PRESETS, 'tiny', lab_plan.LabPreset('tiny', 64, (2,), 1, 1, 0))
    monkeypatch.setitem(muco_plan.MUCO_PRESETS, 'tiny', muco_plan.MucoPreset('tiny', 6, 64))
    tiny = mupots_plan.MupotsPreset('tiny', 1, 64, 1.0)
    monkeypatch.setitem(mupots_plan.MUPOTS_PRESETS, 'tiny', tiny)
    return worlds


def test_all_worlds_by_default_or_some(tool, painted, parcels_painted, tmp_path, capsys):
    out = tmp_path / 'all'
    assert tool.main(['--preset', 'tiny', '--out', str(out)]) == 0
    said = capsys.readouterr().out
    for words in (
        'wild: 30 pictures made',
        'h36m: 56 pictures made',
        'muco: 6 pictures made',
        'mupots: 20 pictures made',
        'unaugmented_set',
    ):
        assert words in said
    assert {path.name for path in out.glob('world*.json')} == {
        'world.json', 'world_h36m.json', 'world_muco.json', 'world_mupots.json',
    }  # fmt: skip
    part = tmp_path / 'part'
    again = ('muco', 'muco: all 6 pictures were there')
    for worlds, kept in (('muco', ''), ('mupots', ''), ('wild', ''), ('h36m', ''), again):
        assert tool.main(['--worlds', worlds, '--preset', 'tiny', '--out', str(part)]) == 0
        assert kept in capsys.readouterr().out
    names = [
        {str(p.relative_to(d)): p.read_bytes() for p in d.rglob('*') if p.is_file()}
        for d in (out, part)
    ]
    assert names[0] == names[1]


def test_every_world_is_verified(tool, parcels_painted, tmp_path, capsys):
    options = ['--preset', 'tiny', '--out', str(tmp_path), '--verify']
    assert tool.main(['--worlds', 'muco', 'h36m', *options]) == 1
    said = capsys.readouterr().out
    assert (
        said.index('h36m: verified 4 pictures: 1 problems')
        < said.index('h36m is odd')
        < said.index('muco is odd')
    )


def test_worlds_are_those_of_the_package(tool, parcels_painted):
    assert parcels_painted.WORLDS == tool.WORLDS
    assert tool.parse_args(['--worlds', 'muco', 'wild', 'muco']).worlds == ['wild', 'muco']


def test_presets_are_what_the_help_names(tool):
    assert set(plan.PRESETS) == {'tiny', 'small', 'full'}
    assert replace(plan.PRESETS['tiny']).pictures <= 80
