# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""The body of everybody in the embedded world: anny's mesh and rig, and tables derived from them.

Frames. A body stands in its *body frame*: metres, z up, facing -y, its own left at +x, the pelvis
at the origin. B bodies, V vertices, F faces, N bones.
"""

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
import warp as wp
from scipy import sparse

from .mesh import collapse_short_edges

# Part of the body that a face belongs to, from the bone that moves it most.
PARTS = (
    'head', 'neck', 'torso', 'pelvis', 'left_upper_arm', 'right_upper_arm', 'left_forearm',
    'right_forearm', 'left_hand', 'right_hand', 'left_thigh', 'right_thigh', 'left_shin',
    'right_shin', 'left_foot', 'right_foot',
)  # fmt: skip
PART_INDEX = {name: i for i, name in enumerate(PARTS)}

# Beginning of a bone's name -> part; parts that come in pairs have the bone's side.
_BONE_PARTS = {
    'upperleg': 'thigh', 'lowerleg': 'shin', 'foot': 'foot', 'toe': 'foot',
    'upperarm': 'upper_arm', 'lowerarm': 'forearm', 'wrist': 'hand', 'finger': 'hand',
    'metacarpal': 'hand', 'pelvis': 'pelvis', 'root': 'pelvis', 'spine05': 'pelvis',
    'spine': 'torso', 'clavicle': 'torso', 'shoulder': 'torso', 'neck': 'neck', 'head': 'head',
    'eye': 'head',
}  # fmt: skip

# Inner surfaces that no camera sees.
_INNER = ('mouth_cavity', 'tongue', 'eye_back.L', 'eye_back.R', 'eye_cavity.L', 'eye_cavity.R')
# m; edges shorter than this are collapsed: two thirds of anny's faces are fingers, toes and lips.
_SHORTEST_EDGE = 0.008


def part_of_bone(bone: str) -> int:
    """Index in :data:`PARTS` of the part that a bone moves.

    Raises:
        KeyError: the bone is not one of anny's.
    """
    side = {'L': 'left_', 'R': 'right_'}.get(bone.rpartition('.')[2], '')
    for prefix, part in _BONE_PARTS.items():
        if bone.startswith(prefix):
            return PART_INDEX[part if part in PART_INDEX else side + part]
    raise KeyError(f'no body part is known for bone {bone!r}')


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
    for k, i, j in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        out[..., k] = a[..., i] * b[..., j] - a[..., j] * b[..., i]
    return out


class BodyModel:
    """anny with fewer faces, and the tables that are derived from it once.

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
        wp.config.log_level = wp.LOG_WARNING  # before anny starts Warp
        import anny
        from anny.face_segmentation import get_face_segmentation_mask
        from anny.keypoints import KeypointsRegressor

        full = anny.Anny().to(torch.float32).eval()
        self.bones = list(full.bone_labels)
        self.parents = np.asarray(full.bone_parents)
        self.index = {name: i for i, name in enumerate(self.bones)}
        self.orientations = full.reference_bone_orientations.numpy().astype(np.float64)
        self.phenotypes = list(full.phenotype_labels)

        main = full.vertex_bone_weights.argmax(dim=1, keepdim=True)
        main = full.vertex_bone_indices.gather(1, main)[:, 0].numpy()
        vertex_part = np.array([part_of_bone(bone) for bone in self.bones])[main]
        inner = get_face_segmentation_mask(full, _INNER).numpy()
        eye = get_face_segmentation_mask(full, ['eye_front.L', 'eye_front.R']).numpy()[~inner]
        faces = full.faces.numpy()[~inner]
        # Vertices of eyeballs have a label each, so that eyeballs keep their faces.
        labels = vertex_part.copy()
        eye_vertices = np.unique(faces[eye])
        labels[eye_vertices] = len(PARTS) + np.arange(len(eye_vertices))
        template = full.template_vertices.numpy().astype(np.float64)
        faces = collapse_short_edges(template, faces, labels, _SHORTEST_EDGE)

        coco = KeypointsRegressor.coco(full)
        regressor = coco.regression_weights.numpy().astype(np.float64)
        self.regressor_labels = list(coco.labels)
        on_surface = np.isin(np.arange(len(template)), faces)
        keep = np.flatnonzero(on_surface | (regressor != 0).any(axis=0))
        self.on_surface = on_surface[keep]
        self.faces = np.ascontiguousarray(np.searchsorted(keep, faces), dtype=np.int32)
        self.eye_face = np.isin(faces, eye_vertices).all(axis=1)
        self.vertex_part = vertex_part[keep]
        self.regressor = np.ascontiguousarray(regressor[:, keep])
        # The highest of a head held upright, as the reference pose holds it.
        self.crown = int(np.where(self.on_surface, template[keep][:, 2], -9).argmax())
        # A face on a border goes with the majority of its corners, a three-way tie with the first.
        a, b, c = self.vertex_part[self.faces].T
        self.face_part = np.where(b == c, b, a).astype(np.int32)
        data = replace(
            full.to_model_data(),
            template_vertices=full.template_vertices[keep],
            faces=torch.from_numpy(self.faces).long(),
            texture_coordinates=None,
            face_texture_coordinate_indices=None,
            blendshapes=full.blendshapes[:, keep].contiguous(),
            vertex_bone_weights=full.vertex_bone_weights[keep],
            vertex_bone_indices=full.vertex_bone_indices[keep],
            base_mesh_vertex_indices=full.base_mesh_vertex_indices[keep],
        )
        self.model = anny.Anny.from_model_data(
            data,
            pose_parameterization='local-ref',
            bone_orientation=full.bone_orientation,
            root_identity_orientation=full.root_identity_orientation,
        ).eval()
        corners = self.faces.reshape(-1), np.repeat(np.arange(len(self.faces)), 3)
        ones = np.ones(self.faces.size, dtype=np.float32)
        self._vertex_of_face = sparse.csr_matrix((ones, corners), (len(keep), len(self.faces)))

    def vertex_normals(self, vertices: np.ndarray) -> np.ndarray:
        """Unit normals (V, 3) of one body's vertices (V, 3), averaged over faces by their area."""
        a, b, c = vertices.astype(np.float32)[self.faces.T]
        summed = self._vertex_of_face @ cross(b - a, c - a)
        return summed / np.maximum(np.sqrt((summed * summed).sum(axis=1, keepdims=True)), 1e-12)

    def shapes(self, phenotypes: np.ndarray) -> Shapes:
        """Unposed bodies for phenotype values (B, 6) in [0, 1], ordered as :attr:`phenotypes`."""
        phenotypes = np.asarray(phenotypes, dtype=np.float32)
        columns = zip(self.phenotypes, torch.from_numpy(phenotypes).T, strict=True)
        with torch.no_grad():
            coefficients = self.model.get_phenotype_blendshape_coefficients(**dict(columns))
            rest = self.model.get_rest_model(coefficients)
            identity = torch.eye(4).expand(len(phenotypes), len(self.bones), 4, 4)
            _, poses = self.model.get_bone_transforms(identity, rest['rest_bone_poses'])
        z = rest['rest_vertices'][..., 2].numpy().astype(np.float64)
        heads = poses[:, :, :3, 3].numpy().astype(np.float64)
        return Shapes(rest, heads, z.min(1), z.max(1) - z.min(1))

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
        deltas = torch.eye(4).repeat(*rotations.shape[:2], 1, 1)
        deltas[..., :3, :3] = torch.from_numpy(rotations)
        with torch.no_grad():
            rest = shapes.rest
            transforms, poses = self.model.get_bone_transforms(deltas, rest['rest_bone_poses'])
            vertices = self.model.get_skinned_vertices(rest['rest_vertices'], transforms)
        return vertices.numpy().astype(np.float64), poses[:, :, :3, 3].numpy().astype(np.float64)


@lru_cache(maxsize=1)
def body_model() -> BodyModel:
    """The one body model of this process.

    Building it takes 0.5 s, 1 to 2 minutes before anny has its cache.
    """
    return BodyModel()
