# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import json

import pytest


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


def test_build(call_tool, mpii, tmp_path):
    out = tmp_path / 'out'
    where = ['dataset_converters/build_mcpc', '--mpii', mpii, '--out', out]
    status, shown, _ = call_tool(*where, '--ankles', 'both', '--ground', 'mean')
    content = json.loads((out / 'mcpc_test.json').read_text())
    assert status == 0 and len(content['pairs']) == 1
    # right ankle at y, left ankle 25 px higher
    assert sorted(a['ground_y'] for a in content['annotations']) == [187.5, 287.5]
    assert '~220k' in shown and 'not looked for' in shown and str(out / 'mcpc_test.json') in shown
    assert call_tool(*where, '--quiet', '--splits', 'test') == (0, '', '')


def test_errors_are_one_line(call_tool, mpii, tmp_path):
    (mpii / 'annotations' / 'mpii_train.json').write_text('[{"image": "a.jpg"}]')
    tool, out = 'dataset_converters/build_mcpc', ['--out', tmp_path / 'out']
    status, _, shown = call_tool(tool, '--mpii', mpii, *out, '--quiet')
    assert status == 1 and 'mpii_train.json: row number 0' in shown and shown.count('\n') == 1
    status, _, shown = call_tool(tool, *out)
    assert status == 2 and '--posetrack18' in shown
