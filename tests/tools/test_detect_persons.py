# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""``tools/detect_persons.py`` as a user calls it, and a detector through the other tools."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from wsp_mm.datasets.box_files import read_boxes
from wsp_mm.utils.checkpoint import load_file

_path = Path(__file__).resolve().parents[1] / 'detector_fixture.py'
_spec = importlib.util.spec_from_file_location('detector_fixture', _path)
fixture = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(fixture)

QUICKSTART = 'configs/quickstart/rtmdet_tiny_person.py'


@pytest.fixture(scope='module')
def made(tmp_path_factory):
    """A folder with a configuration, weights, pictures and a list of them."""
    root = tmp_path_factory.mktemp('made')
    cfg = fixture.small_config()
    cfg.dump(root / 'config.py')
    meta = dict(dataset_meta=dict(classes=fixture.CLASSES))
    torch.save(dict(meta=meta, state_dict=fixture.draw_weights(cfg)), root / 'w.pth')
    (root / 'pictures').mkdir()
    images = []
    for i, (height, width) in enumerate([(60, 90), (90, 60), (60, 90), (70, 70), (60, 90)]):
        name = f'{i} ä.png'
        cv2.imwrite(str(root / 'pictures' / name), fixture.picture(height, width, seed=i))
        images.append(dict(id=100 + i, file_name=name, width=width, height=height))
    (root / 'list.json').write_text(json.dumps(dict(images=images[1:4], annotations=[])))
    return root


def command(root, *more):
    return [
        str(root / 'config.py'),
        str(root / 'w.pth'),
        '--device',
        'cpu',
        '--batch-size',
        '2',
        *map(str, more),
    ]


def test_help_answers_at_once(repo):
    command = [sys.executable, '-X', 'importtime', repo / 'tools' / 'detect_persons.py', '--help']
    done = subprocess.run(command, capture_output=True, text=True)
    loaded = {line.split('|')[-1].strip() for line in done.stderr.splitlines()}
    assert 'argparse' in loaded and not loaded & {'torch', 'numpy', 'mmengine', 'cv2'}
    for option in (
        '--images',
        '--ann',
        '--img-root',
        '--score-thr',
        '--resume',
        '--skip-bad',
        '--device',
    ):
        assert option in done.stdout


@pytest.mark.parametrize(
    ('more', 'message'),
    [
        (['--out', 'b.json'], 'one of the arguments --images --ann is required'),
        (['--images', 'x', '--ann', 'y', '--out', 'b.json'], 'not allowed with'),
        (['--ann', 'y', '--out', 'b.json'], '--ann and --img-root go together'),
        (
            ['--images', 'x', '--img-root', 'y', '--out', 'b.json'],
            '--ann and --img-root go together',
        ),
        (['--images', 'x', '--out', 'b.json', '--score-thr', '1'], '--score-thr'),
        (['--images', 'x', '--out', 'b.json', '--batch-size', '0'], '--batch-size'),
    ],
)
def test_wrong_options_are_explained(more, message, load_tool, capsys):
    with pytest.raises(SystemExit) as stop:
        load_tool('detect_persons').main(['c.py', 'w.pth', *more])
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def test_wrong_files_are_explained(made, load_tool, capsys, tmp_path):
    main = load_tool('detect_persons').main
    out = ['--out', str(tmp_path / 'b.json')]
    assert main(command(made, '--images', tmp_path / 'nowhere', *out)) == 1
    assert 'nowhere: there is no such folder' in capsys.readouterr().err
    images = ['--images', str(made / 'pictures')]
    with pytest.raises(SystemExit):
        main(['c.py', str(tmp_path / 'nowhere.pth'), *images, *out])
    assert 'nowhere.pth does not exist' in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([str(tmp_path / 'rtmdet_m_person.py'), str(made / 'w.pth'), *images, *out])
    assert 'Similar: detectors/rtmdet_m_person' in capsys.readouterr().err
    assert main(command(made, *images, *out, '--class-name', 'cat')) == 1
    assert "no class 'cat'" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_folder_and_a_list(made, load_tool, capsys, tmp_path):
    main, out = load_tool('detect_persons').main, tmp_path / 'b.json'
    assert (
        main(command(made, '--images', made / 'pictures', '--out', out, '--score-thr', '0.25')) == 0
    )
    folder = read_boxes(out)
    assert f'{len(folder)} persons in 5 pictures' in capsys.readouterr().out
    assert folder.images == {i + 1: f'{i} ä.png' for i in range(5)} and len(folder) > 5
    assert min(scores.min() for scores in folder.scores.values() if len(scores)) >= 0.25
    assert (
        folder.info['detector']['checkpoint'] == 'w.pth'
        and folder.info['detector']['score_thr'] == 0.25
    )
    listed = tmp_path / 'l.json'
    more = [
        '--ann',
        made / 'list.json',
        '--img-root',
        made / 'pictures',
        '--out',
        listed,
        '--quiet',
    ]
    assert main(command(made, *more, '--score-thr', '0.25')) == 0
    assert capsys.readouterr().out == ''
    found = read_boxes(listed)
    assert list(found.images) == [101, 102, 103]
    for i in found.images:  # the same picture in another batch
        np.testing.assert_allclose(found.boxes[i], folder.boxes[i - 99], atol=5e-3)


