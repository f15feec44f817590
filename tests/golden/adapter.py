# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""The only module of the golden record that knows the modules, options and field names of wsp_mm.

The record uses names of its own: whoever renames or moves something edits this module alone.
Imports are inside the functions, so that tests can be collected without torch.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

REPO = Path(__file__).resolve().parents[2]

#: Field, meta key, json key or loss of wsp_mm -> its name in the record.
FIELDS: dict[str, str] = {}
#: Fields of which the record knows nothing.
UNRECORDED = {'pair_stand_in'}
#: Label of a codec, told by a key that no other has -> its name in the record.
LABELS = dict(
    joint_order=dict(keypoint_labels='heatmap_keypoints', keypoint_weights='heatmap_labelled'),
    root_priors=dict(keypoint_labels='root_heatmap', keypoint_weights='root_weights'),
)
#: Transform in the record -> in wsp_mm.
TRANSFORMS: dict[str, str] = {}
#: Config in the record -> below ``configs/``.
CONFIGS = dict(pretrain_gray='wsp_pretrain_r50_gray')


def setup() -> None:
    """Register everything, whatever scope an earlier test left behind."""
    from mmengine.registry import init_default_scope

    import wsp_mm.register  # noqa: F401

    init_default_scope('mmpose')


def fields(values: Any) -> dict[str, Any]:
    """A mapping, ``InstanceData`` or ``PixelData`` under the record's names.

    Where probabilities are averaged, the record holds those alone.
    """
    found = {name: value for name, value in values.items() if name not in UNRECORDED}
    return {
        FIELDS.get(name, name): found.get(f'{name}_averaged', value)
        for name, value in found.items()
        if not name.endswith('_averaged')
    }


def label_fields(values: Any) -> dict[str, Any]:
    """A codec's labels under the record's names; those of a root there have no axis of joints."""
    found = fields(values)
    names = next((LABELS[key] for key in LABELS if key in found), {})
    if 'root_priors' in found:
        found = {name: value[:, 0] for name, value in found.items()}
    return {names.get(name, name): value for name, value in found.items()}


# ---------------------------------------------------------------------- structures


def joint_names(joint_set: str) -> tuple[str, ...]:
    from wsp_mm.structures.keypoints import get_joint_set

    return get_joint_set(joint_set).joints


def structures() -> dict[str, Any]:
    """Functions and tables of ``wsp_mm.structures``."""
    from wsp_mm.structures import bbox, camera, keypoints

    return dict(
        joint_sets=keypoints.JOINT_SETS,
        convert_joints=keypoints.convert_joints,
        metainfo=keypoints.pose_metainfo,
        camera=camera.PinholeCamera,
        crop_boxes=bbox.crop_boxes,
        joints_boxes=bbox.joints_boxes,
        k_value=bbox.k_value,
    )


# ---------------------------------------------------------------------- data


def build_mcpc(roots: Mapping[str, Path], out: Path, **options: Any) -> dict[str, Any]:
    """Build MCPC and return the contents of its files: train, test, table, dedup."""
    from wsp_mm.datasets.converters.mcpc.build import build_mcpc as build
    from wsp_mm.datasets.converters.mcpc.options import BuildOptions

    build(BuildOptions(roots=dict(roots), out=out, progress=False, **options))
    files = dict(train='mcpc_train', test='mcpc_test', table='mcpc_table', dedup='dedup_report')
    found = {name: out / f'{file}.json' for name, file in files.items()}
    return {name: json.loads(path.read_text()) for name, path in found.items() if path.is_file()}


def load_config(name: str) -> Any:
    from mmengine.config import Config

    setup()
    return Config.fromfile(REPO / 'configs' / f'{CONFIGS.get(name, name)}.py')


def convert_h36m(root: Path) -> None:
    """Human3.6M's annotations to the arrays that the data set reads, every frame."""
    from wsp_mm.datasets.converters.h36m import convert_h36m as convert

    convert(root, root / 'human36m/arrays', steps=(1,))


