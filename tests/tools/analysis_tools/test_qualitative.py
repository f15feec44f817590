# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""The tool with an untrained network: boxes, images and records find each other."""

import json

import cv2
import numpy as np
import pytest
from inference_fixture import make_image, make_network, write_results_file


@pytest.fixture(scope='module')
def network(tmp_path_factory):
    return make_network(tmp_path_factory.mktemp('network'), 'quickstart/posenet_h36m_lite0')


@pytest.fixture
def run(call_tool, network, tmp_path):
    """``run(*options)`` on three images, one of which is broken; -> status, out, err."""
    root = tmp_path / 'the images'
    (root / 'val').mkdir(parents=True)
    for i in range(2):
        cv2.imwrite(str(root / 'val' / f'{i}.jpg'), make_image(i, (300, 200)))
    (root / 'val' / '2.jpg').write_bytes(b'broken')
    images = [dict(id=i, file_name=f'val/{i}.jpg', width=300, height=200) for i in range(3)]
    boxes = [(i, [20 + 120 * k, 20, 90, 150]) for i in range(3) for k in range(2)]
    annotations = [dict(image_id=i, category_id=1, iscrowd=0, bbox=box) for i, box in boxes]
    ann = tmp_path / 'ann.json'
    ann.write_text(json.dumps(dict(images=images, annotations=annotations)))

    def call(*more, ann=ann, checkpoint=network[1], out='figure.jpg'):
        arguments = [ann, '--img-root', root, '--pose-config', network[0]]
        arguments += ['--pose-checkpoint', checkpoint, '--out', tmp_path / out, '--device', 'cpu']
        return call_tool('analysis_tools/qualitative', *arguments, *more)

    return call


def test_a_figure_of_labelled_and_of_detected_persons(run, tmp_path):
    status, out, err = run()
    assert status == 0 and '2 images in' in out and 'val/2.jpg' in err
    figure = cv2.imread(str(tmp_path / 'figure.jpg'))
    assert figure.shape[1] > 2 * figure.shape[0] * 0.6  # two rows of three panels
    assert run('--assume-fov', 60, out='space.png')[0] == 0
    assert not np.array_equal(cv2.imread(str(tmp_path / 'space.png')), figure)
    boxes = write_results_file(tmp_path / 'boxes.json', {0: [[10, 10, 90, 150]]})
    status, out, _ = run('--boxes', boxes)
    assert status == 0 and '1 images in' in out
    assert not list(tmp_path.glob('*.part'))


def test_what_it_says_when_it_cannot(run, tmp_path):
    for options, named in (
        (dict(ann=tmp_path / 'gone.json'), 'gone.json'),
        (dict(checkpoint=tmp_path / 'gone.pth'), 'gone.pth'),
    ):
        status, _, err = run(**options)
        assert status == 1 and named in err
    foreign = write_results_file(tmp_path / 'foreign.json', {77: [[10, 10, 90, 150]]})
    status, _, err = run('--boxes', foreign)
    assert status == 1 and 'foreign.json' in err
    for options, out in ((['--count', 0], 'a.jpg'), (['--seed', -1], 'a.jpg'), ([], 'figure.gif')):
        with pytest.raises(SystemExit):
            run(*options, out=out)
    assert not (tmp_path / 'figure.jpg').exists()
