# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Tables 6 and 7 in our numbers: root depth and pose trained and chained behind the shipped
detector, as steps, and their part of a report.

MuPoTS-3D images -> a detector's boxes -> root depths, by the size of the boxes (k-value) or by a
network -> poses -> 3DPCK. No ground truth is in that path.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from networks import evaluation, metrics, training
from pose3d import SCRATCH
from report import Report
from runner import Step, StepFailed
from worlds import Worlds

from wsp_mm.evaluation.mupots import root_scores
from wsp_mm.evaluation.tables import (
    TABLE_6,
    TABLE_7,
    TABLE_7_MM,
    mupots_remarks,
    threshold_row,
    without_prefix,
)
from wsp_mm.utils.checkpoint import CheckpointError

CONFIGS = 'configs/quickstart'
#: Where the root depths of a test come from: key -> name in the tables. 'gt' is no result, but the
#: bound that boxes and roots without an error would give.
ROOTS = {
    'k': 'detector boxes, k-value',
    'net': 'detector boxes, learned root',
    'gt': 'true boxes and roots',
}
#: Pose networks: key -> (config, name in the tables).
POSES = {
    'scratch': (f'{CONFIGS}/posenet_muco_lite0.py', SCRATCH),
    'wsp': (f'{CONFIGS}/wsp_muco_lite0.py', 'WSP pre-training'),
}
ROOT = f'{CONFIGS}/root_muco_lite0.py'
#: The detector: its name in model_zoo/.
DETECTOR = 'wsp-lite0-detector'
ANN, IMAGES = 'mupots/MuPoTS-3D.json', 'mupots/MultiPersonTestSet'
VIEWER = 'inference/viewer.html'
#: Writes the camera file of one sequence: demo/infer.py finds images by name in it.
CAMERAS = """
import json, sys
images = json.load(open(sys.argv[1]))['images']
shown = {image['file_name'][4:]: image for image in images if image['file_name'].startswith('TS1/')}
cameras = {name: dict(intrinsic=image['intrinsic']) for name, image in shown.items()}
json.dump(dict(images=cameras), open(sys.argv[2], 'w'))
"""
PCK = ('PCK_All', 'PCK_Matched', 'abs_PCK_All', 'abs_PCK_Matched')
NOTE = (
    'Multi-person poses in camera space on the embedded MuPoTS world, scored by the official '
    'algorithm: the shipped detector, root depths by the k-value of the box or by a network '
    'trained here, and pose networks trained here on MuCo and COCO. Networks start from ImageNet '
    'weights. No ground truth is in that path; rows with true boxes and roots show what better '
    'boxes and roots would bring. One seed: a difference of a point may be chance.'
)


def shipped_detector() -> tuple[str, Path]:
    """Configuration and weights of the detector in ``model_zoo/``.

    Raises:
        StepFailed: they are not there, or not what the metafile promises.
    """
    from wsp_mm.apis.model_zoo import find_networks

    try:
        config, weights = find_networks(DETECTOR, ['det'])['det']
    except (OSError, ValueError, CheckpointError) as error:
        raise StepFailed(f'the shipped detector cannot be used: {error}') from error
    return str(config), weights


def mupots_steps(
    worlds: Worlds, checkpoint: Path, out: Path, options: Mapping[str, Sequence[str]]
) -> list[Step]:
    """Make the worlds, train root and pose networks, and test.

    Args:
        worlds: in whose folder the wild world is.
        checkpoint: pair pre-training, from which the pose network 'wsp' starts.
        out: folder of everything that is written.
        options: further ``--cfg-options`` of the trainings 'root' and 'pose'.

    Raises:
        StepFailed: there is no shipped detector.
    """

    def train(name: str, config: str, kind: str, folder: str, start: Path | None = None) -> Path:
        """Add a training; return its checkpoint."""
        more = [f'randomness.seed={worlds.seed}', *options.get(kind, ())]
        step, checkpoint = training(name, config, out / folder, more, start)
        steps.append(step)
        return checkpoint

    ann, images, boxes = worlds.root / ANN, worlds.root / IMAGES, out / 'boxes.json'
    steps = worlds.multi_person()
    det_config, detector = shipped_detector()
    starts = {'scratch': None, 'wsp': checkpoint}
    poses = {
        key: train(f'muco-{key}', config, 'pose', f'pose-{key}', starts[key])
        for key, (config, _) in POSES.items()
    }
    root = train('root', ROOT, 'root', 'root')
    command = ['tools/detect_persons.py', det_config, detector, '--ann', ann]
    command += ['--img-root', images, '--out', boxes]
    steps.append(Step('detect', command, [detector, ann], [boxes]))
    roots = {key: out / f'bbox_root_{key}.json' for key in ('k', 'net')}
    for key, network in (('k', ['--k-value']), ('net', [ROOT, root, '--images', images])):
        command = ['tools/predict_roots.py', *network, '--boxes', boxes, '--ann', ann]
        inputs = [boxes, ann, *([root] if key == 'net' else [])]
        steps.append(Step(f'roots-{key}', [*command, '--out', roots[key]], inputs, [roots[key]]))
    for key, (config, _) in POSES.items():
        for kind in ROOTS:
            file = roots.get(kind)
            more = [f'test_dataloader.dataset.bbox_root_file={file}'] if file else []
            name, inputs = f'mupots-{key}-{kind}', [file] if file else []
            folder = out / 'tests' / f'{key}-{kind}'
            steps.append(evaluation(name, config, poses[key], folder, more, inputs))
    steps.append(evaluation('detector-test', det_config, detector, out / 'detector/test'))
    steps.append(evaluation('root-test', ROOT, root, out / 'root/test'))
    networks = {'pose': (POSES['wsp'][0], poses['wsp']), 'root': (ROOT, root)}
    return [*steps, *_viewer_steps(worlds, networks | {'det': (det_config, detector)}, out)]