def test_bad_pictures(made, load_tool, capsys, tmp_path):
    main = load_tool('detect_persons').main
    for i in range(3):
        cv2.imwrite(str(tmp_path / f'{i}.jpg'), fixture.picture(60, 90, seed=i))
    (tmp_path / '1.jpg').write_bytes((tmp_path / '1.jpg').read_bytes()[:300])
    more = ['--images', tmp_path, '--out', tmp_path / 'b.json']
    assert main(command(made, *more)) == 1
    assert '1.jpg' in (text := capsys.readouterr().err) and '--skip-bad' in text
    assert main(command(made, *more, '--skip-bad')) == 0
    captured = capsys.readouterr()
    assert 'skipped' in captured.err and '1.jpg' in captured.err and 'starts anew' in captured.err
    assert '1 bad pictures skipped' in captured.out
    assert len(read_boxes(tmp_path / 'b.json').images) == 2


def test_ctrl_c_and_resume(made, load_tool, capsys, tmp_path, monkeypatch):
    from wsp_mm.apis.detection import PersonDetector

    main, detect, calls = load_tool('detect_persons').main, PersonDetector.detect, []

    def interrupted(self, pictures):
        calls.append(len(pictures))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return detect(self, pictures)

    monkeypatch.setattr(PersonDetector, 'detect', interrupted)
    more = ['--images', made / 'pictures', '--score-thr', '0.25', '--out']
    assert main(command(made, *more, tmp_path / 'b.json')) == 130
    assert '--resume goes on' in capsys.readouterr().err
    assert main(command(made, *more, tmp_path / 'b.json', '--resume')) == 0
    assert '(2 from the run before)' in capsys.readouterr().out and calls == [2, 2, 2, 1]
    assert main(command(made, *more, tmp_path / 'whole.json')) == 0
    assert (tmp_path / 'b.json').read_bytes() == (tmp_path / 'whole.json').read_bytes()


