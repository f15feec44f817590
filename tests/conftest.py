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


def pytest_addoption(parser: pytest.Parser) -> None:
    """How often the fuzz tests change the file of each format."""
    parser.addoption('--mutations', type=int, default=100, help='of each format, in tests/fuzz')


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
    """``load_tool('model_converters/publish_model')`` imports a script of ``tools/`` as a module
    that finds its neighbours, as when it is run.
    """

    def load(name: str):
        module_name = f'wsp_tool_{name.replace("/", "_")}'
        if module_name not in sys.modules:
            file = REPO / 'tools' / f'{name}.py'
            spec = importlib.util.spec_from_file_location(module_name, file)
            module = importlib.util.module_from_spec(spec)
            sys.modules[module_name] = module
            with pytest.MonkeyPatch.context() as patch:
                patch.syspath_prepend(file.parent)
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

        image = tmp_path / 'a.png'
        cv2.imwrite(str(image), np.full((60, 80, 3), 40, np.uint8))
        gt = np.zeros((1, 18, 3))
        gt[..., 2] = 4000
        samples = []
        for i in range(count):
            pred = gt.copy()
            pred[0, 3, 0] += 17 * 10 * i  # 10 * i mm over 17 joints
            pred[0, 17] += 500  # not scored
            sample = dict(
                id=count - i,
                img_path=str(image),
                action='Walking',
                subject=9,
                gt_instances=dict(bboxes=np.array([[10.0, 5, 40, 50]]), keypoints_cam=gt),
                pred_instances=dict(keypoints=np.full((1, 18, 2), 25.0), keypoints_cam=pred),
            )
            samples.append(flatten_sample({**sample, **changes}))
        save_dump(samples, tmp_path / 'dump.npz')
        return tmp_path / 'dump.npz'

    return write
