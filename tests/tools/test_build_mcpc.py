# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import json

import pytest


@pytest.fixture
def main(load_tool):
    return load_tool('dataset_converters/build_mcpc').main


@pytest.fixture
def mpii(tmp_path):
    """MPII with one image of two persons in train and in val."""
    for split in ('train', 'val'):
        rows = [
            dict(image=f'{split}.jpg', joints=joints, joints_vis=[1] * 16)
            for joints in (
                [[10.0 * k + n, y - 5.0 * k] for k in range(16)] for n, y in enumerate((300, 200))
            )
        ]
        path = tmp_path / 'mpii' / 'annotations' / f'mpii_{split}.json'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(rows))
    return tmp_path / 'mpii'


def test_build(main, mpii, tmp_path, capsys):
    out = tmp_path / 'out'
    where = ['--mpii', str(mpii), '--out', str(out)]
    assert main([*where, '--ankles', 'both', '--ground', 'mean']) == 0
    content = json.loads((out / 'mcpc_test.json').read_text())
    assert len(content['pairs']) == 1
    # right ankle at y, left ankle 25 px higher
    assert sorted(a['ground_y'] for a in content['annotations']) == [187.5, 287.5]
    shown = capsys.readouterr().out
    assert '~220k' in shown and 'not looked for' in shown and str(out / 'mcpc_test.json') in shown
    assert main([*where, '--quiet', '--splits', 'test']) == 0
    assert capsys.readouterr() == ('', '')


def test_errors_are_one_line(main, mpii, tmp_path, capsys):
    (mpii / 'annotations' / 'mpii_train.json').write_text('[{"image": "a.jpg"}]')
    assert main(['--mpii', str(mpii), '--out', str(tmp_path / 'out'), '--quiet']) == 1
    shown = capsys.readouterr().err
    assert 'mpii_train.json: row number 0' in shown and shown.count('\n') == 1
    assert main(['--out', str(tmp_path / 'out')]) == 2
    assert '--posetrack18' in capsys.readouterr().err
