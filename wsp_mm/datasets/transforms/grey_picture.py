# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""The control for shortcuts: what does a network answer that sees nothing?"""

from __future__ import annotations

import numpy as np
from mmcv.transforms import BaseTransform
from mmpose.registry import TRANSFORMS


@TRANSFORMS.register_module()
class GreyPicture(BaseTransform):
    """Paint the whole input in one flat colour; boxes and labels stay.

    Comes after ``PairTopdownAffine``: the crop's black margins would tell where the picture ends.
    What a model still answers right comes from the boxes.

    Required Keys: img. Modified Keys: img.

    Args:
        value: the grey, 0 to 255. The default is near the mean colour that the preprocessor
            subtracts.
    """

    def __init__(self, value: int = 116) -> None:
        if not 0 <= value <= 255:
            raise ValueError(f'GreyPicture: value must lie in 0 to 255, got {value}')
        self.value = value

    def transform(self, results: dict) -> dict:
        """Paint.

        Raises:
            ValueError: the picture is not cropped yet.
        """
        if 'input_size' not in results:
            raise ValueError('GreyPicture must come after PairTopdownAffine')
        results['img'] = np.full_like(results['img'], self.value)
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(value={self.value})'
