# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Tiny data and configurations of one training a kind, and how a launcher runs them."""

from __future__ import annotations

import importlib.util
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np

from wsp_mm.datasets.converters.h36m import convert_h36m

ROOT = Path(__file__).resolve().parents[2]

# A network of a few thousand weights at 64 px. Plain descent: Adam turns the rounding error of a
# gradient that is zero into a whole step.
SMALL = """
visualizer = dict(name=NAME)
custom_imports = dict(imports=['wsp_mm.register', 'scale_out_hooks'], allow_failed_imports=False)
custom_hooks = [*_base_.custom_hooks, dict(type='FrozenNormHook'), dict(type='RecordHook')]
model = dict(
    backbone=dict(depth=18, stem_channels=8, base_channels=8, init_cfg=None),
    head=dict(in_channels=64, deconv_out_channels=(8, 8, 8)),
)
one = dict(num_workers=0, persistent_workers=False)
train_dataloader = dict(one, batch_size=4)
val_dataloader = dict(one, batch_size=2)
test_dataloader = val_dataloader
sgd = dict(type='SGD', lr=LR, momentum=0.9)
optim_wrapper = dict(_delete_=True, type='OptimWrapper', optimizer=sgd)
train_cfg = dict(max_epochs=2, val_interval=2)
default_hooks = dict(logger=dict(interval=1))
heatmap_size = (16,) * len(_base_.codec['heatmap_size'])
codec = dict(_base_.codec, input_size=(64, 64), heatmap_size=heatmap_size)
sizes = dict(input_size=(64, 64), encoder=codec)
train_pipeline, val_pipeline = (
    [{**step, **{key: value for key, value in sizes.items() if key in step}} for step in steps]
    for steps in (_base_.train_pipeline, _base_.val_pipeline)
)
train_dataloader['dataset'] = dict(pipeline=train_pipeline)
val_dataloader['dataset'] = dict(pipeline=val_pipeline)
model['head']['decoder'] = codec
"""
FEW = """
train_dataloader['dataset']['indices'] = 10
val_dataloader['dataset']['indices'] = 5
"""
# Counted joints and marginals: what 'all' does not need.
COUNTED = """
model['head'].update(loss=dict(average='valid'), marginal_loss=dict(type='MarginalLoss'))
"""
# Lengths that no batch divides: 10 of 4 in training, 3 and 5 in validation.
KINDS = {
    'pairs': ('wsp_pretrain_r18', 0.016, "model['head']['num_sampled_joints'] = 8\n"),
    'h36m': ('posenet_h36m_r50', 1.6, FEW),
    'muco': ('posenet_muco_r50', 1.6, COUNTED),
}


def _module(path: Path):
    spec = importlib.util.spec_from_file_location(f'scale_out_{path.stem}', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write_data(root: Path) -> Path:
    """MCPC, Human3.6M, MuCo with COCO, MuPoTS."""
    folder = ROOT / 'tests/datasets'
    pairs, h36m, mupots = (
        _module(folder / f'{name}_fixture.py') for name in ('mcpc', 'h36m', 'mupots')
    )
    pairs.build_tree(root)

    def more(content):
        """Ten images with pairs, in eight of which up to twelve joints a person have no label."""
        # the third shows a tie, which is no pair
        for name, key in (('images', 'id'), ('annotations', 'image_id')):
            content[name] = [record for record in content[name] if record[key] != 3]
        images, people = list(content['images']), list(content['annotations'])
        rng = np.random.default_rng(0)
        for number in range(4, 12):
            source = images[(number - 1) % 2]
            content['images'].append(dict(source, id=number, source_id=number))
            for person in people:
                if person['image_id'] == source['id']:
                    points = np.reshape(person['keypoints'], (16, 3)).copy()
                    hidden = rng.permutation(16)[: rng.integers(0, 13)]
                    # the ankles say which is nearer
                    points[[i for i in hidden if i not in (0, 5)]] = 0
                    content['annotations'].append(
                        dict(
                            person, image_id=number, id=100 * number + person['id'],
                            keypoints=points.ravel().tolist(),
                            num_keypoints=int((points[:, 2] > 0).sum()),
                        )
                    )  # fmt: skip

    pairs.edit_json(root, 'train', more)
    h36m.write_3dmppe(root)
    convert_h36m(root, root / 'human36m/arrays')
    places = [(100.0 * i - 200, 0.0, 3000.0 + 100 * i) for i in range(5)]
    h36m.write_muco(root, [h36m.muco_person(i, i % 2, place) for i, place in enumerate(places)])
    mupots.write(root)
    h36m.write_coco(root)
    h36m.write_mpii(root)
    return root


def write_config(folder: Path, kind: str, extra: str = '') -> Path:
    """The configuration of a kind, as a user derives one, with ``extra`` lines."""
    base, rate, own = KINDS[kind]
    text = (
        f"_base_ = '{ROOT}/configs/{base}.py'\n"
        + SMALL.replace('LR', str(rate)).replace('NAME', repr(str(folder)))
        + own
        + extra
    )
    file = folder / f'{kind}.py'
    file.write_text(text)
    return file


def free_port() -> int:
    """A port for several jobs to meet at."""
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


def environment(**changes) -> dict[str, str]:
    """Of a process that finds this checkout and the hooks."""
    folders = [str(ROOT), str(Path(__file__).parent), os.environ.get('PYTHONPATH', '')]
    path = os.pathsep.join(folders)
    own = dict(PYTHON=sys.executable, PYTHONPATH=path, OMP_NUM_THREADS='1')
    return {**os.environ, **own, **{key: str(value) for key, value in changes.items()}}


def start(processes: int, config: Path, *arguments, cwd: Path, **changes) -> subprocess.Popen:
    """``tools/dist_train.sh``, whose output is one stream, as in a terminal."""
    words = ['bash', ROOT / 'tools/dist_train.sh', config, processes, *arguments]
    return subprocess.Popen(
        [str(word) for word in words], cwd=cwd, env=environment(**changes), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def finish(job: subprocess.Popen, code: int | None = 0, timeout: float = 240) -> str:
    """The job's whole output; ``code`` None: any but 0."""
    try:
        output, _ = job.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        job.terminate()  # torchrun takes its processes along
        raise AssertionError('the job hangs: ' + job.communicate()[0][-3000:]) from None
    assert job.returncode == code if code is not None else job.returncode != 0, output[-4000:]
    return output


def options(data: Path, work_dir: Path, *more: str) -> list[str]:
    """Arguments of a run."""
    os.environ['WSP_DATA'] = str(data)
    return ['--work-dir', str(work_dir), *(['--cfg-options', *more] if more else [])]


def records(work_dir: Path, world_size: int) -> list[dict]:
    """What the ranks wrote."""
    found = [json.loads((work_dir / f'rank_{rank}.json').read_text()) for rank in range(world_size)]
    assert all(record['world_size'] == world_size for record in found)
    return [record['iterations'] for record in found]


def metrics(work_dir: Path) -> dict[str, float]:
    """The last validation's."""
    (file,) = work_dir.glob('*/vis_data/scalars.json')
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    return next(line for line in reversed(lines) if 'loss' not in line)
