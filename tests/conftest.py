# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""What all tests share. Imports nothing heavy, so that `pytest --collect-only` is quick."""

import importlib.util
import os
import sys
from pathlib import Path

import pytest

# Tests run on the CPU and in one thread a process, wherever they run: results are the same on every
# machine, and parallel workers do not fight. `CUDA_VISIBLE_DEVICES=0 pytest ...` lets them see a
# GPU.
os.environ.setdefault('CUDA_VISIBLE_DEVICES', '-1')
os.environ.setdefault('OMP_NUM_THREADS', '1')
os.environ.setdefault('MPLBACKEND', 'Agg')
# No test may depend on the network, nor on what a user allowed in the shell.
os.environ.pop('WSP_TRUST_CHECKPOINT', None)

REPO = Path(__file__).resolve().parents[1]
SAMPLES = REPO.parent / 'shared' / 'data' / 'mmpose_samples'


def pytest_configure(config: pytest.Config) -> None:
    """Hypothesis: no deadline (shared machines are slow), and the same examples in every run of the
    CI.
    """
    from hypothesis import settings

    settings.register_profile(
        'wsp', deadline=None, derandomize=bool(os.environ.get('CI')), max_examples=50
    )
    settings.load_profile('wsp')


@pytest.fixture(autouse=True)
def registry_scope() -> None:
    """MMPose's registries, whatever scope an earlier test's runner left behind."""
    if 'mmengine.registry' in sys.modules:
        sys.modules['mmengine.registry'].init_default_scope('mmpose')


@pytest.fixture(scope='session')
def repo() -> Path:
    """Root of the checkout."""
    return REPO


@pytest.fixture(scope='session')
def samples() -> Path:
    """MMPose's mini data sets, which are not part of the repository."""
    if not SAMPLES.is_dir():
        pytest.skip(f'sample data of MMPose not found at {SAMPLES}')
    return SAMPLES


@pytest.fixture(scope='session')
def load_tool():
    """``load_tool('model_converters/publish_model')`` imports a script of ``tools/`` as a module."""

    def load(name: str):
        module_name = f'wsp_tool_{name.replace("/", "_")}'
        if module_name not in sys.modules:
            spec = importlib.util.spec_from_file_location(
                module_name, REPO / 'tools' / f'{name}.py'
            )
            module = importlib.util.module_from_spec(spec)
            sys.modules[module_name] = module
            spec.loader.exec_module(module)
        return sys.modules[module_name]

    return load


@pytest.fixture
def two_ranks(tmp_path):
    """``two_ranks(script, *arguments)`` runs a script on two ranks in ``tmp_path``; it must end
    well.
    """

    def run(text: str, *arguments) -> None:
        import subprocess

        script = tmp_path / 'two_ranks.py'
        script.write_text(text)
        path = os.pathsep.join([str(REPO), os.environ.get('PYTHONPATH', '')])
        command = [
            sys.executable,
            '-m',
            'torch.distributed.run',
            '--standalone',
            '--nproc_per_node=2',
            script,
        ]
        done = subprocess.run(
            [str(part) for part in (*command, *arguments)],
            env=dict(os.environ, OMP_NUM_THREADS='1', PYTHONPATH=path),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=240,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    return run


@pytest.fixture
def pose_dump(tmp_path):
    """``pose_dump(**changes)`` writes five 3D predictions, 0 to 40 mm off, as ``tools/test.py
    --dump`` does.
    """

    def write(count: int = 5, **changes) -> Path:
        import cv2
        import numpy as np

        from wsp_mm.evaluation.predictions import flatten_sample, save_dump

        picture = tmp_path / 'a.png'
        cv2.imwrite(str(picture), np.full((60, 80, 3), 40, np.uint8))
        gt = np.zeros((1, 18, 3))
        gt[..., 2] = 4000
        samples = []
        for i in range(count):
            pred = gt.copy()
            pred[0, 3, 0] += 17 * 10 * i  # 10 * i mm over 17 joints
            pred[0, 17] += 500  # not scored
            sample = dict(
                id=count - i,
                img_path=str(picture),
                action='Walking',
                subject=9,
                gt_instances=dict(bboxes=np.array([[10.0, 5, 40, 50]]), keypoints_cam=gt),
                pred_instances=dict(keypoints=np.full((1, 18, 2), 25.0), keypoints_cam=pred),
            )
            samples.append(flatten_sample({**sample, **changes}))
        save_dump(samples, tmp_path / 'dump.npz')
        return tmp_path / 'dump.npz'

    return write


_CONFIG = """
h36m = dict(type='H36MImageDataset')
train_dataloader = dict(
    dataset=dict(type='SeededCombinedDataset', datasets=[h36m, dict(type='MCPCDataset', item='person')]))
test_dataloader = dict(dataset=h36m)
"""
# What tools/train.py and tools/test.py leave behind, so that the chain itself is run.
_TRAIN = """
import pathlib, sys
work_dir = pathlib.Path(sys.argv[sys.argv.index('--work-dir') + 1])
pathlib.Path('calls.txt').open('a').write(' '.join(sys.argv[1:]) + '\\n')
(work_dir / 'epoch_1.pth').write_text('weights')
(work_dir / 'last_checkpoint').write_text(str(work_dir / 'epoch_1.pth'))
"""
_TEST = """
import json, pathlib, sys
value = lambda name: pathlib.Path(sys.argv[sys.argv.index(name) + 1])
pathlib.Path('calls.txt').open('a').write(' '.join(sys.argv[1:]) + '\\n')
value('--dump').parent.mkdir(parents=True, exist_ok=True)
value('--dump').write_text('predictions')
errors = ('MPJPE', 'PA-MPJPE', 'PA-MPJPE-sim', 'X', 'Y', 'Z', 'AxisNorm')
names = [error + average for error in errors for average in ('', '_action_mean')]
scores = {f'h36m/{name}': 50.0 + i for i, name in enumerate(names)}
value('--out').write_text(json.dumps(scores | {'h36m/MPJPE_action_Posing': float('nan')}))
"""
_MEAN_POSE = """
import json, pathlib, sys
out = pathlib.Path(sys.argv[sys.argv.index('--out') + 1])
out.write_text(json.dumps({f'h36m/{k}': 100.0 for k in (
    'MPJPE', 'MPJPE_action_mean', 'X', 'Y', 'Z', 'AxisNorm', 'PA-MPJPE_action_mean')}))
"""


@pytest.fixture
def pose_steps(tmp_path):
    """A chain whose tools are stand-ins: they note their arguments and leave the files of the real
    ones.
    """
    from wsp_mm.apis.steps import Steps

    for name, text in (
        ('train', _TRAIN),
        ('test', _TEST),
        ('analysis_tools/mean_pose', _MEAN_POSE),
    ):
        file = tmp_path / 'tools' / f'{name}.py'
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    (tmp_path / 'config.py').write_text(_CONFIG)
    for name in ('human36m/arrays/header.json', 'mcpc/mcpc_train.json'):
        file = tmp_path / 'data' / name
        file.parent.mkdir(parents=True)
        file.write_text('{}')
    return Steps(tmp_path / 'steps', tmp_path, echo=lambda line: None)


@pytest.fixture
def calls(pose_steps):
    """``calls()``: the command lines of trainings and tests so far."""

    def read():
        file = pose_steps.root / 'calls.txt'
        return file.read_text().splitlines() if file.exists() else []

    return read
