# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Tables 6 and 7 in our numbers: detector, root depth and pose trained and chained, no truth in the
path.

MuPoTS-3D pictures -> a detector's boxes -> root depths, by the boxes' size (k-value) or by a
network -> poses -> 3DPCK. Everything runs through the command-line tools.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from wsp_mm.apis.data import make_named_world
from wsp_mm.apis.pose3d_study import PoseStudy
from wsp_mm.apis.steps import Steps
from wsp_mm.datasets.mupots_annotations import read_mupots
from wsp_mm.engine.hooks import weights_file
from wsp_mm.evaluation.mupots import root_scores
from wsp_mm.utils.files import write_text_atomic

#: Where the root depths of a test come from: key -> what the tables call it. 'gt' is no result, but
#: the bound that boxes and roots without a fault would give.
ROOTS = {
    'k': 'detector boxes, k-value',
    'net': 'detector boxes, learned root',
    'gt': 'true boxes and roots',
}
#: Pose networks: key -> (config below configs/quickstart, what the tables call it).
POSES = {
    'scratch': ('posenet_muco_r18.py', 'from scratch (PoseNet)'),
    'wsp': ('wsp_muco_r18.py', 'WSP pre-training'),
}
ANN = 'mupots/MuPoTS-3D.json'
PICTURES = 'mupots/MultiPersonTestSet'

FORMAT = 1  # of results.json


