# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""The body that everybody in the embedded world has: anny's mesh and rig, and what we know about
their parts.

Frames. A body stands in its *body frame*: metres, z up, facing -y, its own left at +x, the pelvis
at the origin. B bodies, V vertices, F faces, N bones.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch

from .mesh_reduction import collapse_short_edges

if TYPE_CHECKING:
    from anny import Anny

# Part of the body that a face belongs to, from the bone that moves it most.
PARTS = (
    'head', 'neck', 'torso', 'pelvis', 'left_upper_arm', 'right_upper_arm', 'left_forearm', 'right_forearm',
    'left_hand', 'right_hand', 'left_thigh', 'right_thigh', 'left_shin', 'right_shin', 'left_foot',
    'right_foot',
)  # fmt: skip
PART_INDEX = {name: i for i, name in enumerate(PARTS)}

_BONE_PARTS = (
    ('upperleg', 'thigh'), ('lowerleg', 'shin'), ('foot', 'foot'), ('toe', 'foot'), ('upperarm', 'upper_arm'),
    ('lowerarm', 'forearm'), ('wrist', 'hand'), ('finger', 'hand'), ('metacarpal', 'hand'),
)  # fmt: skip
_TRUNK_BONES = (
    ('pelvis', 'pelvis'), ('root', 'pelvis'), ('spine05', 'pelvis'), ('spine', 'torso'), ('clavicle', 'torso'),
    ('shoulder', 'torso'), ('neck', 'neck'), ('head', 'head'), ('eye', 'head'),
)  # fmt: skip

# Inner surfaces that no camera sees.
_INNER = ('mouth_cavity', 'tongue', 'eye_back.L', 'eye_back.R', 'eye_cavity.L', 'eye_cavity.R')


def part_of_bone(bone: str) -> int:
    """Index in :data:`PARTS` of the part that a bone moves.

    Raises:
        KeyError: the bone is not one of anny's.
    """
    side = {'L': 'left_', 'R': 'right_'}.get(bone.rpartition('.')[2], '')
    for prefix, part in _BONE_PARTS:
        if bone.startswith(prefix):
            return PART_INDEX[side + part]
    for prefix, part in _TRUNK_BONES:
        if bone.startswith(prefix):
            return PART_INDEX[part]
    raise KeyError(f'no body part is known for bone {bone!r}')


# m; edges shorter than this are collapsed: two thirds of anny's faces are fingers, toes and lips.
_FINEST = 0.008


def _with_vertices(full: Anny, keep: torch.Tensor, faces: torch.Tensor) -> Anny:
    """anny with only some of its vertices."""
    data = replace(
        full.to_model_data(),
        template_vertices=full.template_vertices[keep],
        faces=faces,
        texture_coordinates=None,
        face_texture_coordinate_indices=None,
        blendshapes=full.blendshapes[:, keep].contiguous(),
        vertex_bone_weights=full.vertex_bone_weights[keep],
        vertex_bone_indices=full.vertex_bone_indices[keep],
        base_mesh_vertex_indices=full.base_mesh_vertex_indices[keep],
    )
    return (
        type(full)
        .from_model_data(
            data,
            pose_parameterization='local-ref',
            bone_orientation=full.bone_orientation,
            root_identity_orientation=full.root_identity_orientation,
        )
        .eval()
    )


@dataclass
class Shapes:
    """Unposed bodies.

    Attributes:
        rest: anny's rest model (tensors), for :func:`BodyModel.skin`.
        heads: (B, N, 3) m, bone heads in the reference pose (arms 45 degrees down, legs straight).
        sole: (B,) m, height of the soles in that pose (negative: under the pelvis).
        height: (B,) m, stature.
    """

    rest: dict
    heads: np.ndarray
    sole: np.ndarray
    height: np.ndarray

    def __len__(self) -> int:
        return len(self.sole)


def cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cross product of (..., 3) arrays; numpy's own is three times slower."""
    out = np.empty_like(a)
    out[..., 0] = a[..., 1] * b[..., 2] - a[..., 2] * b[..., 1]
    out[..., 1] = a[..., 2] * b[..., 0] - a[..., 0] * b[..., 2]
    out[..., 2] = a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
    return out


