# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Which cells of a heatmap lie in a person's box.

B pictures, P persons a picture, h x w cells of the map, W x H pixels of the network's input. Cell i
of a map stands for pixel ``i * W / w`` of the input, as in MMPose's heatmap codecs: a joint at that
pixel has its peak in that cell.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def box_membership(
    boxes: Tensor, input_size: Sequence[float], map_size: Sequence[int], outside: str = 'none'
) -> Tensor:
    """Which cells of the map belong to which person.

    A cell belongs to a box that contains its centre, edges included. A box too thin to contain a
    centre along an axis gets the nearest cell along that axis.

    Args:
        boxes: (B, P, 4), x1 y1 x2 y2 in input px; may reach beyond the input.
        input_size: (W, H) of the network's input, px.
        map_size: (w, h) of the map, cells.
        outside: what a box wholly outside the input, or not finite, gets: ``'none'``, or the cell
            ``'nearest'`` to it.

    Returns:
        (B, P, h, w) bool.

    Raises:
        ValueError: another word for ``outside``.
    """
    if outside not in ('none', 'nearest'):
        raise ValueError(f"outside must be 'none' or 'nearest', got {outside!r}")
    inside_x, some_x = _axis_membership(
        boxes[..., 0], boxes[..., 2], float(input_size[0]), int(map_size[0])
    )
    inside_y, some_y = _axis_membership(
        boxes[..., 1], boxes[..., 3], float(input_size[1]), int(map_size[1])
    )
    inside = inside_y[..., :, None] & inside_x[..., None, :]
    return inside if outside == 'nearest' else inside & (some_x & some_y)[..., None, None]


def _axis_membership(low: Tensor, high: Tensor, extent: float, cells: int) -> tuple[Tensor, Tensor]:
    """Cells of one axis within [low, high] px (..., cells) and whether the interval meets the input
    (...).
    """
    stride = extent / cells
    index = torch.arange(cells, device=low.device)
    # comparisons with nan are false, so a box that is not finite is treated as one outside
    meets = (high >= 0) & (low <= extent) & (low <= high)
    low, high = low.clamp(0, extent), high.clamp(0, extent)
    centres = index.to(low.dtype) * stride
    inside = (centres >= low[..., None]) & (centres <= high[..., None])
    nearest = ((low + high) / (2 * stride)).nan_to_num(0.0).round().clamp(0, cells - 1).long()
    inside = torch.where(inside.any(-1, keepdim=True), inside, index == nearest[..., None])
    return inside, meets
