# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""``tools/detect_persons.py`` as a user calls it, and a detector through the other tools."""

import json
from functools import partial

import cv2
import numpy as np
import pytest
import torch
from inference_fixture import CLASSES, detector_config, detector_weights, make_image

from wsp_mm.datasets.detections import read_boxes


@pytest.fixture(scope='module')
def made(tmp_path_factory):
    """A folder with a configuration, weights, images and a list of them."""
    root = tmp_path_factory.mktemp('made')
    cfg = detector_config()
    cfg.dump(root / 'config.py')
    meta = dict(dataset_meta=dict(classes=CLASSES))
    torch.save(dict(meta=meta, state_dict=detector_weights(cfg)), root / 'w.pth')
    (root / 'images').mkdir()
    images = []
    for i, (width, height) in enumerate([(90, 60), (60, 90), (90, 60), (70, 70), (90, 60)]):
        name = f'{i} ä.png'
        cv2.imwrite(str(root / 'images' / name), make_image(i, (width, height)))
        images.append(dict(id=100 + i, file_name=name, width=width, height=height))
    (root / 'list.json').write_text(json.dumps(dict(images=images[1:4], annotations=[])))
    return root


@pytest.fixture
def run(made, call_tool):
    """``run(*arguments)`` -> (status, stdout, stderr)."""
    model = [made / 'config.py', made / 'w.pth', '--device', 'cpu', '--batch-size', 2]
    return partial(call_tool, 'detect_persons', *model, '--score-thr', 0.25)


def test_wrong_files_are_explained(made, run, tmp_path):
    out, images = ['--out', tmp_path / 'b.json'], ['--images', made / 'images']
    for more, named in (
        (['--images', tmp_path / 'nowhere'], 'nowhere'),
        ([*images, '--class-name', 'cat'], 'cat'),
        ([*images, '--score-thr', 1], 'score_thr'),
        ([*images, '--score-thr', 30], 'score_thr'),
        ([*images, '--batch-size', 0], 'batch_size'),
    ):
        status, _, text = run(*more, *out)
        assert status == 1 and named in text
    assert not list(tmp_path.iterdir())


def test_a_folder_and_a_list(made, run, tmp_path):
    out, listed = tmp_path / 'b.json', tmp_path / 'l.json'
    status, text, _ = run('--images', made / 'images', '--out', out)
    folder = read_boxes(out)
    assert status == 0 and f'{len(folder)} persons in 5 images' in text
    assert folder.images == {i + 1: f'{i} ä.png' for i in range(5)} and len(folder) > 5
    assert min(scores.min() for scores in folder.scores.values() if len(scores)) >= 0.25
    assert folder.info['detector']['checkpoint'] == 'w.pth'
    more = ['--ann', made / 'list.json', '--img-root', made / 'images']
    assert run(*more, '--out', listed, '--quiet')[:2] == (0, '')
    found = read_boxes(listed)
    assert list(found.images) == [101, 102, 103]
    for i in found.images:  # the same image in another batch
        np.testing.assert_allclose(found.boxes[i], folder.boxes[i - 99], atol=5e-3)


def test_images_that_cannot_be_read(run, tmp_path):
    cv2.imwrite(str(tmp_path / '0.jpg'), make_image(0, (90, 60)))
    (tmp_path / '1\x1b[31m1.jpg').write_bytes((tmp_path / '0.jpg').read_bytes()[:300])
    more = ['--images', tmp_path, '--out', tmp_path / 'b.json']
    status, _, text = run(*more)
    assert status == 1 and r'1\x1b[31m1.jpg' in text and '--skip-bad' in text
    status, out, text = run(*more, '--skip-bad')
    assert status == 0 and r'1\x1b[31m1.jpg' in text and 'in 1 images' in out


def test_what_was_scaled_is_said(run, tmp_path):
    for i in range(3):
        cv2.imwrite(str(tmp_path / f'{i}.png'), np.full((60, 90), 3000, np.uint16))
    status, _, text = run('--images', tmp_path, '--out', tmp_path / 'b.json')
    assert status == 0 and '0.png (and 2 more): ' in text and '12 bits' in text


def test_ctrl_c_and_resume(made, run, tmp_path, monkeypatch):
    from wsp_mm.apis.detector import PersonDetector

    detect, calls = PersonDetector.detect, []

    def interrupted(self, images):
        calls.append(len(images))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return detect(self, images)

    monkeypatch.setattr(PersonDetector, 'detect', interrupted)
    more = ['--images', made / 'images', '--out']
    status, _, text = run(*more, tmp_path / 'b.json')
    assert status == 130 and '--resume' in text
    status, text, _ = run(*more, tmp_path / 'b.json', '--resume')
    assert status == 0 and 'in 5 images' in text and calls == [2, 2, 2, 1]
    assert run(*more, tmp_path / 'whole.json')[0] == 0
    assert (tmp_path / 'b.json').read_bytes() == (tmp_path / 'whole.json').read_bytes()