class BodyModel:
    """anny with the tables that we derive from it once.

    Attributes:
        bones: names (N,). parents: (N,) index, -1 for the root. index: name -> index.
        faces: (F, 3) outer faces only. face_part: (F,) index in :data:`PARTS`.
        eye_face: (F,) whether the face is the front of an eyeball.
        regressor: (K, V) COCO keypoints and feet from vertices; regressor_labels: their names.
        vertex_part: (V,). on_surface: (V,) whether a face uses the vertex; the others only carry
            keypoints.
        crown: index of the vertex on top of the head.
    """

    def __init__(self) -> None:
        # Warp is told to be quiet before anny starts it.
        import warp as wp

        wp.config.log_level = wp.LOG_WARNING
        import anny
        from anny.face_segmentation import get_face_segmentation_mask
        from anny.keypoints import KeypointsRegressor

        full = anny.Anny().to(torch.float32).eval()
        self.bones = list(full.bone_labels)
        self.parents = np.asarray(full.bone_parents)
        self.index = {name: i for i, name in enumerate(self.bones)}
        self.orientations = full.reference_bone_orientations.numpy().astype(np.float64)
        self.phenotypes = list(full.phenotype_labels)

        bone_part = np.array([part_of_bone(bone) for bone in self.bones])
        weights = full.vertex_bone_weights.numpy()
        main = full.vertex_bone_indices.numpy()[np.arange(len(weights)), weights.argmax(axis=1)]
        vertex_part = bone_part[main]
        inner = get_face_segmentation_mask(full, _INNER).numpy()
        eye = get_face_segmentation_mask(full, ['eye_front.L', 'eye_front.R']).numpy()[~inner]
        faces = full.faces.numpy()[~inner]
        # Eyeballs keep their faces: a label of their own, and one a vertex, so that no edge joins
        # two equal ones.
        labels = vertex_part.copy()
        eye_vertices = np.unique(faces[eye])
        labels[eye_vertices] = len(PARTS) + np.arange(len(eye_vertices))
        faces, source = collapse_short_edges(
            full.template_vertices.numpy().astype(np.float64), faces, labels, _FINEST
        )

        coco = KeypointsRegressor.coco(full)
        regressor = coco.regression_weights.numpy().astype(np.float64)
        self.regressor_labels = list(coco.labels)
        keep = np.zeros(len(vertex_part), dtype=bool)
        keep[np.unique(faces)] = True
        self.on_surface = keep.copy()
        keep |= (regressor != 0).any(axis=0)
        new_index = np.cumsum(keep) - 1
        self.faces = np.ascontiguousarray(new_index[faces]).astype(np.int32)
        self.eye_face = eye[source]
        self.vertex_part, self.regressor = (
            vertex_part[keep],
            np.ascontiguousarray(regressor[:, keep]),
        )
        self.on_surface = self.on_surface[keep]
        # The highest of a head held upright, as the reference pose holds it.
        self.crown = int(
            np.where(self.on_surface, full.template_vertices.numpy()[keep][:, 2], -9).argmax()
        )
        # A face on a border goes with the majority of its corners, a three-way tie with the first.
        parts = self.vertex_part[self.faces]
        self.face_part = np.where(parts[:, 1] == parts[:, 2], parts[:, 1], parts[:, 0]).astype(
            np.int32
        )
        self.model = _with_vertices(
            full, torch.from_numpy(np.flatnonzero(keep)), torch.from_numpy(self.faces).long()
        )
        self._edge_matrix = self._vertex_face_matrix()

    @property
    def num_vertices(self) -> int:
        return len(self.vertex_part)

    def _vertex_face_matrix(self):
        from scipy import sparse

        rows = self.faces.reshape(-1)
        cols = np.repeat(np.arange(len(self.faces)), 3)
        data = np.ones(len(rows), dtype=np.float32)
        return sparse.csr_matrix((data, (rows, cols)), shape=(self.num_vertices, len(self.faces)))

    def vertex_normals(self, vertices: np.ndarray) -> np.ndarray:
        """Unit normals (V, 3) of one body's vertices (V, 3), averaged over faces by their area."""
        vertices = np.asarray(vertices, dtype=np.float32)
        a, b, c = (vertices[self.faces[:, k]] for k in range(3))
        summed = self._edge_matrix @ cross(b - a, c - a)
        return summed / np.maximum(np.sqrt((summed * summed).sum(axis=1, keepdims=True)), 1e-12)

    def shapes(self, phenotypes: np.ndarray) -> Shapes:
        """Unposed bodies for phenotype values (B, 6) in [0, 1], ordered as :attr:`phenotypes`.

        Raises:
            ValueError: wrong number of columns, or a value outside [0, 1].
        """
        phenotypes = np.asarray(phenotypes, dtype=np.float32)
        if phenotypes.ndim != 2 or phenotypes.shape[1] != len(self.phenotypes):
            raise ValueError(
                f'phenotypes must be (B, {len(self.phenotypes)}), got {phenotypes.shape}'
            )
        if not ((phenotypes >= 0) & (phenotypes <= 1)).all():
            raise ValueError('phenotype values must lie in [0, 1]')
        with torch.no_grad():
            values = {
                name: torch.from_numpy(phenotypes[:, i]) for i, name in enumerate(self.phenotypes)
            }
            coefficients = self.model.get_phenotype_blendshape_coefficients(**values)
            rest = self.model.get_rest_model(coefficients)
            identity = torch.eye(4).expand(len(phenotypes), len(self.bones), 4, 4)
            _, poses = self.model.get_bone_transforms(identity, rest['rest_bone_poses'])
        z = rest['rest_vertices'][..., 2].numpy().astype(np.float64)
        return Shapes(
            rest, poses[:, :, :3, 3].numpy().astype(np.float64), z.min(1), z.max(1) - z.min(1)
        )

    def skin(self, shapes: Shapes, rotations: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Posed bodies.

        Args:
            shapes: B bodies.
            rotations: (B, N, 3, 3) rotation of each bone relative to its parent, in the axes of the
                body frame at the reference pose (anny's ``local-ref``); the root's is the pelvis'
                orientation.

        Returns:
            vertices (B, V, 3) and bone heads (B, N, 3), m, pelvis at the origin.
        """
        deltas = np.zeros((*rotations.shape[:2], 4, 4), dtype=np.float32)
        deltas[..., :3, :3] = rotations
        deltas[..., 3, 3] = 1
        with torch.no_grad():
            transforms, poses = self.model.get_bone_transforms(
                torch.from_numpy(deltas), shapes.rest['rest_bone_poses']
            )
            vertices = self.model.get_skinned_vertices(shapes.rest['rest_vertices'], transforms)
        return vertices.numpy().astype(np.float64), poses[:, :, :3, 3].numpy().astype(np.float64)


@lru_cache(maxsize=1)
def body_model() -> BodyModel:
    """The one body model of this process (building it takes 0.5 s, 1-2 minutes before anny has its
    cache).
    """
    return BodyModel()
