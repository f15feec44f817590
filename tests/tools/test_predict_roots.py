# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import json

import cv2
import numpy as np
import pytest
import torch


@pytest.fixture
def tool(load_tool):
    return load_tool('predict_roots')


@pytest.fixture
def world(tmp_path):
    images = []
    for i in range(2):
        cv2.imwrite(str(tmp_path / f'{i}.jpg'), np.full((90, 120, 3), 99, np.uint8))
        images.append(
            dict(id=i, file_name=f'{i}.jpg', width=120, height=90, intrinsic=[200, 200, 60, 45])
        )
    annotations = [dict(id=i, image_id=i, bbox=[20, 10, 30, 70]) for i in range(2)]
    (tmp_path / 'ann.json').write_text(json.dumps(dict(images=images, annotations=annotations)))
    return tmp_path


def test_k_value(tool, world, capsys):
    out = world / 'roots.json'
    assert (
        tool.main(['--k-value', '--gt', '--ann', str(world / 'ann.json'), '--out', str(out)]) == 0
    )
    assert 'roots of 2 persons in 2 pictures by the k-value' in capsys.readouterr().out
    first, second = json.loads(out.read_text())
    assert first['root_cam'] == second['root_cam'] and first['root_cam'][2] > 0


def test_a_given_camera_and_a_list_of_results(tool, world):
    (world / 'coco.json').write_text(
        json.dumps([dict(image_id=1, category_id=1, bbox=[20, 10, 30, 70], score=0.5)])
    )
    content = json.loads((world / 'ann.json').read_text())
    for image in content['images']:
        del image['intrinsic']
    (world / 'bare.json').write_text(json.dumps(content))
    common = ['--k-value', '--boxes', str(world / 'coco.json'), '--out', str(world / 'roots.json')]
    assert tool.main([*common, '--ann', str(world / 'ann.json')]) == 0
    own = json.loads((world / 'roots.json').read_text())
    camera = ['--focal', '200', '--principal-point', 'centre']
    assert tool.main([*common, '--ann', str(world / 'bare.json'), *camera]) == 0
    assert json.loads((world / 'roots.json').read_text()) == own and own[0]['score'] == 0.5


@pytest.mark.slow
def test_with_a_network(tool, world, repo, capsys):
    from mmpose.registry import MODELS

    import wsp_mm.register  # noqa: F401
    from wsp_mm.utils.cli import load_config

    config = repo / 'configs/quickstart/root_muco_r18.py'
    model = MODELS.build(load_config(config).model)
    torch.save(dict(state_dict=model.state_dict(), meta={}), world / 'root.pth')
    out = world / 'roots.json'
    arguments = [
        '--gt',
        '--ann',
        str(world / 'ann.json'),
        '--images',
        str(world),
        '--out',
        str(out),
    ]
    assert tool.main([str(config), str(world / 'root.pth'), *arguments]) == 0
    assert 'by the network' in capsys.readouterr().out
    assert all(record['root_cam'][2] > 0 for record in json.loads(out.read_text()))
    (world / '1.jpg').unlink()
    out.unlink()
    assert tool.main([str(config), str(world / 'root.pth'), *arguments]) == 1
    assert '1.jpg' in capsys.readouterr().err and not out.exists()


@pytest.mark.parametrize(
    ('arguments', 'said'),
    [
        (['--gt', '--ann', 'a', '--out', 'o'], 'give CONFIG and CHECKPOINT, or --k-value'),
        (['c', 'p', '--gt', '--ann', 'a', '--out', 'o'], 'give --images'),
        (['c', 'p', '--k-value', '--gt', '--ann', 'a', '--out', 'o'], 'leave out CONFIG'),
        (['--k-value', '--gt', '--out', 'o'], 'boxes of --ann'),
        (['--k-value', '--out', 'o'], 'one of the arguments --boxes --gt'),
        (['--k-value', '--gt', '--ann', 'a', '--out', 'o', '--focal', '1'], 'belong together'),
        (
            [
                '--k-value',
                '--gt',
                '--ann',
                'a',
                '--out',
                'o',
                '--focal',
                '-1',
                '--principal-point',
                '1',
                '2',
            ],
            'positive numbers',
        ),
        (
            [
                '--k-value',
                '--gt',
                '--ann',
                'a',
                '--out',
                'o',
                '--focal',
                '1',
                '--principal-point',
                'middle',
            ],
            "or 'centre'",
        ),
        (['--k-value', '--gt', '--ann', 'a', '--out', 'o', '--batch-size', '0'], '--batch-size'),
    ],
)
def test_contradictions(tool, arguments, said, capsys):
    with pytest.raises(SystemExit):
        tool.main(arguments)
    assert said in capsys.readouterr().err


def test_a_missing_file_is_named(tool, tmp_path, capsys):
    missing = tmp_path / 'nowhere.json'
    assert (
        tool.main(['--k-value', '--gt', '--ann', str(missing), '--out', str(tmp_path / 'o')]) == 1
    )
    assert f'{missing}: there is no such file' in capsys.readouterr().err
