# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""The tool with an untrained network: boxes, pictures and records find each other; poses mean
nothing.
"""

import json

import cv2
import numpy as np
import pytest

CONFIG = 'configs/quickstart/posenet_h36m_r18.py'


@pytest.fixture(scope='module')
def weights(repo, tmp_path_factory):
    import torch
    from mmengine.config import Config
    from mmengine.registry import init_default_scope
    from mmpose.models import build_pose_estimator

    init_default_scope('mmpose')
    torch.manual_seed(0)
    cfg = Config.fromfile(repo / CONFIG)
    cfg.model.backbone.init_cfg = None
    path = tmp_path_factory.mktemp('weights') / 'weights.pth'
    torch.save({'state_dict': build_pose_estimator(cfg.model).state_dict()}, path)
    return path


@pytest.fixture
def coco(tmp_path):
    """Three pictures, one of which is no picture."""
    rng = np.random.default_rng(0)
    root = tmp_path / 'the pictures'
    (root / 'val').mkdir(parents=True)
    for i in range(2):
        cv2.imwrite(
            str(root / 'val' / f'{i}.jpg'), rng.integers(0, 255, (200, 300, 3), dtype=np.uint8)
        )
    (root / 'val' / '2.jpg').write_bytes(b'broken')
    images = [dict(id=i, file_name=f'val/{i}.jpg', width=300, height=200) for i in range(3)]
    annotations = [
        dict(id=9 * i + k, image_id=i, category_id=1, iscrowd=0, bbox=[20 + 120 * k, 20, 90, 150])
        for i in range(3)
        for k in range(2)
    ]
    path = tmp_path / 'ann.json'
    path.write_text(json.dumps(dict(images=images, annotations=annotations)))
    return path, root


@pytest.fixture
def run(load_tool, repo, coco, weights, tmp_path):
    def call(*more, ann=coco[0], checkpoint=weights, out='sheet.jpg'):
        arguments = [
            ann,
            '--img-root',
            coco[1],
            '--pose-config',
            repo / CONFIG,
            '--pose-checkpoint',
            checkpoint,
        ]
        arguments += ['--out', tmp_path / out, '--device', 'cpu', *more]
        return load_tool('analysis_tools/qualitative').main([str(value) for value in arguments])

    return call


def test_a_sheet_of_labelled_persons(run, tmp_path, capsys):
    assert run() == 0
    answer = capsys.readouterr()
    assert '2 pictures in' in answer.out and 'val/2.jpg left out' in answer.err
    sheet = cv2.imread(str(tmp_path / 'sheet.jpg'))
    assert sheet.shape[0] == 504 and sheet.shape[1] == 696  # two rows of 3 inches, and the titles
    assert not list(tmp_path.glob('*.part'))
    assert run('--assume-fov', 60, out='space.png') == 0
    assert not np.array_equal(cv2.imread(str(tmp_path / 'space.png')), sheet)


def test_what_it_says_when_it_cannot(run, tmp_path, capsys):
    assert run(ann=tmp_path / 'gone.json') == 1 and 'no such file' in capsys.readouterr().err
    assert run(checkpoint=tmp_path / 'gone.pth') == 1 and 'gone.pth' in capsys.readouterr().err
    empty = tmp_path / 'empty.json'
    empty.write_text(json.dumps(dict(images=[dict(id=1, file_name='1.jpg')], annotations=[])))
    assert run(ann=empty) == 1 and 'no person is large and sure enough' in capsys.readouterr().err
    for bad in (['--count', 0], ['--seed', -1]):
        with pytest.raises(SystemExit):
            run(*bad)
    with pytest.raises(SystemExit):
        run(out='sheet.gif')
    assert not (tmp_path / 'sheet.jpg').exists()
