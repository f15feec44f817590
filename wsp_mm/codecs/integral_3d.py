# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Joints in pixels and millimetres <-> coordinates in a 3D heatmap."""

import numpy as np
from mmpose.codecs.base import BaseKeypointCodec
from mmpose.registry import KEYPOINT_CODECS


@KEYPOINT_CODECS.register_module()
class Integral3DLabel(BaseKeypointCodec):
    """Joints (x input px, y input px, z mm relative to the root) <-> (x, y, z) heatmap px of a
    w x h x d volume.

    As in 3DMPPE PoseNet: ``x * w / W``, ``y * h / H`` and ``(z / depth_range + 1) / 2 * d``,
    without an offset of half a pixel; the root's depth is ``d / 2``. A joint outside the input, or
    outside the depth range, loses all its supervision, in-plane too.

    Encoded:

        - keypoint_labels (1, K, 3): heatmap px; 0 where the weight is 0.
        - keypoint_weights (1, K): 1 where the joint is labelled and inside, else 0.
        - depth_weights (1, K): the same for the third coordinate; 0 for a sample without depth.

    Args:
        input_size: (W, H) input px.
        heatmap_size: (w, h, d) heatmap px.
        depth_range: largest distance from the root along z, to the front and to the back, mm.

    Raises:
        ValueError: sizes or a range that make no volume.
    """

    auxiliary_encode_keys = {'has_depth'}
    label_mapping_table = {
        key: key for key in ('keypoint_labels', 'keypoint_weights', 'depth_weights')
    }

    def __init__(
        self,
        input_size: tuple[int, int] = (256, 256),
        heatmap_size: tuple[int, int, int] = (64, 64, 64),
        depth_range: float = 1000.0,
    ) -> None:
        super().__init__()
        volume = (*input_size, *heatmap_size, depth_range)
        if len(volume) != 6 or not (np.isfinite(volume).all() and min(volume) > 0):
            raise ValueError(
                f'no volume of heatmap_size={heatmap_size} (w, h, d) and depth_range={depth_range} '
                f'mm for input_size={input_size} (W, H)'
            )
        self.input_size = tuple(input_size)
        self.heatmap_size = tuple(heatmap_size)
        #: (x, y, z): input px, input px and mm per heatmap px.
        self.scale = np.divide((*input_size, 2 * depth_range), heatmap_size)
        #: (x, y, z) of heatmap px (0, 0, 0): input px, input px and mm.
        self.origin = np.array([0.0, 0.0, -depth_range])

    def encode(
        self,
        keypoints: np.ndarray,
        keypoints_visible: np.ndarray | None = None,
        has_depth: np.ndarray | None = None,
    ) -> dict[str, np.ndarray]:
        """Return the targets of one person, see the class.

        Args:
            keypoints: (1, K, 3) input px and mm, or (1, K, 2) input px.
            keypoints_visible: (1, K), positive where labelled; all where None.
            has_depth: (1,), positive where z is labelled; where None, it is if ``keypoints`` has a
                z.

        Raises:
            ValueError: not one person, or a labelled joint that is not a number.
        """
        if keypoints.ndim != 3 or len(keypoints) != 1 or keypoints.shape[2] not in (2, 3):
            raise ValueError(f'Integral3DLabel encodes one person (1, K, 3), got {keypoints.shape}')
        with_z = keypoints.shape[2] == 3
        deep = with_z if has_depth is None else bool(np.asarray(has_depth).item() > 0)
        if deep and not with_z:
            raise ValueError('has_depth is set, but the keypoints have no z')
        positions = np.zeros((*keypoints.shape[:2], 3))
        axes = 3 if deep else 2
        positions[..., :axes] = keypoints[..., :axes]
        if keypoints_visible is None:
            keypoints_visible = np.ones(keypoints.shape[:2])
        labelled = np.asarray(keypoints_visible) > 0
        broken = labelled & ~np.isfinite(positions).all(axis=-1)
        if broken.any():
            joint = int(broken.argmax())
            raise ValueError(
                f'joint {joint} is labelled, but its position is {positions[0, joint].tolist()} '
                '(px, px, mm): mark it as not visible or fix the annotation'
            )
        labels = (positions - self.origin) / self.scale
        usable = labelled & ((labels >= 0) & (labels < self.heatmap_size)).all(axis=-1)
        return dict(
            keypoint_labels=np.where(usable[..., None], labels, 0).astype(np.float32),
            keypoint_weights=usable.astype(np.float32),
            depth_weights=(usable & deep).astype(np.float32),
        )

    def decode(self, encoded: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return keypoints (N, K, 3) input px, input px and mm relative to the root, and scores.

        Args:
            encoded: (K, 3) or (N, K, 3) heatmap px.

        Returns:
            Keypoints, float64, and scores (N, K) float32, which are 1: an expectation has no peak
            whose height could serve.
        """
        keypoints = np.asarray(encoded, dtype=np.float64) * self.scale + self.origin
        keypoints = keypoints.reshape(-1, *keypoints.shape[-2:])
        return keypoints, np.ones(keypoints.shape[:2], dtype=np.float32)
