# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""The root joint's place in the crop <-> cells, and what its depth is learned from."""

from __future__ import annotations

import numpy as np
from mmpose.codecs.base import BaseKeypointCodec
from mmpose.registry import KEYPOINT_CODECS

from wsp_mm.structures.keypoints import get_joint_set


@KEYPOINT_CODECS.register_module()
class RootDepthLabel(BaseKeypointCodec):
    """Targets of :class:`RootDepthHead`: the root's cells, its depth and the prior that is to be
    corrected.

    Cells are counted as in PoseNet: ``x * w / W``, without an offset of half a cell. A root that is
    not labelled or outside of the input loses all its supervision; a sample without depth (of a 2D
    data set, or without a camera) that of the depth.

    Encoded:

        - root_cells (1, 2): cells; 0 where the weight is 0.
        - root_weights (1,): 1 where the root is labelled and inside, else 0.
        - root_depths (1,): mm; 0 where its weight is 0.
        - root_priors (1,): k, mm (``RootDepthPrior``); 0 where the weight is 0.
        - depth_weights (1,): 1 where depth and prior are known and the root is supervised, else 0.

    Args:
        joint_set: the samples' joints; its pelvis is the root.
        input_size: (W, H) input px.
        heatmap_size: (w, h) cells.

    Raises:
        ValueError: sizes that make no map. KeyError: a joint set that is unknown or has no pelvis.
    """

    auxiliary_encode_keys = {'has_depth', 'root_depth', 'root_k'}
    label_mapping_table = {
        name: name
        for name in ('root_cells', 'root_weights', 'root_depths', 'root_priors', 'depth_weights')
    }

    def __init__(
        self,
        joint_set: str = 'muco21',
        input_size: tuple[int, int] = (256, 256),
        heatmap_size: tuple[int, int] = (64, 64),
    ) -> None:
        super().__init__()
        if (
            len(input_size) != 2
            or min(input_size) < 1
            or len(heatmap_size) != 2
            or min(heatmap_size) < 1
        ):
            raise ValueError(
                f'no map of {tuple(heatmap_size)} cells (w, h) for an input of {tuple(input_size)} px'
            )
        self.joint_set = joint_set
        self.num_joints = len(get_joint_set(joint_set))
        self.root = get_joint_set(joint_set).index('pelvis')
        self.input_size, self.heatmap_size = tuple(input_size), tuple(heatmap_size)
        #: (x, y) input px a cell.
        self.cell = np.array(self.input_size) / np.array(self.heatmap_size)

    def encode(
        self,
        keypoints: np.ndarray,
        keypoints_visible: np.ndarray | None = None,
        has_depth: np.ndarray | None = None,
        root_depth: np.ndarray | None = None,
        root_k: np.ndarray | None = None,
    ) -> dict[str, np.ndarray]:
        """Targets of one person, see the class.

        Args:
            keypoints: (1, K, 2 or 3) input px; a third coordinate is not read.
            keypoints_visible: (1, K), positive where labelled; all where None.
            has_depth: (1,), positive where the depth is labelled; where None, it is if there is a
                root_depth.
            root_depth: (1,) mm.
            root_k: (1,) mm, nan where there is no camera.

        Raises:
            ValueError: not one person of the joint set; a labelled root, or a depth that is said to
                be known, that is no number; a 3D sample without a prior.
        """
        keypoints = np.asarray(keypoints, dtype=np.float64)
        if (
            keypoints.shape[:2] != (1, self.num_joints)
            or keypoints.ndim != 3
            or keypoints.shape[2] not in (2, 3)
        ):
            raise ValueError(
                f'RootDepthLabel encodes one person of {self.joint_set}, (1, {self.num_joints}, 2 or 3), got '
                f'keypoints {keypoints.shape}'
            )
        labelled = keypoints_visible is None or bool(
            np.asarray(keypoints_visible)[0, self.root] > 0
        )
        place = keypoints[0, self.root, :2]
        if labelled and not np.isfinite(place).all():
            raise ValueError(
                f'the root is labelled, but its position is {place.tolist()} px: mark it as not visible or '
                'mend the annotation'
            )
        cells = place / self.cell
        with np.errstate(invalid='ignore'):
            usable = labelled and bool(((cells >= 0) & (cells < self.heatmap_size)).all())
        depth, prior = self._depth(has_depth, root_depth, root_k)
        deep = usable and depth is not None
        return dict(
            root_cells=(cells if usable else np.zeros(2))[None].astype(np.float32),
            root_weights=np.array([usable], dtype=np.float32),
            root_depths=np.array([depth if deep else 0], dtype=np.float32),
            root_priors=np.array([prior if deep else 0], dtype=np.float32),
            depth_weights=np.array([deep], dtype=np.float32),
        )

    @staticmethod
    def _depth(has_depth, root_depth, root_k) -> tuple[float | None, float | None]:
        """Depth and prior, mm, or None twice for a sample without depth."""
        depth = np.nan if root_depth is None else float(np.asarray(root_depth).reshape(()))
        known = (
            np.isfinite(depth) if has_depth is None else bool(np.asarray(has_depth).reshape(()) > 0)
        )
        if not known:
            return None, None
        if not (np.isfinite(depth) and depth > 0):
            raise ValueError(
                f'has_depth is set, but root_depth is {depth} mm: it must lie before the camera'
            )
        if root_k is None:
            raise ValueError(
                'a sample with depth has no root_k: put RootDepthPrior after PersonCenterScale'
            )
        prior = float(np.asarray(root_k).reshape(()))
        return (depth, prior) if np.isfinite(prior) else (None, None)

    def decode(self, encoded: np.ndarray) -> np.ndarray:
        """Cells (..., 2) to input px (..., 2), float32."""
        return (np.asarray(encoded, dtype=np.float64) * self.cell).astype(np.float32)
