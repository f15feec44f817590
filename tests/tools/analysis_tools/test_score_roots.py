# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import json

import numpy as np
import pytest

from wsp_mm.evaluation.functional.root_depth import ap_root


@pytest.fixture
def tool(load_tool):
    return load_tool('analysis_tools/score_roots')


ROOTS = {1: [[0, 0, 3000], [900, 0, 5000]], 2: [[0, 0, 4000]]}


@pytest.fixture
def truth(tmp_path):
    images, annotations = [], []
    for image_id, roots in ROOTS.items():
        images.append(
            dict(id=image_id, file_name=f'TS1/img_{image_id:06d}.jpg', width=640, height=480,
                 intrinsic=[500, 500, 320, 240])
        )  # fmt: skip
        for root in roots:
            cam = np.tile(np.array(root, dtype=float), (17, 1))
            cam[:14] += np.random.default_rng(len(annotations)).normal(0, 50, (14, 3))
            annotations.append(
                dict(id=len(annotations), image_id=image_id, is_valid=1, bbox=[1, 1, 5, 5],
                     keypoints_cam=cam.tolist(), keypoints_vis=[1] * 17,
                     keypoints_img=(cam[:, :2] / cam[:, 2:] * 500 + (320, 240)).tolist())
            )  # fmt: skip
    path = tmp_path / 'MuPoTS-3D.json'
    path.write_text(json.dumps(dict(images=images, annotations=annotations)))
    return path


def write(path, scale):
    """Boxes centred on the true roots in the picture, roots at ``scale`` times the true
    distance.
    """
    records = [
        dict(
            image_id=image_id,
            bbox=[x / z * 500 + 320 - 20, y / z * 500 + 240 - 20, 40, 40],
            root_cam=[x * scale, y * scale, z * scale],
            score=1 - z / 1e4,
        )
        for image_id, roots in ROOTS.items()
        for x, y, z in roots
    ]
    path.write_text(json.dumps(records))
    return path


def test_by_hand(tool, truth, tmp_path, capsys):
    files = [
        str(write(tmp_path / f'{name}.json', scale))
        for name, scale in (('good', 1.0), ('far', 1.1))
    ]
    out = tmp_path / 'scores.json'
    assert tool.main([*files, '--ann', str(truth), '--out', str(out)]) == 0
    good, far = json.loads(out.read_text()).values()
    # three perfect ones: recall 1/3, 2/3, 1, the first step left out
    assert (
        good['AP_root'] == pytest.approx(200 / 3) and good['MRPE'] == 0 and good['n_matched'] == 3
    )
    # 300, 508 and 400 mm off: no hit
    assert (
        far['AP_root'] == 0
        and far['MRPE_z'] == pytest.approx(400)
        and far['MRPE_x'] == pytest.approx(30)
    )
    assert 'AP_root' in capsys.readouterr().out
    assert tool.main([files[1], '--ann', str(truth), '--threshold', '350', '--out', str(out)]) == 0
    (row,) = json.loads(out.read_text()).values()
    # only the first in the order of the scores (3000 mm) is within 350 mm: its step is left out
    gt, pred = np.array(ROOTS[1]), np.array(ROOTS[1]) * 1.1
    frames = [
        dict(gt=gt, pred=pred, scores=[0.7, 0.5]),
        dict(gt=ROOTS[2], pred=np.array(ROOTS[2]) * 1.1, scores=[0.6]),
    ]
    assert row['AP_root'] == ap_root(frames, 350)['AP_root'] == 0 and row[
        'recall'
    ] == pytest.approx(100 / 3)


def test_nobody_found(tool, truth, tmp_path):
    (tmp_path / 'none.json').write_text('[]')
    assert (
        tool.main(
            [str(tmp_path / 'none.json'), '--ann', str(truth), '--out', str(tmp_path / 'o.json')]
        )
        == 0
    )
    (row,) = json.loads((tmp_path / 'o.json').read_text()).values()
    assert row['AP_root'] == 0 and row['n_roots'] == 3 and row['MRPE'] is None


def test_bad_files(tool, truth, tmp_path, capsys):
    other = write(tmp_path / 'other.json', 1.0)
    records = json.loads(other.read_text())
    other.write_text(json.dumps([dict(records[0], image_id=77)]))
    assert tool.main([str(other), '--ann', str(truth)]) == 1
    assert 'image 77 is not in' in capsys.readouterr().err
    assert tool.main([str(tmp_path / 'nowhere.json'), '--ann', str(truth)]) == 1
    assert 'nowhere.json' in capsys.readouterr().err
    with pytest.raises(SystemExit):
        tool.main([str(other), '--ann', str(truth), '--threshold', '0'])
