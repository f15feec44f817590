# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""RD protocol 2: pictures without the ankles that the labels were made from."""

from __future__ import annotations

import numpy as np
from mmcv.transforms import BaseTransform
from mmpose.registry import TRANSFORMS

#: Knee-ankle length / head length (the scale S of Eq. 13) of an adult: 0.43 m / 0.24 m.
SHANK_PER_SCALE = 1.8


@TRANSFORMS.register_module()
class RemoveAnkles(BaseTransform):
    """Cover every labelled ankle in the crop with a square, whoever it belongs to.

    Comes after ``PairTopdownAffine``. The square's side is a share of the knee-ankle length or of
    the person's scale S; where a person has only the other of the two, that one times 1.8 (or
    divided by it), where neither, the median of the picture's other ankles.

    Required Keys: img, ankles_input (M, 4) input px: x, y, knee-ankle length, S. Modified Keys:
    img.

    Args:
        share: side of the square / length. The default covers a foot: 0.6 of a shank is 0.26 m.
        relative_to: ``'shank'`` or ``'scale'``.
        fill: ``'mean'``, the crop's mean colour, or ``'gray'``.

    Raises:
        ValueError: an unknown switch.
    """

    def __init__(self, share: float = 0.6, relative_to: str = 'shank', fill: str = 'mean') -> None:
        if not share > 0:
            raise ValueError(f'RemoveAnkles: share must be positive, got {share}')
        if relative_to not in ('shank', 'scale'):
            raise ValueError(
                f"RemoveAnkles: relative_to must be 'shank' or 'scale', got {relative_to!r}"
            )
        if fill not in ('mean', 'gray'):
            raise ValueError(f"RemoveAnkles: fill must be 'mean' or 'gray', got {fill!r}")
        self.share, self.relative_to, self.fill = share, relative_to, fill

    def sides(self, ankles: np.ndarray) -> np.ndarray:
        """Sides (M,) input px of the squares for ankles (M, 4).

        Raises:
            ValueError: nobody's length is known.
        """
        shank, scale = ankles[:, 2].astype(np.float64), ankles[:, 3].astype(np.float64)
        if self.relative_to == 'shank':
            lengths = np.where(np.isfinite(shank), shank, scale * SHANK_PER_SCALE)
        else:
            lengths = np.where(np.isfinite(scale), scale, shank / SHANK_PER_SCALE)
        known = np.isfinite(lengths)
        if len(lengths) and not known.any():
            raise ValueError(
                'RemoveAnkles: no ankle has a knee-ankle length or a scale to size its square by'
            )
        return self.share * np.where(
            known, lengths, np.median(lengths[known]) if known.any() else 0.0
        )

    def transform(self, results: dict) -> dict:
        """Cover the ankles.

        Raises:
            KeyError: the sample carries no ankles, so that nothing could be removed.
        """
        if 'ankles_input' not in results:
            raise KeyError(
                "RemoveAnkles needs 'ankles_input': it comes after PairTopdownAffine, on samples with keypoints"
            )
        ankles = results['ankles_input']
        img = results['img'].copy()
        h, w = img.shape[:2]
        color = img.reshape(-1, img.shape[-1]).mean(axis=0).round() if self.fill == 'mean' else 128
        for (x, y), side in zip(ankles[:, :2], self.sides(ankles), strict=True):
            # Pixel centres are at integers: the square covers those within half a side, and the
            # ankle's own.
            half = max(side / 2, 0.5)
            left, right = np.clip([np.ceil(x - half), np.floor(x + half) + 1], 0, w).astype(int)
            top, bottom = np.clip([np.ceil(y - half), np.floor(y + half) + 1], 0, h).astype(int)
            img[top:bottom, left:right] = color
        results['img'] = img
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(share={self.share}, relative_to={self.relative_to!r}, fill={self.fill!r})'
