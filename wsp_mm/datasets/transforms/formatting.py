# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Packing a pair: the pair is the instance."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from mmpose.datasets.transforms import PackPoseInputs
from mmpose.registry import TRANSFORMS

PAIR_META_KEYS = (
    'id', 'img_id', 'img_path', 'ori_shape', 'img_shape', 'input_size', 'input_center', 'input_scale', 'flip',
    'flip_direction', 'flip_indices', 'dataset_name', 'source', 'sample_idx', 'joint_order',
)  # fmt: skip


def merged_tables(packer: PackPoseInputs, results: dict) -> dict[str, dict]:
    """The packer's mapping tables with the codec's added, for which MMPose takes the codec's
    alone.
    """
    names = ('instance_mapping_table', 'label_mapping_table', 'field_mapping_table')
    return {name: {**getattr(packer, name), **results.get(name, {})} for name in names}


@TRANSFORMS.register_module()
class PackPairInputs(PackPoseInputs):
    """Pack a pair as ONE instance, so that every field has length 1 as MMEngine's containers
    demand.

    - gt_instances (numpy): bboxes (1, 4) around both, bbox_scores (1,), pair_bboxes (1, 2, 4) xyxy
      px of the picture, and where labelled pair_keypoints (1, 2, K, 2) px of the picture,
      pair_visible (1, 2, K), pair_ann_ids (1, 2), pair_gap (1,), depth_label (1,), depth_weight
      (1,). The picture is mirrored where ``flip``.
    - gt_instance_labels (tensors): pair_bboxes_input (1, 2, 4) xyxy input px, and what the codec
      made.
    - gt_fields (tensors): what the codec made.

    - metainfo: ``meta_keys``. ``joint_order`` (K,), uniform random numbers, is made here for
      samples with targets: the order in which :class:`RelativeDepthHead` draws this sample's
      joints. As part of the sample it is the same on whichever rank, and in whichever iteration,
      the sample is used.

    MMPose's own packing takes a codec's tables instead of its own; here they are merged.

    Args:
        meta_keys: what goes to the sample's metainfo, where it is there.
    """

    instance_mapping_table = dict(
        bbox='bboxes',
        bbox_score='bbox_scores',
        pair_bboxes='pair_bboxes',
        pair_keypoints='pair_keypoints',
        pair_visible='pair_visible',
        pair_ann_ids='pair_ann_ids',
        pair_gap='pair_gap',
        depth_label='depth_label',
        depth_weight='depth_weight',
    )
    label_mapping_table = dict(pair_bboxes_input='pair_bboxes_input')
    field_mapping_table = dict()

    def __init__(self, meta_keys: Sequence[str] = PAIR_META_KEYS) -> None:
        super().__init__(meta_keys=tuple(meta_keys))

    def transform(self, results: dict) -> dict:
        """inputs (3, H, W) uint8 BGR and data_samples.

        Raises:
            ValueError: a field that is packed is not one instance long.
        """
        pair = dict(results, pair_bboxes=results['pair_bboxes'][None])
        if 'keypoints' in results:
            pair['pair_keypoints'] = results['keypoints'][None]
            pair['pair_visible'] = results['keypoints_visible'][None]
        if 'pair_ann_ids' in results:
            pair['pair_ann_ids'] = np.asarray(results['pair_ann_ids'])[None]
        pair.update(merged_tables(self, results))
        if (
            'depth_labels' in results
        ):  # after all augmentations, whose random numbers stay what they were
            pair['joint_order'] = np.random.random(results['depth_labels'].shape[-1])
        for table in ('instance_mapping_table', 'label_mapping_table'):
            for key in pair[table]:
                if key in pair and len(pair[key]) != 1:
                    raise ValueError(
                        f'PackPairInputs: {key} is {len(pair[key])} long, but a pair is one instance '
                        f'({results.get("img_path")})'
                    )
        return super().transform(pair)
