# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""What the transforms share: their text form, moving a sample's coordinates, and packing."""

from collections.abc import Sequence

import numpy as np
from mmcv.transforms import BaseTransform
from mmpose.datasets.transforms import PackPoseInputs

# Keys with px of the image -> how many of their last axis' values are x, y, x, y.
_COORDINATES = dict(
    bbox=4, pair_bboxes=4, bbox_center=2, input_center=2, keypoints=2, ankles=2
)  # fmt: skip


class Transform(BaseTransform):
    """A transform whose ``repr`` lists its public attributes."""

    def __repr__(self) -> str:
        shown = (f'{key}={value!r}' for key, value in vars(self).items() if key[0] != '_')
        return f'{type(self).__name__}({", ".join(shown)})'


def move_coordinates(results: dict, x: float, y: float) -> None:
    """Add ``(x, y)`` px to every coordinate of a sample, in place of the old arrays."""
    offset = np.array((x, y, x, y), dtype=np.float32)
    for key, count in _COORDINATES.items():
        if key in results:
            results[key] = moved = np.array(results[key])
            moved[..., :count] += offset[:count]


def to_image_frame(results: dict) -> dict:
    """Return a sample with px of the image instead of px of the part that was loaded.

    The image is mirrored where ``flip``. A sample without ``img_offset`` (``LoadImage``) is
    returned as it is.

    Args:
        results: after the crop; ``LoadCropImage`` added img_offset and loaded_crop.

    Raises:
        ValueError: the crop was changed after its part of the image was loaded.
    """
    if 'img_offset' not in results:
        return results
    crop = (*results['input_scale'], results.get('bbox_rotation', [0.0])[0])
    if not np.allclose(crop, results['loaded_crop'], rtol=1e-4):
        raise ValueError(
            f'the crop (w px, h px, degrees) is {crop}, but LoadCropImage loaded '
            f'{results["loaded_crop"]} ({results.get("img_path")}): it must come after all '
            'transforms that change bbox_scale or bbox_rotation, and its aspect must be that of '
            'the input'
        )
    results = dict(results)
    x, y = results.pop('img_offset')
    if results.get('flip'):
        x = results['ori_shape'][1] - results['img_shape'][1] - x
    move_coordinates(results, x, y)
    results['img_shape'] = results['ori_shape']
    return results


class PackInstance(PackPoseInputs):
    """Pack one instance: every packed field has length 1, as MMEngine's containers demand.

    MMPose's own packing replaces its mapping tables by the codec's; here they are merged. All
    coordinates come out in px of the image, see :func:`to_image_frame`.

    Args:
        meta_keys: what goes to the sample's metainfo, where it is there.
    """

    label_mapping_table = {}
    field_mapping_table = {}

    def __init__(self, meta_keys: Sequence[str]) -> None:
        super().__init__(meta_keys=tuple(meta_keys))

    def transform(self, results: dict) -> dict:
        """Return inputs (3, H, W) uint8 BGR and data_samples.

        Raises:
            ValueError: a packed field is not one instance long, or as :func:`to_image_frame`.
        """
        packed = dict(results)
        for name in ('instance_mapping_table', 'label_mapping_table', 'field_mapping_table'):
            packed[name] = getattr(self, name) | results.get(name, {})
            for key in packed[name] if name != 'field_mapping_table' else ():
                if key in packed and len(packed[key]) != 1:
                    raise ValueError(
                        f'{type(self).__name__}: {key} is {len(packed[key])} long, not 1 '
                        f'({results.get("dataset_name")}, {results.get("img_path")})'
                    )
        return super().transform(packed)