def dataset(config: str, split: str, root: Path, part: int | None = None, **changes: Any) -> Any:
    """The data set of a config's ``train`` or ``test`` split at another data root.

    Args:
        part: number of one data set of a mixture, with the mixture's pipeline.
        changes: options of the data set.
    """
    from mmpose.registry import DATASETS

    node = load_config(config)[f'{split}_dataloader'].dataset.to_dict()
    if part is not None:
        one = node['datasets'][part]
        node = dict(one, pipeline=one.get('pipeline', []) + node['pipeline'])
    return DATASETS.build({**_at(node, root), **changes})


def _at(node: Any, root: Path) -> Any:
    """A config's node with every data root replaced."""
    if isinstance(node, Mapping):
        moved = {key: _at(value, root) for key, value in node.items()}
        return dict(moved, data_root=f'{root}/') if 'data_root' in node else moved
    return [_at(item, root) for item in node] if isinstance(node, (list, tuple)) else node


def steps(*pipeline: dict) -> list[dict]:
    """A pipeline in the record's names of transforms."""
    return [dict(step, type=TRANSFORMS.get(step['type'], step['type'])) for step in pipeline]


def sample(data: Any, index: int, seed: int | None = None, epoch: int = 0) -> dict:
    """One packed item; its randomness is a function of (seed, epoch, index)."""
    from wsp_mm.datasets.sampling import seeded_datasets

    if seed is not None:
        for one in seeded_datasets(data):
            one.set_item_seed(seed, epoch)
    return data[index]


def data_sample(packed: Any) -> dict[str, dict]:
    """Metainfo and labels of a data sample; the order of a pair's joints is metainfo there."""
    found = dict(meta=fields({key: packed.metainfo[key] for key in packed.metainfo_keys()}))
    if 'gt_instances' in packed:
        found['gt_instances'] = fields(packed.gt_instances)
    if 'gt_instance_labels' in packed:
        found['gt_instance_labels'] = labels = label_fields(packed.gt_instance_labels)
        if 'joint_order' in labels:
            found['meta']['joint_order'] = labels.pop('joint_order')[0]
    return found


def half_half(lengths: Sequence[int], num_3d: int, seed: int, epochs: int, **options: Any) -> Any:
    """Indices of some epochs of the half-half sampler over data sets of these lengths."""
    from wsp_mm.datasets.sampling import HalfHalfSampler, SeededCombinedDataset

    data = SeededCombinedDataset.__new__(SeededCombinedDataset)  # only its lengths are read
    data._lens, data._len = list(lengths), sum(lengths)
    sampler = HalfHalfSampler(data, num_3d, seed=seed, **options)
    found = []
    for epoch in range(epochs):
        sampler.set_epoch(epoch)
        found.append(list(sampler))
    return found


# ---------------------------------------------------------------------- networks


def codec(name: str, **options: Any) -> Any:
    from mmpose.registry import KEYPOINT_CODECS

    setup()
    return KEYPOINT_CODECS.build(dict(type=name, **options))


def encode(coder: Any, person_channels: bool = False, **arrays: Any) -> dict[str, np.ndarray]:
    """Targets under the record's names: of a pair with its heatmaps, (C, h, w) and (1, C)."""
    import torch

    found = label_fields(coder.encode(**arrays))
    if found.pop('joint_order', None) is not None:
        keys = LABELS['joint_order'].values()
        made = coder.heatmaps(*(torch.from_numpy(found.pop(key)) for key in keys))
        maps, weights = (v.flatten(1, 2) if person_channels else v.amax(1) for v in made)
        found.update(heatmaps=maps[0].numpy(), heatmap_weights=weights.numpy())
    return found


def decode_pair(coder: Any, heatmaps: np.ndarray, boxes: np.ndarray) -> tuple:
    """Keypoints (1, 2, K, 2) px and scores (1, 2, K) of heatmaps (C, h, w) and boxes (2, 4) px."""
    return coder.decode(heatmaps.reshape(-1, 16, *heatmaps.shape[1:]), boxes)


def decode(coder: Any, coordinates: np.ndarray) -> np.ndarray:
    """Keypoints of heatmap coordinates, (N, K, 3) or of roots (N, 2)."""
    if coordinates.ndim == 2:
        return coder.decode(coordinates[:, None])[0][:, 0]
    return coder.decode(coordinates)[0]


