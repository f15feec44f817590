# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""The depth that a person's box gives away, for the network that corrects it."""

from __future__ import annotations

import numpy as np
from mmcv.transforms import BaseTransform
from mmpose.registry import TRANSFORMS

from wsp_mm.structures.bbox import AREA_MM2, k_value


@TRANSFORMS.register_module()
class RootDepthPrior(BaseTransform):
    """Add k, the root's depth by the size of the box that is cropped.

    See :func:`wsp_mm.structures.bbox.k_value`. It stands right after ``PersonCenterScale``: k
    belongs to the box before anything is scaled or turned by chance. A sample without a camera (of
    a 2D data set) has no k: nan.

    Required Keys: bbox_center (1, 2) px, bbox_scale (1, 2) px; camera_f (2,) px (optional).

    Added Keys: root_k (1,) mm.

    Args:
        area_mm2: what a box is taken to cover, mm^2.

    Raises:
        ValueError: ``area_mm2`` is not positive; when it is used, no box or one that was augmented
            already.
    """

    def __init__(self, area_mm2: float = AREA_MM2) -> None:
        if not area_mm2 > 0:
            raise ValueError(f'area_mm2 must be positive, got {area_mm2}')
        self.area_mm2 = float(area_mm2)

    def transform(self, results: dict) -> dict:
        """Add k."""
        if 'bbox_scale' not in results or 'bbox_rotation' in results:
            raise ValueError(
                f'RootDepthPrior ({results.get("img_path")}): put it right after PersonCenterScale, before the '
                'box is changed by chance'
            )
        f, prior = results.get('camera_f'), np.full(1, np.nan)
        if f is not None:
            prior = k_value(
                np.concatenate([results['bbox_center'], results['bbox_scale']], axis=-1),
                np.asarray(f, dtype=np.float64).reshape(2),
                self.area_mm2,
            )
        results['root_k'] = prior.astype(np.float32)
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(area_mm2={self.area_mm2})'
