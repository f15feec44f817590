# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOL = ROOT / 'tools' / 'dataset_converters' / 'build_mcpc.py'


def run(*args):
    return subprocess.run(
        [sys.executable, str(TOOL), *map(str, args)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )


@pytest.fixture
def mpii(tmp_path):
    """MPII with one picture of two persons in train and in val."""
    for split in ('train', 'val'):
        rows = [
            dict(
                image=f'{split}.jpg',
                joints=[[10.0 * k + n, y - 5.0 * k] for k in range(16)],
                joints_vis=[1] * 16,
            )
            for n, y in enumerate((300, 200))
        ]
        path = tmp_path / 'mpii' / 'annotations' / f'mpii_{split}.json'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(rows))
    return tmp_path / 'mpii'


def test_build(mpii, tmp_path):
    done = run('--mpii', mpii, '--out', tmp_path / 'out', '--ankles', 'both', '--ground', 'mean')
    assert done.returncode == 0, done.stderr
    names = {'mcpc_train.json', 'mcpc_test.json', 'mcpc_table.json', 'mcpc_table.md'}
    assert {path.name for path in (tmp_path / 'out').iterdir()} == names
    content = json.loads((tmp_path / 'out' / 'mcpc_test.json').read_text())
    assert len(content['pairs']) == 1
    # right ankle at y, left ankle 25 px higher
    assert sorted(a['ground_y'] for a in content['annotations']) == [187.5, 287.5]
    assert (
        '~220k' in done.stdout
        and 'not looked for' in done.stdout
        and 'mcpc_test.json' in done.stdout
    )


def test_quiet(mpii, tmp_path):
    done = run('--mpii', mpii, '--out', tmp_path / 'out', '--quiet')
    assert done.returncode == 0 and done.stdout == '' and done.stderr == ''


def test_errors_are_one_line(mpii, tmp_path):
    (mpii / 'annotations' / 'mpii_train.json').write_text('[{"image": "a.jpg"}]')
    done = run('--mpii', mpii, '--out', tmp_path / 'out', '--quiet')
    assert (
        done.returncode == 1
        and 'mpii_train.json: row 0' in done.stderr
        and 'Traceback' not in done.stderr
    )
    done = run('--out', tmp_path / 'out')
    assert done.returncode == 2 and '--posetrack18' in done.stderr


def test_help_is_light():
    code = (
        f'import runpy, sys; sys.argv = ["x", "--help"]\n'
        f'try: runpy.run_path({str(TOOL)!r}, run_name="__main__")\n'
        f'except SystemExit: pass\n'
        f'heavy = {{"torch", "mmengine", "mmcv", "mmpose", "scipy", "PIL"}} & set(sys.modules)\n'
        f'assert not heavy, heavy\n'
    )
    done = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr
    assert '--dedup' in done.stdout and '--skip-bad' in done.stdout