def labels(coder: Any, joint_order: np.ndarray, **arrays: Any) -> dict[str, np.ndarray]:
    """Labels as a head reads them, with the order in which it draws a pair's joints."""
    found = coder.encode(**arrays)
    if 'joint_order' in found:
        found['joint_order'] = np.float32(joint_order)[None]
    return found


def forward(network: Any, feats: tuple) -> tuple:
    """Of a head: heatmaps and features, or positions (B, K, 3), or roots (B, 2) and gammas (B,)."""
    out = network(feats)
    if not isinstance(out, tuple):
        return (out,)
    if out[0].ndim == 4:
        return out[0], network.features(feats)
    return out[0][:, 0], out[1][:, 0]


def head(name: str, **options: Any) -> Any:
    from mmpose.registry import MODELS

    setup()
    return MODELS.build(dict(type=name, **options))


def network(config: str) -> tuple[Any, Any]:
    """(config, model) of a quickstart config with few channels; its weights are to be filled."""
    from mmpose.registry import MODELS

    cfg = load_config(f'quickstart/{config}')
    cfg.model.init_cfg = cfg.model.backbone.init_cfg = None
    cfg.model.backbone.update(base_channels=8, stem_channels=8)
    cfg.model.head.update(in_channels=64, deconv_out_channels=(16, 16, 16))
    return cfg, MODELS.build(cfg.model.to_dict())


def infer(networks: Mapping, source: Path, boxes: Path, camera: Any, out: Path) -> dict:
    """The inference json, parsed: {info, frames}.

    Args:
        networks: ``pose`` and, optionally, ``root``: (config, checkpoint).
        source: image or folder. boxes: file of boxes. camera: None or a dict.
    """
    from wsp_mm.apis import WSPInferencer
    from wsp_mm.apis.run import infer as run
    from wsp_mm.apis.sources import open_source

    inferencer = WSPInferencer(**networks, boxes=boxes, camera=camera, device='cpu')
    off = dict.fromkeys(('images', 'scene', 'viewer', 'progress'), False)
    document = json.loads(run(inferencer, open_source(source), out, **off).path.read_text())
    for frame in document['frames']:
        frame['persons'] = [fields(one) for one in frame['persons']]
        if frame['camera'] and frame['camera']['principal_point'] == 'image-center':
            frame['camera']['principal_point'] = 'picture-centre'
    return document


# ---------------------------------------------------------------------- evaluation


def functional() -> dict[str, Any]:
    """All functions of ``wsp_mm.evaluation.functional`` by name."""
    from wsp_mm.evaluation import functional as f
    from wsp_mm.evaluation.functional import root_depth
    from wsp_mm.evaluation.functional.mupots import with_bone_lengths

    names = {name: getattr(f, name) for name in f.__all__}
    return names | dict(
        mean_pose_predictions=lambda train, gt: f.mean_pose(train) + gt[:, :1],
        with_bone_lengths=with_bone_lengths,
        mrpe=root_depth.mrpe,
        ap_root=root_depth.ap_root,
        match_boxes=root_depth.match_boxes,
    )


