# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Ray-cast pictures of bodies and boxes on a plane: colours, depth, and who is at every pixel.

World frame of this module: metres, z up, ground at z = 0. B bodies, V vertices, F faces, P pixels =
H x W.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import lru_cache

import cv2
import numpy as np
import warp as wp

from wsp_mm.structures.camera import PinholeCamera

from . import kernels
from .body import BodyModel, body_model
from .clothing import COLUMNS, SLOTS, Outfit, canonical_body
from .scenery import Scenery
from .textures import TEXTURE_COLUMNS

GROUND, SKY, PROP = -1, -2, -3


@dataclass(frozen=True)
class Box:
    """A seat or a step: an upright box. ``center`` (2,) m, ``size`` (3,) m, ``yaw`` degrees,
    ``texture`` a row.
    """

    center: np.ndarray
    size: np.ndarray
    yaw: float
    texture: np.ndarray

    def corners(self) -> np.ndarray:
        """(8, 3) m; the first four at the bottom, counter-clockwise."""
        a = np.deg2rad(self.yaw)
        turn = np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])
        ground = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * 0.5 * np.asarray(self.size)[:2]
        ground = ground @ turn.T + self.center
        return np.concatenate([np.c_[ground, np.zeros(4)], np.c_[ground, np.full(4, self.size[2])]])


# Twelve triangles of a box.
BOX_FACES = np.array(
    [[0, 1, 5], [0, 5, 4], [1, 2, 6], [1, 6, 5], [2, 3, 7], [2, 7, 6], [3, 0, 4], [3, 4, 7], [4, 5, 6], [4, 6,
    7],
     [0, 2, 1], [0, 3, 2]], dtype=np.int32,
)  # fmt: skip


@dataclass
class Rendering:
    """What the renderer knows of one picture.

    Attributes:
        light: (P,) linear RGB on the device, for :meth:`develop`; None when only geometry was asked
            for.
        depth: (H, W) m along the camera's axis; very large where the sky is.
        owner: (H, W) index of the body, or GROUND, SKY (walls too), PROP.
        face: (H, W) face of that body or of all props, -1 elsewhere.
        extent: (B, 4) px, lowest x, y and highest x, y of each whole body's projection; nan behind
            the camera.
        normal: (H, W, 3) of the hit surface in the world, zeros elsewhere; filled on request.
        alone: per body (x0, y0, mask): the pixels that it would cover without the others, in a box
            at x0, y0.
    """

    light: wp.array | None
    depth: np.ndarray
    owner: np.ndarray
    face: np.ndarray
    extent: np.ndarray
    normal: np.ndarray | None = None
    alone: list[tuple[int, int, np.ndarray]] = field(default_factory=list)


@lru_cache(maxsize=2)
def _static(device: str) -> dict[str, wp.array]:
    body, canon = body_model(), canonical_body(body_model())
    return dict(
        faces=wp.array(body.faces, dtype=int, device=device),
        face_part=wp.array(body.face_part, dtype=int, device=device),
        eye_face=wp.array(body.eye_face.astype(np.int32), dtype=int, device=device),
        canonical=wp.array(canon.points.astype(np.float32), dtype=wp.vec3, device=device),
        noise=wp.array(_noise_table(), dtype=float, device=device),
        axes=wp.array(canon.axes.astype(np.float32), dtype=float, device=device),
    )


def _noise_table(size: int = 512, period: int = 64) -> np.ndarray:
    """Noise (size, size) that repeats: three octaves, the coarsest with ``period`` bumps a side."""
    rng = np.random.default_rng(20240)
    total = np.zeros((size, size))
    for octave in range(3):
        n = period * 2**octave
        lattice = np.pad(rng.uniform(-1, 1, (n, n)), 2, mode='wrap')
        fine = cv2.resize(lattice, None, fx=size / n, fy=size / n, interpolation=cv2.INTER_CUBIC)
        margin = 2 * size // n
        total += fine[margin : margin + size, margin : margin + size] / 2**octave
    return (total / 1.2).astype(np.float32)


