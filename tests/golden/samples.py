# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Samples of every data set through the pipelines of the configs.

Their randomness is a function of (seed, epoch, index), whatever numpy's global stream has given.
"""

from pathlib import Path

import numpy as np

from tests.golden import adapter, trees
from tests.golden.record import Summary, case

_CODEC = dict(type='PairHeatmapLabel', input_size=(96, 96), heatmap_size=(24, 24), sigma=1.5)
_CROP = dict(type='PairTopdownAffine', input_size=(96, 96))
# Pipelines with options that no config sets.
_TURNED = [
    dict(type='SamplePersonPair', min_gap_px=15.0, padding=1.1),
    dict(type='PairRandomBBoxTransform', rotate_factor=180.0, shift_factor=0.1),
    dict(type='LoadCropImage'),
    dict(type='PairRandomFlip', prob=1.0),
    _CROP,
    dict(type='RemoveAnkles', share=0.8, relative_to='scale', fill='gray'),
    dict(type='GenerateTarget', encoder=_CODEC),
    dict(type='PackPairInputs'),
]
_DECODED_PAIR = [
    dict(type='LoadImage'),
    dict(type='SamplePersonPair', random_order=False),
    dict(type='PairRandomFlip'),
    _CROP,
    dict(type='GenerateTarget', encoder=_CODEC),
    dict(type='PackPairInputs'),
]
_DECODED_PERSON = [
    dict(type='LoadImage'),
    dict(type='PersonCenterScale', padding=1.1, aspect=0.75),
    dict(type='RandomOcclusion', prob=1.0),
    dict(type='RandomFlip', direction='horizontal'),
    dict(type='PersonRandomBBoxTransform', scale=0.1, rotation=60.0, rotate_prob=1.0),
    dict(type='TopdownAffine', input_size=(72, 96)),
    dict(type='ChannelGain', gain=(0.5, 1.5)),
    dict(type='PackPose3DInputs'),
]
_WALKING = dict(actions='Walking', protocol=None, subjects=[5, 7], frame_step=1)

#: Case -> config, split, items and changes of the data set's options.
CASES = dict(
    pair_train=('wsp_pretrain_r50', 'train', (0, 2, 3)),  # 3: two who tie, so another image
    pair_test=('wsp_pretrain_r50', 'test', (0, 1, 2)),
    pair_test_without_ankles=('wsp_pretrain_r50_ra', 'test', (0, -1)),
    pair_test_gray=('pretrain_gray', 'test', (0,)),
    pair_turned=('wsp_pretrain_r50', 'train', (0, 1), dict(pipeline=_TURNED)),
    pair_of_decoded_images=('wsp_pretrain_r50', 'train', (0,), dict(pipeline=_DECODED_PAIR)),
    h36m_train=('posenet_h36m_r50', 'train', (0, -1)),
    h36m_test=('posenet_h36m_r50', 'test', (0, 5, -1)),
    h36m_train_protocol_2=('posenet_h36m_r50_p2', 'train', (0, -1)),
    h36m_test_protocol_2=('posenet_h36m_r50_p2', 'test', (0, -1)),
    h36m_walking=('posenet_h36m_r50', 'train', (0,), _WALKING),
    h36m_roots=('posenet_h36m_r50', 'test', (0, -1), dict(bbox_root_file='bbox_root_h36m.json')),
    h36m_of_decoded_images=('posenet_h36m_r50', 'train', (0, 3), dict(pipeline=_DECODED_PERSON)),
    h36m_mcpc=('posenet_h36m_mcpc_r50', 'train', (0, 61, -7, -1)),
    h36m_mpii=('posenet_h36m_mpii_r50', 'train', (0, -2, -1)),
    person_train=('posenet_h36m_mcpc_r50', 'train', (0, -1), dict(part=1)),
    muco_coco=('posenet_muco_r50', 'train', (0, 1, -2, -1)),
    mupots=('posenet_muco_r50', 'test', (0, -1)),
    mupots_roots=('posenet_muco_r50', 'test', (0, 2), dict(bbox_root_file='bbox_root_mupots.json')),
    mupots_boxes=('posenet_muco_r50', 'test', (0, 2), dict(boxes_file='boxes.json')),
    mupots_coco_results=('posenet_muco_r50', 'test', (1,), dict(boxes_file='coco_results.json')),
    root_muco=('root_muco_r50', 'train', (0, 1, -1)),
    root_mupots=('root_muco_r50', 'test', (0, -1)),
    root_h36m=('root_h36m_r50', 'train', (0, -1)),
    root_h36m_test=('root_h36m_r50', 'test', (0, -1)),
    quickstart_pair=('quickstart/wsp_pretrain_r18', 'train', (1,)),
    quickstart_h36m=('quickstart/posenet_h36m_r18', 'train', (1,)),
    quickstart_muco=('quickstart/posenet_muco_r18', 'train', (1,)),
)


def _packed(item: dict, root: Path) -> dict:
    """The image in summary, labels and metainfo in full, paths relative to the data root."""
    found = dict(inputs=Summary(item['inputs'].numpy()), dtype=str(item['inputs'].dtype))
    found |= adapter.data_sample(item['data_samples'])
    found['meta']['img_path'] = str(Path(found['meta']['img_path']).relative_to(root))
    return found


def _run(scratch: Path, config: str, split: str, items: tuple, changes: dict | None = None) -> dict:
    """Some items of a config's data set; training ones in two epochs of seed 1."""
    root, changes = trees.data_root(scratch), dict(changes or {})
    for key in ('bbox_root_file', 'boxes_file'):
        if key in changes:
            changes[key] = str(root / changes[key])
    if 'pipeline' in changes:
        changes['pipeline'] = adapter.steps(*changes['pipeline'])
    data = adapter.dataset(config, split, root, **changes)
    keys = [(1, 0), (1, 3)] if split == 'train' else [()]
    found = dict(length=len(data))
    np.random.seed()
    for index in (item % len(data) for item in items):
        found[str(index)] = [_packed(adapter.sample(data, index, *key), root) for key in keys]
    return found


for _name, _given in CASES.items():
    case('samples', _name)(lambda scratch, given=_given: _run(scratch, *given))


@case('samples')
def half_half_order(scratch):
    """Order of the sampler; what comes again within an epoch is numbered on."""
    options = dict(num_3d=1, seed=3, epochs=2)
    found = dict(alone=adapter.half_half([7, 3, 2], **options))
    found['in_turn'] = adapter.half_half([3, 8], **options, shuffle=False)
    for rank in range(2):
        two = dict(options, rank=rank, world_size=2, round_up=False)
        found[f'rank{rank}'] = adapter.half_half([9, 4], **two)
    return {key: np.array(value) for key, value in found.items()}