def metric(name: str, samples: Iterable[dict], **options: Any) -> dict[str, float]:
    """A registered metric over data samples as dicts, in two batches."""
    from mmpose.registry import METRICS

    setup()
    samples, one = list(samples), METRICS.build(dict(type=name, **options))
    for part in (samples[: len(samples) // 2], samples[len(samples) // 2 :]):
        one.process({}, part)
    return one.evaluate(len(samples))


def pose_tables(scores: Mapping[str, float]) -> dict[str, tuple]:
    from wsp_mm.evaluation import tables

    made = dict(table_4=tables.table_4, table_5=tables.table_5, joints=tables.joint_table)
    return {name: make(scores) for name, make in made.items()}


def mupots_truth(ann_file: Path, sequences_dir: Path | None) -> Any:
    """Ground truth of all frames, in order: objects with the attributes that the record names."""
    from wsp_mm.datasets.mupots_annotations import read_mupots

    return read_mupots(ann_file, sequences_dir).frames


def mupots_scores(frames: Any, predictions: Mapping) -> dict[str, float]:
    from wsp_mm.evaluation.mupots import mupots_scores as scores

    return scores(frames, predictions)


def mupots_tables(scores: Mapping[str, float]) -> dict[str, tuple]:
    from wsp_mm.evaluation import tables

    return dict(
        table_6=tables.table_6(scores),
        table_7=tables.table_7(scores),
        absolute=tables.absolute_table(scores),
        sequences=tables.sequence_table(scores, 'All'),
        occlusion=tables.occlusion_table(scores),
    )


def mupots_mats(folder: Path, keys: Iterable[str], predictions: Mapping) -> dict[str, tuple]:
    """Predictions written as the two official mat files and read again."""
    from wsp_mm.evaluation.predictions import load_mupots, save_mupots

    return load_mupots(*save_mupots(folder, keys, predictions))


def pose_file(path: Path, truth: Path | None = None) -> dict[str, float]:
    """Scores of a file of 3D predictions, beside the ground truth of another file or its own."""
    from wsp_mm.evaluation.predictions import load_poses

    return load_poses(path).scores(truth and load_poses(truth))


def controls(mcpc_file: Path, truth_dir: Path | None, probs: Any) -> dict[str, Any]:
    """Control rows of a prediction; where depth is known, also its sign test against a box rule.

    Args:
        probs: a function of the number of pairs: P(A nearer) of joints (P, K) and pairs (P,).
    """
    from wsp_mm.evaluation import controls as c

    table = c.load_pairs(mcpc_file, truth_dir)
    joints, pairs = probs(len(table.ids))
    rows = c.control_table(table, {'network': (joints, pairs)})
    found: dict[str, Any] = dict(
        rows={
            name: {key.replace('gt_', 'truth_'): value for key, value in row.items()}
            for name, row in rows.items()
        }
    )
    if truth_dir is not None:
        found['sign_test'] = c.sign_test(table, pairs, table.rule('taller box'))
    return found


# ---------------------------------------------------------------------- the embedded world


def make_world(out: Path) -> None:
    """The smallest world of every layout, by the renderer: seed 0, one process."""
    from wsp_mm.synthetic import builder

    h36m = dict(side=64, actions=(9,), train_frames=1, test_frames=1, extra_frames=0)
    worlds = dict(
        wild=dict(images=20, long_side=96, video=2, test_share=0.25),
        h36m=h36m,
        muco=dict(images=8, side=64),
        mupots=dict(frames=1, side=64, interval=1.0),
    )
    for name, options in worlds.items():
        builder.make_world(out, name, options, seed=0, workers=0)


#: Annotation files of the world that are recorded: name in the record -> path.
WORLD_FILES = dict(
    coco_train='coco/annotations/person_keypoints_train2017.json',
    coco_val='coco/annotations/person_keypoints_val2017.json',
    mpii_train='mpii/annotations/mpii_train.json',
    mpii_val='mpii/annotations/mpii_val.json',
    posetrack18_train='posetrack18/annotations/posetrack18_train.json',
    posetrack18_val='posetrack18/annotations/posetrack18_val.json',
    crowdpose_train='crowdpose/annotations/mmpose_crowdpose_trainval.json',
    crowdpose_test='crowdpose/annotations/mmpose_crowdpose_test.json',
    h36m_s1='human36m/annotations/Human36M_subject1_data.json',
    h36m_s1_camera='human36m/annotations/Human36M_subject1_camera.json',
    h36m_s1_joints='human36m/annotations/Human36M_subject1_joint_3d.json',
    h36m_s11='human36m/annotations/Human36M_subject11_data.json',
    h36m_s11_joints='human36m/annotations/Human36M_subject11_joint_3d.json',
    h36m_mmpose='h36m/annotation_body3d/fps50/h36m_test.npz',
    muco='muco/MuCo-3DHP.json',
    mupots='mupots/MuPoTS-3D.json',
    gt_coco_val='ground_truth/coco_val.npz',
    gt_mpii_train='ground_truth/mpii_train.npz',
)
