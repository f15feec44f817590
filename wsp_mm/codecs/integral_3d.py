# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Joints in pixels and millimetres <-> cells of a 3D heatmap."""

from __future__ import annotations

import numpy as np
from mmpose.codecs.base import BaseKeypointCodec
from mmpose.registry import KEYPOINT_CODECS


@KEYPOINT_CODECS.register_module()
class Integral3DLabel(BaseKeypointCodec):
    """Joints (x input px, y input px, z mm relative to the root) <-> (x, y, z) cells of a w x h x d
    volume.

    As in 3DMPPE PoseNet: ``x * w / W``, ``y * h / H`` and ``(z / depth_range + 1) / 2 * d``,
    without an offset of half a cell; the root's depth is ``d / 2``. A joint outside the input, or
    outside the depth range, loses all its supervision, in-plane too.

    Encoded:

        - keypoint_labels (1, K, 3): cells; 0 where the weight is 0.
        - keypoint_weights (1, K): 1 where the joint is labelled and inside, else 0.
        - depth_weights (1, K): the same for the third coordinate; 0 for a sample without depth.

    Args:
        input_size: (W, H) input px.
        heatmap_size: (w, h, d) cells.
        depth_range: largest distance from the root along z, to the front and to the back, mm.

    Raises:
        ValueError: sizes or a range that make no volume.
    """

    auxiliary_encode_keys = {'has_depth'}
    label_mapping_table = dict(
        keypoint_labels='keypoint_labels',
        keypoint_weights='keypoint_weights',
        depth_weights='depth_weights',
    )

    def __init__(
        self,
        input_size: tuple[int, int] = (256, 256),
        heatmap_size: tuple[int, int, int] = (64, 64, 64),
        depth_range: float = 1000.0,
    ) -> None:
        super().__init__()
        if (
            len(input_size) != 2
            or min(input_size) < 1
            or len(heatmap_size) != 3
            or min(heatmap_size) < 1
        ):
            raise ValueError(
                f'no volume of {tuple(heatmap_size)} cells (w, h, d) for an input of {tuple(input_size)} px'
            )
        if not (np.isfinite(depth_range) and depth_range > 0):
            raise ValueError(f'depth_range must be positive (mm), got {depth_range}')
        self.input_size = tuple(input_size)
        self.heatmap_size = tuple(heatmap_size)
        self.depth_range = float(depth_range)
        width, height, layers = self.heatmap_size
        #: (x, y, z): input px, input px and mm a cell.
        self.cell = np.array(
            [input_size[0] / width, input_size[1] / height, 2 * self.depth_range / layers]
        )
        #: (x, y, z) of cell (0, 0, 0): input px, input px and mm.
        self.origin = np.array([0.0, 0.0, -self.depth_range])

    def encode(
        self,
        keypoints: np.ndarray,
        keypoints_visible: np.ndarray | None = None,
        has_depth: np.ndarray | None = None,
    ) -> dict[str, np.ndarray]:
        """Targets of one person, see the class.

        Args:
            keypoints: (1, K, 3) input px and mm, or (1, K, 2) input px.
            keypoints_visible: (1, K), positive where labelled; all where None.
            has_depth: (1,), positive where z is labelled; where None, it is if ``keypoints`` has a
                z.

        Raises:
            ValueError: not one person, or a labelled joint that is not a number.
        """
        keypoints = np.asarray(keypoints, dtype=np.float64)
        if keypoints.ndim != 3 or keypoints.shape[0] != 1 or keypoints.shape[2] not in (2, 3):
            raise ValueError(
                f'Integral3DLabel encodes one person (1, K, 3), got keypoints {keypoints.shape}'
            )
        shape = keypoints.shape[:2]
        labelled = (
            np.ones(shape, bool) if keypoints_visible is None else np.asarray(keypoints_visible) > 0
        )
        if labelled.shape != shape:
            raise ValueError(
                f'keypoints_visible {labelled.shape} does not fit keypoints {keypoints.shape}'
            )
        with_z = keypoints.shape[2] == 3
        deep = with_z if has_depth is None else bool(np.asarray(has_depth).reshape(()) > 0)
        if deep and not with_z:
            raise ValueError('has_depth is set, but the keypoints have no z')
        positions = np.zeros((*shape, 3))
        positions[..., : 3 if deep else 2] = keypoints[..., : 3 if deep else 2]
        finite = np.isfinite(positions).all(axis=-1)
        if (labelled & ~finite).any():
            joint = int(np.flatnonzero(labelled & ~finite)[0])
            raise ValueError(
                f'joint {joint} is labelled, but its position is {positions[0, joint].tolist()} (px, px, mm): '
                'mark it as not visible or mend the annotation'
            )
        cells = (positions - self.origin) / self.cell
        with np.errstate(invalid='ignore'):
            usable = labelled & ((cells >= 0) & (cells < self.heatmap_size)).all(axis=-1)
        return dict(
            keypoint_labels=np.where(usable[..., None], cells, 0).astype(np.float32),
            keypoint_weights=usable.astype(np.float32),
            depth_weights=(usable & deep).astype(np.float32),
        )

    def decode(self, encoded: np.ndarray) -> np.ndarray:
        """Cells (N, K, 3) to input px, input px and mm relative to the root, (N, K, 3) float64."""
        return np.asarray(encoded, dtype=np.float64) * self.cell + self.origin
