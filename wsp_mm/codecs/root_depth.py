# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""The root joint's place in the crop <-> heatmap coordinates, and what its depth is learned
from.
"""

import numpy as np
from mmpose.codecs.base import BaseKeypointCodec
from mmpose.registry import KEYPOINT_CODECS

from wsp_mm.codecs.integral_3d import Integral3DLabel
from wsp_mm.structures.keypoints import get_joint_set


@KEYPOINT_CODECS.register_module()
class RootDepthLabel(BaseKeypointCodec):
    """Targets of :class:`RootDepthHead`: the root's place, its depth, and the prior that the head
    corrects.

    Coordinates are those of PoseNet: ``x * w / W``, without an offset of half a pixel. A root that
    is not labelled or outside of the input loses all its supervision; a sample without depth (of a
    2D data set, or without a camera) that of the depth.

    Encoded:

        - keypoint_labels (1, 1, 2): the root, heatmap px; 0 where the weight is 0.
        - keypoint_weights (1, 1): 1 where the root is labelled and inside, else 0.
        - root_depths (1, 1): mm; 0 where its weight is 0.
        - root_priors (1, 1): k, mm (``RootDepthPrior``); 0 where the weight is 0.
        - depth_weights (1, 1): 1 where depth and prior are known and the root is supervised, else
          0.

    Args:
        joint_set: the samples' joints; its pelvis is the root.
        input_size: (W, H) input px.
        heatmap_size: (w, h) heatmap px.

    Raises:
        ValueError: sizes that make no map. KeyError: a joint set that is unknown or has no pelvis.
    """

    auxiliary_encode_keys = {'has_depth', 'root_depth', 'root_k'}
    label_mapping_table = {
        key: key
        for key in (
            'keypoint_labels', 'keypoint_weights', 'root_depths', 'root_priors', 'depth_weights',
        )
    }  # fmt: skip

    def __init__(
        self,
        joint_set: str = 'muco21',
        input_size: tuple[int, int] = (256, 256),
        heatmap_size: tuple[int, int] = (64, 64),
    ) -> None:
        super().__init__()
        self.joint_set = joint_set
        self.root = get_joint_set(joint_set).index('pelvis')
        self.input_size, self.heatmap_size = tuple(input_size), tuple(heatmap_size)
        self._plane = Integral3DLabel(input_size, (*heatmap_size, 1))

    def encode(
        self,
        keypoints: np.ndarray,
        keypoints_visible: np.ndarray | None = None,
        has_depth: np.ndarray | None = None,
        root_depth: np.ndarray | None = None,
        root_k: np.ndarray | None = None,
    ) -> dict[str, np.ndarray]:
        """Return the targets of one person, see the class.

        Args:
            keypoints: (1, K, 2 or 3) input px; a third coordinate is not read.
            keypoints_visible: (1, K), positive where labelled; all where None.
            has_depth: (1,), positive where the depth is labelled; where None, it is if there is a
                root_depth.
            root_depth: (1,) mm.
            root_k: (1,) mm, nan where there is no camera.

        Raises:
            ValueError: not one person of the joint set; a labelled root, or a depth marked as
                known, that is no number; a 3D sample without a prior.
        """
        joints = len(get_joint_set(self.joint_set))
        if keypoints.shape[:2] != (1, joints):
            raise ValueError(
                f'RootDepthLabel encodes one person of {self.joint_set}, (1, {joints}, 2 or 3), '
                f'got {keypoints.shape}'
            )
        root = slice(self.root, self.root + 1)
        visible = None if keypoints_visible is None else keypoints_visible[:, root]
        plane = self._plane.encode(keypoints[:, root, :2], visible)
        depth = np.nan if root_depth is None else np.asarray(root_depth, dtype=float).item()
        known = np.isfinite(depth) if has_depth is None else np.asarray(has_depth).item() > 0
        if known and not (np.isfinite(depth) and depth > 0):
            raise ValueError(
                f'has_depth is set, but root_depth is {depth} mm: it must lie before the camera'
            )
        if known and root_k is None:
            raise ValueError(
                'a sample with depth has no root_k: put RootDepthPrior after PersonCenterScale'
            )
        prior = np.asarray(root_k, dtype=float).item() if known else np.nan
        weight = plane['keypoint_weights'] * np.isfinite(prior)
        return dict(
            keypoint_labels=plane['keypoint_labels'][..., :2],
            keypoint_weights=plane['keypoint_weights'],
            root_depths=np.where(weight > 0, depth, 0).astype(np.float32),
            root_priors=np.where(weight > 0, prior, 0).astype(np.float32),
            depth_weights=weight.astype(np.float32),
        )

    def decode(self, encoded: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return keypoints (N, 1, 2) input px, float32, and scores (N, 1), which are 1.

        Args:
            encoded: (1, 2) or (N, 1, 2) heatmap px.
        """
        keypoints = np.multiply(encoded, self._plane.scale[:2]).reshape(-1, 1, 2)
        return keypoints.astype(np.float32), np.ones((len(keypoints), 1), dtype=np.float32)
