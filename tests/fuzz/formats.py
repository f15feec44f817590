# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Every format that the package reads: a small valid file, and how it is read.

A format is a function of a folder. It writes the files there and returns those that are mutated,
``read(skip_bad)``, and the errors that reading may end in beside ``AnnotationError``.
"""

import importlib.util
import json
from pathlib import Path

import numpy as np
import relative_human_fixture as rh

import wsp_mm.register  # noqa: F401
from wsp_mm.apis.boxes import GivenBoxes, read_annotations
from wsp_mm.apis.cameras import Cameras
from wsp_mm.apis.images import InputError
from wsp_mm.datasets.annotations import Findings
from wsp_mm.datasets.converters.h36m import convert_h36m
from wsp_mm.datasets.converters.mcpc.mpii import MAT_NAME, read_mpii
from wsp_mm.datasets.converters.mcpc.sources import read_coco_source
from wsp_mm.datasets.detections import read_bbox_root, read_bbox_roots, write_boxes
from wsp_mm.datasets.h36m import H36MImageDataset
from wsp_mm.datasets.mcpc import MCPCDataset
from wsp_mm.datasets.muco import MuCoDataset
from wsp_mm.datasets.mupots import MuPoTSDataset
from wsp_mm.datasets.mupots_annotations import read_mupots
from wsp_mm.datasets.relative_human_annotations import read_relative_human
from wsp_mm.evaluation import predictions
from wsp_mm.evaluation.controls import load_pairs, load_probs
from wsp_mm.utils.checkpoint import BrokenCheckpointError, UntrustedCheckpointError, load_file


def _module(name: str):
    path = Path(__file__).parents[1] / f'{name}.py'
    spec = importlib.util.spec_from_file_location(f'fuzz_{path.stem}', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


h36m, mcpc, mupots = (_module(f'datasets/{name}_fixture') for name in ('h36m', 'mcpc', 'mupots'))
sources, mpii, controls = map(
    _module, ('datasets/converters/mcpc/conftest', 'datasets/converters/mcpc/test_mpii',
              'evaluation/test_controls'),
)  # fmt: skip


def _write(path: Path, content) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def _dump(root: Path, samples: list[dict]) -> Path:
    flat = [predictions.flatten_sample(dict(sample, id=n)) for n, sample in enumerate(samples)]
    predictions.save_dump(flat, root / 'dump.npz')
    return root / 'dump.npz'


def _items(dataset) -> list:
    return [dataset.get_data_info(i) for i in range(len(dataset))]


def _coco_style(source: str, joint_set: str, name: str):
    def write(root: Path):
        places = [(n, 1 + n // 2, 100 + 90 * (n % 2)) for n in range(4)]
        people = [sources.person(*place, joint_set=joint_set) for place in places]
        content = sources.coco_file([sources.image(1), sources.image(2)], people, joint_set)
        file = _write(root / 'annotations' / name, content)

        def read(skip: bool):
            read_coco_source(root, source, 'train', Findings(skip_bad=skip))

        return [file], read, ()

    return write


def mpii_json(root: Path):
    rows = [sources.mpii_row(name) for name in ('a.jpg', 'a.jpg', 'b.jpg')]
    files = [_write(root / f'annotations/mpii_{s}.json', rows) for s in ('train', 'val')]
    return files, lambda skip: read_mpii(root, ('train', 'test'), Findings(skip_bad=skip)), ()


def mpii_mat(root: Path):
    entries = [mpii.entry(f'{k}.jpg', [mpii.rect(mpii.FULL)] * 2) for k in range(3)]
    file, names = mpii.write_mat(root / MAT_NAME, entries, [1, 1, 0]), root / 'val.txt'
    names.write_text('1.jpg\n')

    def read(skip: bool):
        read_mpii(root, ('train', 'test'), Findings(skip_bad=skip), names)

    return [file] * 9 + [names], read, ()


def mcpc_json(root: Path):
    mcpc.build_tree(root)
    kinds = (('train', 'pair'), ('test', 'pair'), ('train', 'person'))

    def read(skip: bool):
        for split, item in kinds:
            options = dict(data_root=str(root), item=item, test_mode=split == 'test')
            _items(MCPCDataset(f'mcpc/mcpc_{split}.json', **options))

    return [root / f'mcpc/mcpc_{split}.json' for split in ('train', 'test')], read, ()


def h36m_json(root: Path):
    h36m.write_3dmppe(root, (1,), images_too=False)

    def read(skip: bool):
        convert_h36m(root, root / 'out', subjects=(1,), steps=(1,), skip_bad=skip)

    return sorted(root.glob('human36m/annotations/*.json')), read, ()


def h36m_npz(root: Path):
    h36m.write_mmpose(root)
    folder = root / 'h36m/annotation_body3d'

    def read(skip: bool):
        convert_h36m(root, root / 'out', 'mmpose', subjects=(1,), steps=(1,), skip_bad=skip)

    return [folder / 'fps50/h36m_train.npz', folder / 'cameras.pkl'], read, ()


def h36m_arrays(root: Path):
    h36m.write_3dmppe(root, (1,), images_too=False)
    convert_h36m(root, root / 'arrays', subjects=(1,), steps=(1,))
    options = dict(data_root=str(root), subjects=(1,), frame_step=1, check_images=False)
    files = sorted((root / 'arrays').iterdir())
    files += [root / 'arrays/header.json'] * 5
    return files, lambda skip: _items(H36MImageDataset('arrays', **options)), ()


def muco_json(root: Path):
    places = [(-600.0 + 400 * n, 0.0, 3000.0 + 100 * n) for n in range(4)]
    people = [h36m.muco_person(n, n % 2, place) for n, place in enumerate(places)]
    file = h36m.write_muco(root, people)
    return [file], lambda skip: _items(MuCoDataset(data_root=str(root), skip_bad=skip)), ()


def mupots_all(root: Path):
    path, folder = mupots.write(root), root / 'mupots/MultiPersonTestSet'

    def read(skip: bool):
        read_mupots(path, folder)
        _items(MuPoTSDataset(data_root=str(root)))

    return [path, path, *folder.glob('TS*/*.mat')], read, ()


def relative_human(root: Path):
    file = rh.save(root / 'test_annots.npz', rh.annots())
    return [file], lambda skip: read_relative_human(file), ()


def boxes_json(root: Path):
    ours, theirs, coco = (root / f'{name}.json' for name in ('ours', 'theirs', 'coco'))
    write_boxes(ours, [(1, 'a.jpg'), (2, 'b/c.jpg')], {1: [[1, 2, 3, 4]]}, {1: [0.5]})
    _write(theirs, [dict(image_id=k, bbox=[1, 2, 3, 4], score=0.5, category_id=1) for k in (1, 2)])
    images = [sources.image(1), sources.image(2, f=[9.0, 9.0], c=[5.0, 5.0])]
    _write(coco, sources.coco_file(images, [sources.person(n, 1) for n in range(2)]))

    def read(skip: bool):
        return GivenBoxes(ours), GivenBoxes(theirs), read_annotations(coco)

    return [ours, theirs, coco], read, ()


def bbox_root_json(root: Path):
    record = dict(bbox=[1, 2, 3, 4], root_cam=[0, 0, 4000.0], score=0.5)
    file = _write(root / 'roots.json', [dict(record, image_id=k) for k in (1, 2)])
    return [file], lambda skip: (read_bbox_roots(file), read_bbox_root(file, [1, 2])), ()


def camera_json(root: Path):
    one = _write(root / 'one.json', dict(K=[[900, 0, 320], [0, 900, 240], [0, 0, 1]], dist=[0.0]))
    camera = dict(f=[900.0, 910.0], c=[320, 240], width=640, height=480)
    many = _write(root / 'many.json', dict(images={'a.jpg': camera, 'b.jpg': camera}))
    return [one, many], lambda skip: (Cameras.read(one), Cameras.read(many)), (InputError,)


def score_files(root: Path):
    rng = np.random.default_rng(0)
    gt = rng.normal(0, 300, (5, 18, 3))
    poses = [dict(keypoints_cam=gt[n : n + 1]) for n in range(5)]
    dump = _dump(
        root, [dict(action='Walking', pred_instances=pose, gt_instances=pose) for pose in poses]
    )
    plain = dict(ids=list(range(5)), pred=gt.tolist(), gt=gt.tolist(), joint_set='h36m18')
    records = [dict(image_id=n, joint_cam=gt[n, :17].tolist()) for n in range(5)]
    files = [dump, _write(root / 'plain.json', plain), _write(root / 'posenet.json', records)]
    return files, lambda skip: [predictions.load_poses(file) for file in files], (ValueError,)


def mupots_predictions(root: Path):
    found = {'TS1_img_000000': (np.ones((2, 17, 2)), np.ones((2, 17, 3)))}
    files = predictions.save_mupots(root, [*found, 'TS1_img_000001'], found)
    return list(files), lambda skip: predictions.load_mupots(*files), (ValueError,)


def control_files(root: Path):
    controls.world.__wrapped__(root)
    pairs, truth = root / 'mcpc_test.json', root / 'ground_truth'
    probs = dict(depth_probs=np.ones((1, 16)), pair_probs=np.ones(1))
    dump = _dump(root, [dict(pred_instances=probs)] * 3)
    files = [pairs, truth / 'coco_val.npz', dump]
    return files, lambda skip: load_probs(dump, load_pairs(pairs, truth)), (ValueError,)


def checkpoint(root: Path):
    import torch

    file = root / 'epoch_1.pth'
    torch.save(dict(state_dict=dict(w=torch.ones(3, 4)), meta=dict(epoch=1, lr=[0.1])), file)
    return [file], lambda skip: load_file(file), (UntrustedCheckpointError, BrokenCheckpointError)


FORMATS = dict(
    coco=_coco_style('coco', 'coco17', 'person_keypoints_train2017.json'),
    posetrack18=_coco_style('posetrack18', 'posetrack18', 'posetrack18_train.json'),
    crowdpose=_coco_style('crowdpose', 'crowdpose14', 'mmpose_crowdpose_trainval.json'),
) | {
    function.__name__: function
    for function in (
        mpii_json, mpii_mat, mcpc_json, h36m_json, h36m_npz, h36m_arrays, muco_json, mupots_all,
        relative_human, boxes_json, bbox_root_json, camera_json, score_files, mupots_predictions,
        control_files, checkpoint,
    )
}  # fmt: skip