def default_device() -> str:
    """Warp device to render on: the environment's ``WSP_MM_RENDER_DEVICE`` (such as 'cuda:0'), else
    'cpu'.

    The CPU is the default even where there is a GPU: any number of processes can share the work,
    and a world does not depend on who has which GPU.
    """
    return os.environ.get('WSP_MM_RENDER_DEVICE', 'cpu')


def project_m(camera: PinholeCamera, points: np.ndarray) -> np.ndarray:
    """World points (..., 3) in m to (u px, v px, depth m)."""
    out = camera.project(camera.to_camera(np.asarray(points, dtype=np.float64) * 1000))
    out[..., 2] /= 1000
    return out


class Stage:
    """Bodies and boxes in one world, ready to be looked at by any number of cameras.

    Args:
        surfaces: (B, V, 3) m, posed bodies in the world. normals: (B, V, 3) for shading. outfits:
            length B. boxes: seats and steps.
        scenery: ground, surroundings and light.
        device: Warp device; None: :func:`default_device`.

    Raises:
        ValueError: as many outfits as bodies are needed, and everybody must be dressed.
    """

    def __init__(
        self, surfaces: np.ndarray, normals: np.ndarray, outfits: list[Outfit | None], boxes: list[Box],
        scenery: Scenery, device: str | None = None,
    ) -> None:  # fmt: skip
        if len(surfaces) != len(outfits) or any(outfit is None for outfit in outfits):
            raise ValueError(f'{len(surfaces)} bodies need as many outfits, got {outfits!r:.80}')
        self.device = device or default_device()
        self.body: BodyModel = body_model()
        self.surfaces, self.boxes, self.scenery = surfaces, boxes, scenery
        self._textures_and_people(outfits)
        self._build(np.asarray(normals))

    def _textures_and_people(self, outfits: list[Outfit]) -> None:
        rows = [self.scenery.textures, *(box.texture[None] for box in self.boxes)]
        first = sum(len(row) for row in rows)
        people = np.zeros((max(1, len(outfits)), len(COLUMNS)), dtype=np.float32)
        for i, outfit in enumerate(outfits):
            people[i] = outfit.row
            people[i, 0] = first + i * len(SLOTS)
            rows.append(outfit.textures)
        self._textures = np.concatenate(rows).astype(np.float32).reshape(-1, TEXTURE_COLUMNS)
        self._people = people

    def _build(self, normals: np.ndarray) -> None:
        body, b = self.body, len(self.surfaces)
        v = body.num_vertices
        corners = (
            np.concatenate([box.corners() for box in self.boxes])
            if self.boxes
            else np.zeros((0, 3))
        )
        points = np.concatenate([np.reshape(self.surfaces, (-1, 3)), corners]).astype(np.float32)
        faces = (body.faces[None] + (np.arange(b) * v)[:, None, None]).reshape(-1, 3)
        box_faces = (BOX_FACES[None] + (np.arange(len(self.boxes)) * 8)[:, None, None]).reshape(
            -1, 3
        )
        faces = np.concatenate([faces, box_faces + b * v]).astype(np.int32)
        # Group i + 1 is body i; group 0 the boxes.
        groups = np.concatenate(
            [np.repeat(np.arange(b) + 1, len(body.faces)), np.zeros(len(box_faces))]
        )
        if not len(faces):  # a mesh needs a face: one that no ray meets
            points, faces, groups = (
                np.full((3, 3), -1e4, np.float32),
                np.array([[0, 1, 2]], np.int32),
                np.zeros(1),
            )
        d = self.device
        self.mesh = wp.Mesh(
            points=wp.array(points, dtype=wp.vec3, device=d),
            indices=wp.array(faces.reshape(-1), dtype=int, device=d),
            groups=wp.array(groups.astype(np.int32), dtype=int, device=d),
            bvh_constructor='median' if d == 'cpu' else None,
        )
        normals = normals.reshape(-1, 3) if b else np.zeros((1, 3))
        first = len(self.scenery.textures)
        self._arrays = dict(
            normals=wp.array(normals.astype(np.float32), dtype=wp.vec3, device=d),
            discs=wp.array(self._discs(), dtype=wp.vec4, device=d),
            prop_points=wp.array(
                corners.astype(np.float32) if len(corners) else np.zeros((1, 3), np.float32),
                dtype=wp.vec3,
                device=d,
            ),
            prop_faces=wp.array(
                box_faces.astype(np.int32) if len(box_faces) else np.zeros((1, 3), np.int32),
                dtype=int,
                device=d,
            ),
            prop_texture=wp.array(
                first + np.repeat(np.arange(max(1, len(self.boxes))), 12), dtype=int, device=d
            ),
            people=wp.array(self._people, dtype=float, device=d),
            textures=wp.array(self._textures, dtype=float, device=d),
            world=wp.array(self.scenery.row.astype(np.float32), dtype=float, device=d),
        )

    def look(
        self,
        camera: PinholeCamera,
        width: int,
        height: int,
        color: bool = True,
        normals: bool = False,
    ) -> Rendering:
        """What a camera sees.

        Args:
            camera: mm, its world is this one. width, height: px. color: shade too. normals: fill
                ``Rendering.normal``.
        """
        d, static = self.device, _static(self.device)
        n = width * height
        origin = wp.vec3(*(camera.position / 1000).tolist())
        rays = wp.mat33(*camera.R.T.reshape(-1).tolist())
        f, c = wp.vec2(*camera.f.tolist()), wp.vec2(*camera.c.tolist())
        depth = wp.empty(n, dtype=float, device=d)
        owner, face = wp.empty(n, dtype=int, device=d), wp.empty(n, dtype=int, device=d)
        bary = wp.zeros(n, dtype=wp.vec2, device=d)
        extent = self._extents(camera)
        boxes = self._boxes_px(camera, extent)
        wp.launch(
            kernels.cast, dim=n, device=d,
            inputs=[self.mesh.id, width, len(self.body.faces), len(self.surfaces), origin, rays, f, c,
                    len(boxes), wp.array(boxes, dtype=wp.vec4, device=d)],
            outputs=[depth, owner, face, bary],
        )  # fmt: skip
        image = None
        if color:
            pixels = wp.empty(n, dtype=wp.vec3, device=d)
            a = self._arrays
            wp.launch(
                kernels.shade, dim=n, device=d,
                inputs=[
                    self.mesh.id, width, origin, rays, f, c, self.body.num_vertices, len(self.surfaces),
                    len(self.boxes),
                    a['discs'], static['noise'], depth, owner, face, bary, static['faces'],
                    static['face_part'], static['eye_face'], a['normals'], static['canonical'],
                    a['prop_faces'], a['prop_points'], a['prop_texture'], a['people'], static['axes'],
                    a['textures'], a['world'],
                ],
                outputs=[pixels],
            )  # fmt: skip
            image = pixels
        out = Rendering(
            image, depth.numpy().reshape(height, width), owner.numpy().reshape(height, width),
            face.numpy().reshape(height, width), extent,
        )  # fmt: skip
        if normals:
            out.normal = self._normals(out)
        out.alone = [
            self._alone(i, width, height, (origin, rays, f, c), out, owner)
            for i in range(len(self.surfaces))
        ]
        return out

    def _discs(self) -> np.ndarray:
        """Upright cylinders (n, 4) x, y, radius, height around every body and box."""
        clouds = [surface[self.body.on_surface] for surface in self.surfaces] + [
            box.corners() for box in self.boxes
        ]
        discs = np.zeros((max(1, len(clouds)), 4), dtype=np.float32)
        for i, cloud in enumerate(clouds):
            low, high = cloud.min(axis=0), cloud.max(axis=0)
            middle = (low + high)[:2] / 2
            discs[i] = (
                *middle,
                np.sqrt(((cloud[:, :2] - middle) ** 2).sum(axis=1).max()) + 0.01,
                high[2] + 0.01,
            )
        return discs

    def _extents(self, camera: PinholeCamera) -> np.ndarray:
        out = np.full((len(self.surfaces), 4), np.nan)
        for i, surface in enumerate(self.surfaces):
            projected = project_m(camera, surface[self.body.on_surface])
            if (projected[:, 2] > 0).all():
                out[i] = *projected[:, :2].min(axis=0), *projected[:, :2].max(axis=0)
        return out

    def _boxes_px(self, camera: PinholeCamera, extent: np.ndarray) -> np.ndarray:
        """Everywhere that a body or a box may be seen, (n, 4) px with a margin; the whole plane
        where it is near the camera.
        """
        boxes = [extent]
        for box in self.boxes:
            projected = project_m(camera, box.corners())
            good = (projected[:, 2] > 0).all()
            boxes.append(
                np.r_[projected[:, :2].min(axis=0), projected[:, :2].max(axis=0)][None]
                if good
                else np.full((1, 4), np.nan)
            )
        out = np.concatenate([*boxes, np.zeros((0, 4))]) + np.array([-1, -1, 1, 1])
        out[(~np.isfinite(out)).any(axis=1)] = (-1e9, -1e9, 1e9, 1e9)
        return out.astype(np.float32) if len(out) else np.full((1, 4), -1e9, np.float32)

    def _normals(self, seen: Rendering) -> np.ndarray:
        normal = np.zeros((*seen.owner.shape, 3))
        normal[seen.owner == GROUND] = (0, 0, 1)
        for i, surface in enumerate(self.surfaces):
            mask = seen.owner == i
            corners = surface[self.body.faces[seen.face[mask]]]
            n = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
            normal[mask] = n / np.maximum(np.linalg.norm(n, axis=1, keepdims=True), 1e-12)
        return normal

    def _alone(
        self, i: int, width: int, height: int, view: tuple, seen: Rendering, owner: wp.array
    ) -> tuple[int, int, np.ndarray]:
        """Box and mask of the pixels that body i would cover without the others."""
        low, high = seen.extent[i, :2], seen.extent[i, 2:]
        empty = 0, 0, np.zeros((0, 0), bool)
        if np.isnan(low).any():  # partly behind the camera: may be anywhere
            low, high = np.zeros(2), np.array([width, height])
        x0, y0 = np.maximum(np.floor(low).astype(int), 0)
        x1, y1 = np.minimum(np.ceil(high).astype(int) + 1, (width, height))
        if x1 <= x0 or y1 <= y0:
            return empty
        # Where nobody and nothing else was hit before, the picture already knows.
        window = seen.owner[y0:y1, x0:x1]
        if not ((window != i) & ((window >= 0) | (window == PROP))).any():
            return int(x0), int(y0), window == i
        size = (y1 - y0) * (x1 - x0)
        covered = wp.zeros(int(size), dtype=wp.uint8, device=self.device)
        root = self._root(i)
        wp.launch(
            kernels.fill, dim=int(size), device=self.device,
            inputs=[self.mesh.id, width, *view, i, root, int(x0), int(y0), int(x1 - x0), owner],
            outputs=[covered],
        )  # fmt: skip
        return int(x0), int(y0), covered.numpy().reshape(y1 - y0, x1 - x0) > 0

    def _root(self, i: int) -> int:
        if not hasattr(self, '_roots'):
            roots = wp.empty(len(self.surfaces), dtype=int, device=self.device)
            wp.launch(
                kernels.group_roots,
                dim=len(self.surfaces),
                inputs=[self.mesh.id],
                outputs=[roots],
                device=self.device,
            )
            self._roots = roots.numpy()
        return int(self._roots[i])

    def develop(self, light: wp.array, width: int, height: int, gamma: float) -> np.ndarray:
        """8-bit RGB (H, W, 3) from the light that :meth:`look` found."""
        out = wp.empty((width * height, 3), dtype=wp.uint8, device=self.device)
        wp.launch(
            kernels.develop,
            dim=width * height,
            inputs=[light, gamma],
            outputs=[out],
            device=self.device,
        )
        return out.numpy().reshape(height, width, 3)
