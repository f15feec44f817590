# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Heatmaps and relative-depth labels of two persons.

B batch, P = 2 persons (A, then B), K joints, maps of h x w px. "Input px" are pixels of the
network's input, "heatmap px" those of a map. Pixel (i, j) of a map has its centre at input px
(i, j) * input_size / heatmap_size: the convention of MMPose's ``MSRAHeatmap`` (not of its UDP
variant).
"""

import numpy as np
import torch
from mmpose.codecs.base import BaseKeypointCodec
from mmpose.registry import KEYPOINT_CODECS
from torch import Tensor

# Below this a map's value has no usable logarithm.
_TINY = 1e-12


@KEYPOINT_CODECS.register_module()
class PairHeatmapLabel(BaseKeypointCodec):
    """Two persons' joints <-> heatmaps, with the label of Eq. 7 for each joint.

    ``encode`` gives the joints' positions. The head makes a batch's heatmaps from them on its
    device (:meth:`heatmaps`), so that a loader's worker neither computes nor sends maps.

    Encoded:

        - keypoint_labels (1, 2, K, 2): heatmap px.
        - keypoint_weights (1, 2, K): 1 where the joint is labelled, else 0.
        - depth_labels (1, K): 1 where A is nearer, or the probability of that (the same for all
          joints, Eq. 4).
        - depth_ratios (1, K): log of B's depth over A's, positive where A is nearer (the same for
          all joints); nan where it is not known.
        - depth_weights (1, K): 1 where the joint is labelled and inside the input in both persons,
          times the pair's weight (0 for ties).
        - joint_order (1, K): uniform random numbers. The loss looks at the N joints with the
          highest (section 3.4.1). As part of the sample they are the same on whichever rank, and
          in whichever iteration, the sample is used.

    Args:
        input_size: (W, H) input px.
        heatmap_size: (w, h) heatmap px, at least 3 x 3.
        sigma: standard deviation of the Gaussians, heatmap px.

    Raises:
        ValueError: sizes or sigma that make no map.
    """

    auxiliary_encode_keys = {'depth_label', 'depth_weight', 'log_depth_ratio'}
    label_mapping_table = {
        key: key
        for key in (
            'keypoint_labels', 'keypoint_weights', 'depth_labels', 'depth_weights',
            'depth_ratios', 'joint_order',
        )
    }  # fmt: skip

    def __init__(
        self,
        input_size: tuple[int, int] = (256, 256),
        heatmap_size: tuple[int, int] = (64, 64),
        sigma: float = 2.0,
    ) -> None:
        super().__init__()
        if min(input_size) < 1 or min(heatmap_size) < 3 or not sigma > 0:
            raise ValueError(
                f'no heatmap of heatmap_size={heatmap_size} (at least 3 x 3) and sigma={sigma} '
                f'for input_size={input_size}'
            )
        self.input_size = tuple(input_size)
        self.heatmap_size = tuple(heatmap_size)
        self.sigma = float(sigma)
        #: (x, y): input px per heatmap px.
        self.stride = np.divide(input_size, heatmap_size, dtype=np.float32)

    def encode(
        self,
        keypoints: np.ndarray,
        keypoints_visible: np.ndarray | None = None,
        depth_label: np.ndarray | None = None,
        depth_weight: np.ndarray | None = None,
        log_depth_ratio: np.ndarray | None = None,
    ) -> dict[str, np.ndarray]:
        """Return the targets of one pair, see the class.

        Args:
            keypoints: (2, K, 2) input px, A then B.
            keypoints_visible: (2, K), positive where labelled; all where None.
            depth_label: (1,), 1 where A is nearer, or the probability of that.
            depth_weight: (1,); 1 where None.
            log_depth_ratio: (1,), log of B's depth over A's; not known where None.

        Raises:
            ValueError: not two persons, or no label.
        """
        if keypoints.ndim != 3 or len(keypoints) != 2:
            raise ValueError(f'PairHeatmapLabel encodes two persons, got {keypoints.shape}')
        if depth_label is None:
            raise ValueError("PairHeatmapLabel needs 'depth_label' (SamplePersonPair adds it)")
        labels = (keypoints[..., :2] / self.stride).astype(np.float32)
        if keypoints_visible is None:
            keypoints_visible = np.ones(labels.shape[:2])
        labelled = (np.asarray(keypoints_visible) > 0).astype(np.float32)
        inside = ((labels >= 0) & (labels < self.heatmap_size)).all(axis=-1)
        in_both = (labelled * inside).min(axis=0, keepdims=True)
        weight = np.float32(1) if depth_weight is None else np.float32(depth_weight).reshape(1, 1)
        ratio = np.nan if log_depth_ratio is None else np.asarray(log_depth_ratio).reshape(1, 1)
        return dict(
            keypoint_labels=labels[None],
            keypoint_weights=labelled[None],
            depth_labels=np.full_like(in_both, np.float32(depth_label).reshape(1, 1)),
            depth_weights=in_both * weight,
            depth_ratios=np.full_like(in_both, ratio),
            joint_order=np.random.random(in_both.shape).astype(np.float32),
        )

    def heatmaps(self, labels: Tensor, labelled: Tensor) -> tuple[Tensor, Tensor]:
        """Make the heatmaps of a batch of pairs, on the tensors' device.

        A map is a Gaussian of height 1, centred between pixels where the joint is. It is the
        product of one of x and one of y: w + h exponentials a joint instead of w * h. As in MMPose,
        a joint farther than 3 sigma outside of the map leaves no trace on it.

        Args:
            labels: (B, 2, K, 2) heatmap px.
            labelled: (B, 2, K), 0 or 1.

        Returns:
            Maps (B, 2, K, h, w), and weights (B, 2, K): 1 where the joint is labelled and inside.
        """
        width, height = self.heatmap_size
        size, margin = labels.new_tensor(self.heatmap_size), 3 * self.sigma
        weights = labelled * ((labels >= 0) & (labels < size)).all(-1)
        near = ((labels >= -margin - 1) & (labels < size + margin)).all(-1)
        drawn = ((labelled > 0) & near)[..., None]
        x, y = torch.where(drawn, labels, 0.0).unbind(-1)
        along_x, along_y = self._gaussian(x, width) * drawn, self._gaussian(y, height)
        maps = along_y[..., :, None] * along_x[..., None, :]
        # Denormal numbers slow a CPU down.
        return maps.masked_fill_(maps < _TINY, 0.0), weights

    def _gaussian(self, centres: Tensor, size: int) -> Tensor:
        """Gaussians of height 1 along an axis of ``size`` px: (...) to (..., size)."""
        index = torch.arange(size, device=centres.device, dtype=centres.dtype)
        return torch.exp((index - centres[..., None]).square() / (-2 * self.sigma**2))

    def box_masks(self, boxes: Tensor) -> Tensor:
        """Return which heatmap pixels lie in which box: those whose centre does, edges included.

        A box too thin to contain a centre along an axis gets the nearest pixel along that axis. A
        box wholly outside the input, or not finite, gets none.

        Args:
            boxes: (B, P, 4), x1 y1 x2 y2 in input px; may reach beyond the input.

        Returns:
            (B, P, h, w) bool.
        """
        along_x, along_y = (
            _axis_mask(boxes[..., i], boxes[..., i + 2], self.input_size[i], self.heatmap_size[i])
            for i in range(2)
        )
        return along_y[..., :, None] & along_x[..., None, :]

    def decode(self, heatmaps: np.ndarray, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Decode one pair, see :meth:`batch_decode`.

        Args:
            heatmaps: (K, h, w) or (2, K, h, w).
            boxes: (2, 4) xyxy input px.

        Returns:
            Keypoints (1, 2, K, 2) input px and scores (1, 2, K).
        """
        maps = torch.as_tensor(heatmaps)
        maps = maps.reshape(1, -1, *maps.shape[-3:])
        keypoints, scores = self.batch_decode(maps, torch.as_tensor(boxes)[None])
        return keypoints[0], scores[0]

    @torch.no_grad()
    def batch_decode(self, heatmaps: Tensor, boxes: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Return both persons' joints, each the peak in the person's box, and the peaks' heights.

        Args:
            heatmaps: (B, 1, K, h, w), shared by the persons, or (B, 2, K, h, w).
            boxes: (B, 2, 4) xyxy input px, clipped to the input here. For a box wholly outside the
                nearest pixel counts. With shared heatmaps, of any number of persons.

        Returns:
            Keypoints (B, 1, 2, K, 2) input px and scores (B, 1, 2, K).
        """
        keypoints, scores = self.peaks(heatmaps, boxes)
        return keypoints[:, None].cpu().numpy(), scores[:, None].cpu().numpy()

    def peaks(self, heatmaps: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
        """Return :meth:`batch_decode`'s keypoints (B, 2, K, 2) and scores (B, 2, K) as tensors."""
        maps = heatmaps.float().expand(-1, boxes.shape[1], -1, -1, -1)
        limits = boxes.new_tensor(2 * self.input_size)
        in_box = self.box_masks(boxes.clamp(min=0).minimum(limits))
        scores, peaks = (
            maps.masked_fill(~in_box[:, :, None], -torch.inf).flatten(-2).max(-1)
        )  # (B, 2, K)
        height, width = maps.shape[-2:]
        row, column = peaks // width, peaks % width
        # Not take_along_dim, which an export to ONNX ties to one size of the batch.
        along_x = maps.gather(3, row[..., None, None].expand(-1, -1, -1, 1, width))
        along_y = maps.gather(4, column[..., None, None].expand(-1, -1, -1, height, 1))
        x, y = _refine(along_x.squeeze(3), column), _refine(along_y.squeeze(4), row)
        return torch.stack([x, y], dim=-1) * maps.new_tensor(self.stride), scores


def _axis_mask(low: Tensor, high: Tensor, extent: float, size: int) -> Tensor:
    """Pixels of one axis within [low, high] input px: (...) to (..., size) bool."""
    # Comparisons with nan are false, so a box that is not finite is treated as one outside.
    meets = (high >= 0) & (low <= extent) & (low <= high)
    low, high = low.clamp(0, extent)[..., None], high.clamp(0, extent)[..., None]
    index = torch.arange(size, device=low.device, dtype=low.dtype)
    stride = extent / size
    inside = (index * stride >= low) & (index * stride <= high)
    nearest = ((low + high) / (2 * stride)).round().clamp(0, size - 1)
    thin = ~inside.any(-1, keepdim=True)
    return (inside | (thin & (index == nearest))) & meets[..., None]


def _refine(profile: Tensor, peak: Tensor) -> Tensor:
    """Locate a peak between the pixels of a line through it.

    A Gaussian's logarithm is a parabola: three values give its vertex exactly (DarkPose's idea, on
    one axis). At an end of the line the parabola goes through the three outermost pixels.

    Args:
        profile: (..., size) values.
        peak: (...,) index of the highest pixel.

    Returns:
        (...,) heatmap px, at most half a pixel from ``peak`` (a whole one outwards of the last
        pixel, where the input reaches beyond the last pixel's centre).
    """
    size = profile.shape[-1]
    middle = peak.clamp(1, size - 2)
    values = profile.gather(-1, torch.stack([middle - 1, middle, middle + 1], dim=-1))
    left, centre, right = values.clamp_min(_TINY).log().unbind(-1)
    curvature = right - 2 * centre + left
    usable = (values > _TINY).all(-1) & (curvature < 0)
    vertex = middle - (right - left) / 2 / curvature.masked_fill(~usable, 1.0)
    vertex = torch.where(usable, vertex, peak.to(vertex.dtype))
    highest = peak + torch.where(peak == size - 1, 1.0, 0.5)
    return torch.minimum(torch.maximum(vertex, peak - 0.5), highest)