def _viewer_steps(
    worlds: Worlds, networks: Mapping[str, tuple[str, Path]], out: Path
) -> list[Step]:
    """Poses of one sequence in one 3D scene, with the sequence's own camera."""
    ann, camera, viewer = worlds.root / ANN, out / 'camera.json', out / VIEWER
    command = ['demo/infer.py', worlds.root / IMAGES / 'TS1', '--out', viewer.parent, '--overwrite']
    for name, (config, file) in networks.items():
        if name != 'det':  # the one of the model zoo holds weights alone
            file = file.with_name(f'{file.stem}_weights.pth')
        command += [f'--{name}-config', config, f'--{name}-checkpoint', file]
    command += ['--camera', camera, '--no-progress']
    return [
        Step('camera', ['-c', CAMERAS, ann, camera], [ann], [camera]),
        Step('infer', command, [*(file for _, file in networks.values()), camera, ann], [viewer]),
    ]


def add_sections(
    report: Report, data_root: Path, out: Path, seconds: Mapping[str, float]
) -> dict[str, float]:
    """Add the sections of :func:`mupots_steps`, which have run, to a report.

    Args:
        out: as in :func:`mupots_steps`, a folder in that of the report. seconds: of each step.

    Returns:
        Flat figures: ``mupots/POSE/ROOTS/PCK_All`` and so on, ``roots/ROOTS/...``,
        ``detector/AP50``.
    """
    tests = {
        (pose, kind): without_prefix(metrics(out / 'tests' / f'{pose}-{kind}'), 'mupots/')
        for kind in ROOTS
        for pose in POSES
    }
    files = (data_root / ANN, data_root / IMAGES)
    roots = {key: root_scores(out / f'bbox_root_{key}.json', *files) for key in ('k', 'net')}
    roots['gt'] = without_prefix(metrics(out / 'root/test'), 'root/')
    # mmdet gives no figure where nothing was detected at all.
    ap50 = 100 * metrics(out / 'detector/test').get('coco/bbox_mAP_50', 0.0)
    report.heading('MuPoTS-3D: Table 6 in our numbers (3DPCK at 150 mm, relative to the pelvis)')
    report.text(NOTE)
    rows = [
        [POSES[pose][1], ROOTS[kind], *map(scores.get, PCK)]
        for (pose, kind), scores in tests.items()
    ]
    for method, (backbone, category, *printed) in TABLE_6.items():
        name = f'{method} ({backbone}, {category})'
        rows.append([name, 'paper, real data', *printed, None, None])
    columns = ('All', 'Matched', 'absolute, All', 'absolute, Matched')
    report.table(['3DPCK', 'boxes and roots', *columns], rows)
    report.heading('MuPoTS-3D: Table 7 in our numbers (100 to 150 mm)')
    rows = [
        [POSES[pose][1], ROOTS[kind], mode, *threshold_row(scores, mode)]
        for (pose, kind), scores in tests.items()
        for mode in ('All', 'Matched')
        if kind != 'gt'
    ]
    rows += [
        [f'{method} R18', 'paper, real data', mode, *printed, None]
        for (method, mode), printed in TABLE_7.items()
    ]
    thresholds = [f'{mm} mm' for mm in TABLE_7_MM]
    report.table(['3DPCK', 'boxes and roots', 'persons', *thresholds, 'AUC'], rows)
    for note in dict.fromkeys(note for scores in tests.values() for note in mupots_remarks(scores)):
        report.text(note)
    report.heading('Detector and root depth')
    report.text(f'Detector: AP50 {ap50:.1f} on held-out images of the wild world.')
    names = ('MRPE', 'MRPE_x', 'MRPE_y', 'MRPE_z', 'AP_root', 'recall', 'n_roots')
    labels = {**ROOTS, 'gt': 'true boxes, learned root'}
    rows = [[label, *(roots[key][name] for name in names)] for key, label in labels.items()]
    report.table(['mm; AP_root at 250 mm, %', *names], rows)
    report.text(
        f'With true boxes the k-value alone is {roots["gt"]["prior_z"]:.1f} mm off along z. MRPE '
        f'with the detector counts the {roots["k"]["n_matched"]} persons who have a box.'
    )
    link = f'{out.name}/{VIEWER}'
    report.link(link, 'One sequence in camera space, to turn around (viewer.html)')
    trained = ('root-train', *(f'muco-{pose}-train' for pose in POSES))
    times = ', '.join(f'{name} {seconds[name]:.0f}' for name in trained)
    report.text(f'Trainings, s: {times}.')
    figures = {'detector/AP50': ap50}
    for (pose, kind), scores in tests.items():
        figures |= {f'mupots/{pose}/{kind}/{key}': scores.get(key) for key in PCK}
    return figures | {f'roots/{key}/{name}': roots[key][name] for key in roots for name in names}
