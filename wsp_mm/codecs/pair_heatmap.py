# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Heatmaps and relative-depth labels of two persons.

B batch, K joints, C channels (K, or 2K with a channel for each person's joint), (h, w) cells of a
map. ``input px`` are pixels of the network's input. The centre of cell (i, j) lies at input px (i,
j) * input_size / heatmap_size: the convention of MMPose's ``MSRAHeatmap`` (not of its UDP variant).
"""

from __future__ import annotations

import numpy as np
import torch
from mmpose.codecs.base import BaseKeypointCodec
from mmpose.registry import KEYPOINT_CODECS
from torch import Tensor

from wsp_mm.codecs.box_cells import box_membership

# Below this a map's value has no usable logarithm.
_TINY = 1e-12


@KEYPOINT_CODECS.register_module()
class PairHeatmapLabel(BaseKeypointCodec):
    """Two persons' joints <-> heatmaps, with the label of Eq. 7 for each joint.

    Encoded:

        - heatmaps (C, h, w): Gaussians of height 1, centred between cells where the joint is. On a
          map that both persons share, the larger of the two. With ``person_channels`` A's K maps,
          then B's K. With ``on_device`` what they are made from instead: heatmap_cells (1, 2, K, 2)
          cells and heatmap_labelled (1, 2, K), 1 where labelled.
        - heatmap_weights (1, C): 1 where the channel's joint is labelled and inside the input, on a
          shared map in either person.
        - depth_labels (1, K): 1 where A is nearer (the same for all joints, Eq. 4).
        - depth_weights (1, K): 1 where the joint is labelled and inside the input in both persons,
          times the pair's weight (0 for ties).

    Args:
        input_size: (w, h) input px.
        heatmap_size: (w, h) cells.
        sigma: standard deviation of the Gaussians, cells.
        person_channels: a channel for each person's joint, instead of one for both.
        on_device: leave the maps to the head, which makes a batch's on its device
            (:meth:`batch_heatmaps`): a loader's worker then neither computes nor sends them, more
            bytes than the picture has.

    Raises:
        ValueError: sizes or sigma that make no map.
    """

    auxiliary_encode_keys = {'depth_label', 'depth_weight'}
    field_mapping_table = dict(heatmaps='heatmaps')
    label_mapping_table = dict(
        depth_labels='depth_labels',
        depth_weights='depth_weights',
        heatmap_weights='heatmap_weights',
        heatmap_cells='heatmap_cells',
        heatmap_labelled='heatmap_labelled',
    )

    def __init__(
        self,
        input_size: tuple[int, int] = (256, 256),
        heatmap_size: tuple[int, int] = (64, 64),
        sigma: float = 2.0,
        person_channels: bool = False,
        on_device: bool = False,
    ) -> None:
        super().__init__()
        if (
            len(input_size) != 2
            or len(heatmap_size) != 2
            or min(input_size) < 1
            or min(heatmap_size) < 3
        ):
            raise ValueError(
                f'no map of {heatmap_size} cells (at least 3 x 3) for an input of {input_size} px'
            )
        if not sigma > 0:
            raise ValueError(f'sigma must be positive, got {sigma}')
        self.input_size = tuple(input_size)
        self.heatmap_size = tuple(heatmap_size)
        self.sigma = float(sigma)
        self.person_channels = person_channels
        self.on_device = on_device
        #: (x, y) input px a cell.
        self.stride = np.array(input_size, dtype=np.float32) / np.array(
            heatmap_size, dtype=np.float32
        )

    def encode(
        self,
        keypoints: np.ndarray,
        keypoints_visible: np.ndarray | None = None,
        depth_label: np.ndarray | None = None,
        depth_weight: np.ndarray | None = None,
    ) -> dict[str, np.ndarray]:
        """Targets of one pair, see the class.

        Args:
            keypoints: (2, K, 2) input px, A then B.
            keypoints_visible: (2, K), positive where labelled; all where None.
            depth_label: (1,), 1 where A is nearer.
            depth_weight: (1,); 1 where None.

        Raises:
            ValueError: not two persons, or no label.
        """
        if keypoints.ndim != 3 or keypoints.shape[0] != 2:
            raise ValueError(
                f'PairHeatmapLabel encodes two persons, got keypoints {keypoints.shape}'
            )
        if depth_label is None:
            raise ValueError("PairHeatmapLabel needs 'depth_label' (SamplePersonPair adds it)")
        num_joints = keypoints.shape[1]
        labelled = (
            np.ones((2, num_joints))
            if keypoints_visible is None
            else np.asarray(keypoints_visible) > 0
        )
        labelled = labelled.astype(np.float32)
        cells = (keypoints[..., :2] / self.stride).astype(np.float32)
        inside = ((keypoints[..., :2] >= 0) & (keypoints[..., :2] < self.input_size)).all(axis=-1)
        usable = labelled * inside
        heatmap_weights = (
            usable.reshape(1, -1) if self.person_channels else usable.max(axis=0, keepdims=True)
        )
        if self.on_device:
            maps = dict(heatmap_cells=cells[None], heatmap_labelled=labelled[None])
        else:
            batch = self.batch_heatmaps(
                torch.from_numpy(cells)[None], torch.from_numpy(labelled)[None]
            )
            maps = dict(heatmaps=batch[0].numpy())
        weight = 1.0 if depth_weight is None else float(np.asarray(depth_weight).reshape(()))
        label = float(np.asarray(depth_label).reshape(()))
        return dict(
            **maps,
            heatmap_weights=heatmap_weights.astype(np.float32),
            depth_labels=np.full((1, num_joints), label, dtype=np.float32),
            depth_weights=(usable.min(axis=0, keepdims=True) * weight).astype(np.float32),
        )

    def batch_heatmaps(self, cells: Tensor, labelled: Tensor) -> Tensor:
        """The maps of a batch of pairs, on the tensors' device.

        A Gaussian of x and y is the product of one of x and one of y: w + h exponentials a joint
        instead of w * h. As in MMPose, a joint farther than 3 sigma outside of the map leaves no
        trace on it.

        Args:
            cells: (B, 2, K, 2) cells.
            labelled: (B, 2, K), 0 or 1.

        Returns:
            (B, C, h, w) float32.
        """
        reach = 3 * self.sigma
        drawn = labelled > 0
        for axis, size in enumerate(self.heatmap_size):
            drawn = drawn & (cells[..., axis] >= -reach - 1) & (cells[..., axis] < size + reach)
        along_x, along_y = (
            self._along(torch.where(drawn, cells[..., axis], 0.0), size)
            for axis, size in enumerate(self.heatmap_size)
        )
        along_y = along_y * drawn[..., None]
        maps = along_y[..., :, None] * along_x[..., None, :]
        maps = maps.flatten(1, 2) if self.person_channels else maps.amax(dim=1)
        # numbers too small for float32's usual form slow a CPU down
        return maps.masked_fill_(maps < _TINY, 0.0)

    def _along(self, positions: Tensor, size: int) -> Tensor:
        """Gaussians of height 1 at positions (...) along an axis of ``size`` cells: (..., size)."""
        index = torch.arange(size, device=positions.device, dtype=positions.dtype)
        return torch.exp((index - positions[..., None]).square() / (-2 * self.sigma**2))

    def decode(self, heatmaps: np.ndarray, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Both persons' joints: the peak in the person's box.

        Args:
            heatmaps: (C, h, w).
            boxes: (2, 4) xyxy input px.

        Returns:
            keypoints (1, 2, K, 2) input px and scores (1, 2, K), the peaks' heights.
        """
        keypoints, scores = self.batch_decode_pairs(
            torch.from_numpy(np.ascontiguousarray(heatmaps))[None],
            torch.from_numpy(np.asarray(boxes, dtype=np.float32).reshape(1, 2, 4)),
        )
        return keypoints.numpy(), scores.numpy()

    @torch.no_grad()
    def batch_decode_pairs(self, heatmaps: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
        """As :meth:`decode`, for a batch, on the tensors' device.

        Args:
            heatmaps: (B, C, h, w).
            boxes: (B, 2, 4) xyxy input px. A box is clipped to the map; where it holds no cell's
                centre, the nearest cell counts.

        Returns:
            keypoints (B, 2, K, 2) input px and scores (B, 2, K).

        Raises:
            ValueError: the maps are not of ``heatmap_size``, or an odd number with
                ``person_channels``.
        """
        batch, channels, h, w = heatmaps.shape
        if (w, h) != self.heatmap_size:
            raise ValueError(f'maps of {w} x {h} cells, but heatmap_size is {self.heatmap_size}')
        if self.person_channels and channels % 2:
            raise ValueError(f'{channels} channels cannot be two persons')
        maps = heatmaps.float()
        maps = (
            maps.unflatten(1, (2, -1))
            if self.person_channels
            else maps[:, None].expand(-1, 2, -1, -1, -1)
        )
        stride = maps.new_tensor(self.stride.tolist())
        in_box = box_membership(
            boxes.float(), self.input_size, (w, h), outside='nearest'
        )  # (B, 2, h, w)
        masked = maps.masked_fill(~in_box[:, :, None], -torch.inf)
        scores, peaks = masked.flatten(-2).max(dim=-1)  # (B, 2, K)
        row, column = peaks // w, peaks % w
        lines = torch.arange(batch, device=maps.device)[:, None, None]
        persons = torch.arange(2, device=maps.device)[None, :, None]
        joints = torch.arange(maps.shape[2], device=maps.device)
        x = _refine(maps[lines, persons, joints, row], column)
        y = _refine(maps[lines, persons, joints, :, column], row)
        return torch.stack([x, y], dim=-1) * stride, scores


def _refine(profile: Tensor, peak: Tensor) -> Tensor:
    """Position of a peak between the cells of a line through it.

    A Gaussian's logarithm is a parabola: three values give its vertex exactly (DarkPose's idea, on
    one axis). At an end of the line the parabola goes through the three outermost cells.

    Args:
        profile: (..., size) values.
        peak: (...,) index of the highest cell.

    Returns:
        (...,) cells, at most half a cell from ``peak`` (a whole one outwards of the last cell,
        where the input reaches beyond the last cell's centre).
    """
    size = profile.shape[-1]
    middle = peak.clamp(1, size - 2)
    three = torch.stack([middle - 1, middle, middle + 1], dim=-1)
    values = profile.gather(-1, three)
    logs = values.clamp_min(_TINY).log()
    slope = (logs[..., 2] - logs[..., 0]) / 2
    curvature = logs[..., 2] - 2 * logs[..., 1] + logs[..., 0]
    usable = (values > _TINY).all(dim=-1) & (curvature < 0)
    vertex = middle - slope / torch.where(usable, curvature, torch.ones_like(curvature))
    vertex = torch.where(usable, vertex, peak.to(vertex.dtype))
    highest = peak + torch.where(peak == size - 1, 1.0, 0.5)
    return torch.minimum(torch.maximum(vertex, peak - 0.5), highest)