@dataclass
class MuPoTSResults:
    """What the chain gave; :meth:`save` and :meth:`load` keep it beside the report.

    Attributes:
        start: the checkpoint that the WSP network began from, see :func:`identity`.
        scores: (pose, roots) as ``'wsp/net'`` -> flat metrics of the test.
        detector: flat metrics of the detector on its held-out pictures.
        roots: 'k' and 'net' -> MRPE and AP_root with the detector's boxes; 'gt' -> the network's
            with true ones, and ``prior_z``, the k-value's error in depth there.
        seconds: step -> seconds.
        viewer: page with the poses of one sequence, relative to the report, or None.
    """

    start: str
    scores: dict[str, dict[str, float]] = field(default_factory=dict)
    detector: dict[str, float] = field(default_factory=dict)
    roots: dict[str, dict[str, float]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    viewer: str | None = None

    def save(self, path: Path) -> None:
        write_text_atomic(path, json.dumps(dict(format=FORMAT, **self.__dict__), indent=2))

    @classmethod
    def load(cls, path: Path) -> MuPoTSResults | None:
        """What :meth:`save` wrote; None where there is nothing, or an earlier version wrote it."""
        content = json.loads(path.read_text()) if path.is_file() else {}
        return cls(**content) if content.pop('format', None) == FORMAT else None


def identity(checkpoint: Path) -> str:
    """A checkpoint as of now: its name, size and time."""
    stat = checkpoint.stat()
    return f'{checkpoint.name}:{stat.st_size}:{stat.st_mtime_ns}'


def run_mupots(
    steps: Steps,
    checkpoint: Path,
    preset: str,
    data_root: str,
    work_dir: Path,
    seed: int,
    workers: int,
    options: Mapping[str, Sequence[str]] | None = None,
) -> MuPoTSResults:
    """Make the worlds, train all networks, and test; a repeated call does only what has changed.

    Args:
        steps: the chain that runs and remembers commands.
        checkpoint: the pair pre-training, relative to the chain's root.
        data_root: with the wild world and ``mcpc/`` in it; MuCo and MuPoTS are made there.
        work_dir: everything is written below ``work_dir/mupots``.
        options: further ``--cfg-options`` of the trainings: 'detector', 'root' and 'pose' ->
            options; and 'detect' -> arguments of tools/detect_persons.py.

    Raises:
        StepFailed: a command failed; what is done stays done.
    """
    options = options or {}
    out = work_dir / 'mupots'
    for world in ('muco', 'mupots'):
        make_named_world(steps, world, preset, data_root, seed, workers, [world], world)
    common = [f'randomness.seed={seed}']
    detector = PoseStudy(
        steps, 'detector', 'configs/quickstart/rtmdet_tiny_person.py', data_root, out / 'detector',
        options=[*common, *options.get('detector', ())],
    )  # fmt: skip
    root = PoseStudy(
        steps, 'root', 'configs/quickstart/root_muco_r18.py', data_root, out / 'root',
        options=[*common, *options.get('root', ())],
    )  # fmt: skip
    poses = {
        name: PoseStudy(
            steps, f'muco-{name}', f'configs/quickstart/{config}', data_root, out / f'pose-{name}',
            options=[*common, *options.get('pose', ())],
            pretrained=checkpoint if name == 'wsp' else None,
        )
        for name, (config, _) in POSES.items()
    }  # fmt: skip
    results = MuPoTSResults(start=identity(steps.root / checkpoint))
    steps.together([study.train for study in (detector, *poses.values(), root)])

    boxes = out / 'boxes.json'
    weights = detector.last_checkpoint()
    ann, pictures = Path(data_root) / ANN, Path(data_root) / PICTURES
    more = ['--img-root', pictures, '--out', boxes, *options.get('detect', ())]
    steps.run(
        'detect',
        ['tools/detect_persons.py', detector.config, weights, '--ann', ann, *more],
        reads=[weights, ann],
        writes=[boxes],
    )
    files = {key: out / f'bbox_root_{key}.json' for key in ('k', 'net')}
    network = [root.config, root.last_checkpoint()]
    for key, which in (('k', ['--k-value']), ('net', network)):
        more = ['--images', pictures] if key == 'net' else []
        steps.run(
            f'roots-{key}',
            [
                'tools/predict_roots.py',
                *which,
                '--boxes',
                boxes,
                '--ann',
                ann,
                *more,
                '--out',
                files[key],
            ],
            reads=[boxes, ann, *which[1:]],
            writes=[files[key]],
        )
        results.roots[key] = root_scores(
            *(steps.root / path for path in (files[key], ann, pictures))
        )

    lock = threading.Lock()

    def test(name: str, roots: str) -> None:
        study, folder = poses[name], out / 'tests' / f'{name}-{roots}'
        weights, target = study.last_checkpoint(), folder / 'metrics.json'
        used = [files[roots]] if roots in files else []
        command = ['tools/test.py', study.config, weights, '--work-dir', folder, '--out', target]
        if used:
            option = f'test_dataloader.dataset.bbox_root_file={used[0]}'
            command += ['--cfg-options', option]
        steps.run(
            f'mupots-{name}-{roots}',
            command,
            reads=[weights, ann, *used],
            writes=[target],
            env=study.env,
        )
        with lock:
            results.scores[f'{name}/{roots}'] = json.loads((steps.root / target).read_text())

    def test_detector() -> None:
        results.detector = detector.test()

    def test_root() -> None:
        found = root.test()
        results.roots['gt'] = {key.removeprefix('root/'): value for key, value in found.items()}

    steps.together(
        [partial(test, name, roots) for name in poses for roots in ROOTS]
        + [test_detector, test_root]
    )
    results.viewer = make_viewer(steps, poses['wsp'], root, detector, data_root, out)
    results.seconds = dict(steps.seconds)
    results.save(steps.root / out / 'results.json')
    return results


def make_viewer(
    steps: Steps, pose: PoseStudy, root: PoseStudy, detector: PoseStudy, data_root: str, out: Path
) -> str:
    """Poses of one sequence in one 3D scene, by demo/infer.py; returns the page's path below
    ``out``'s parent.

    The camera is the sequence's own.
    """
    first = read_mupots(steps.root / data_root / ANN, steps.root / data_root / PICTURES).frames[0]
    camera = out / 'camera.json'
    f, c = first.intrinsic[:2].tolist(), first.intrinsic[2:].tolist()
    text = json.dumps({'f': f, 'c': c})
    # Written once: the step below is done again when the file is a new one.
    if not (steps.root / camera).is_file() or (steps.root / camera).read_text() != text:
        write_text_atomic(steps.root / camera, text)
    folder, page = out / 'inference', out / 'inference' / 'viewer.html'
    weights = [study.last_checkpoint() for study in (pose, root, detector)]
    command = ['demo/infer.py', Path(data_root) / PICTURES / f'TS{first.sequence}']
    command += ['--out', folder, '--overwrite']
    for name, study, file in zip(
        ('pose', 'root', 'det'), (pose, root, detector), weights, strict=True
    ):
        command += [f'--{name}-config', study.config, f'--{name}-checkpoint', weights_file(file)]
    steps.run(
        'infer',
        [*command, '--camera', camera, '--no-progress'],
        reads=[*weights, camera],
        writes=[page],
    )
    return str(page.relative_to(out.parent))