def make_world(root):
    """Dark standing bars on light ground, as a COCO tree of twelve pictures: learnt within
    seconds.
    """
    rng = np.random.default_rng(0)
    for split, count in (('train', 12), ('val', 6)):
        folder = root / 'coco' / f'{split}2017'
        folder.mkdir(parents=True)
        images, annotations = [], []
        for i in range(count):
            picture = rng.integers(170, 255, (96, 128, 3), dtype=np.uint8)
            x, y = int(rng.integers(5, 80)), int(rng.integers(5, 25))
            picture[y : y + 60, x : x + 30] = (20, 30, 40)
            cv2.imwrite(str(folder / f'{i}.png'), picture)
            images.append(dict(id=i + 1, file_name=f'{i}.png', width=128, height=96))
            annotations.append(
                dict(
                    id=i + 1, image_id=i + 1, category_id=1, iscrowd=0, area=1800, bbox=[x, y, 30, 60],
                    keypoints=[0] * 51, num_keypoints=0,
                )
            )  # fmt: skip
        file = root / 'coco' / 'annotations' / f'person_keypoints_{split}2017.json'
        file.parent.mkdir(exist_ok=True)
        categories = [dict(id=1, name='person')]
        file.write_text(
            json.dumps(dict(images=images, annotations=annotations, categories=categories))
        )


@pytest.mark.slow
def test_train_test_and_detect(repo, tmp_path, monkeypatch):
    """The whole way: our tools train and test it, and a killed detection goes on."""
    make_world(tmp_path / 'data')
    monkeypatch.setenv('WSP_DATA', str(tmp_path / 'data'))

    def start(tool, *arguments):
        return [sys.executable, str(repo / 'tools' / f'{tool}.py'), *map(str, arguments)]

    def run(*arguments):
        done = subprocess.run(start(*arguments), capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
        return done

    options = [
        '--cfg-options', 'train_dataloader.batch_size=4',
        'optim_wrapper.enabled=False', 'train_cfg.val_interval=99', 'default_hooks.checkpoint.interval=1',
        'param_scheduler.0.end=5', 'default_hooks.logger.interval=1', 'model.test_cfg.score_thr=0.0',
    ]  # fmt: skip
    run('train', repo / QUICKSTART, '--work-dir', 'w', *options, 'train_cfg.max_epochs=1')
    run(
        'train',
        repo / QUICKSTART,
        '--work-dir',
        'w',
        '--resume',
        *options,
        'train_cfg.max_epochs=3',
    )
    saved = load_file(tmp_path / 'w' / 'epoch_3.pth')['meta']
    assert saved['epoch'] == 3 and saved['wsp_mm']['seed'] == 0
    assert tuple(saved['dataset_meta']['classes']) == ('person',)
    assert (tmp_path / 'w' / 'epoch_3_weights.pth').is_file()

    run(
        'test', repo / QUICKSTART, 'w/epoch_3.pth', '--work-dir', 'w', '--out', 'm.json', '--dump', 'p.npz',
        '--show-dir', 'shown', *options,
    )  # fmt: skip
    assert 0 <= json.loads((tmp_path / 'm.json').read_text())['coco/bbox_mAP_50'] <= 1
    assert (tmp_path / 'p.npz').stat().st_size > 0
    assert list((tmp_path / 'w').rglob('shown/*.png')) + list((tmp_path / 'shown').rglob('*.png'))

    detect = [
        'detect_persons', repo / QUICKSTART, 'w/epoch_3.pth', '--images', 'data/coco/train2017', '--device',
        'cpu', '--batch-size', '1', '--score-thr', '0', '--out',
    ]  # fmt: skip
    run(*detect, 'whole.json')
    assert len(read_boxes(tmp_path / 'whole.json').images) == 12  # persons take longer to learn
    victim = subprocess.Popen(
        start(*detect, 'b.json'), cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    log = tmp_path / 'b.json.partial'
    while (not log.exists() or log.read_bytes().count(b'\n') < 3) and victim.poll() is None:
        time.sleep(0.005)
    victim.send_signal(signal.SIGKILL)
    assert victim.wait() == -signal.SIGKILL and not (tmp_path / 'b.json').exists()
    assert 'from the run before' in run(*detect, 'b.json', '--resume').stdout
    assert (tmp_path / 'b.json').read_bytes() == (tmp_path / 'whole.json').read_bytes()
    assert not [name for name in os.listdir(tmp_path) if 'partial' in name]
