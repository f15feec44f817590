# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Ray casting of bodies and boxes on a plane: colors, depth, and who is at every pixel.

World frame of this module: metres, z up, ground at z = 0. B bodies, V vertices, F faces, P pixels =
H x W.
"""

import os
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import warp as wp

from wsp_mm.structures.camera import PinholeCamera

from . import kernels
from .body import body_model
from .clothing import Outfit, template_body
from .scenery import Scenery
from .surface_kernels import BodyTables, OutfitRow, SceneryRow
from .texture_kernels import TextureRow
from .textures import Texture, texture_rows

GROUND, SKY, PROP = -1, -2, -3
# Which end of an extent (x, y, z) each of its eight corners has: the lower four, counter-clockwise,
# then the upper four.
_CORNERS = np.array([[0, 0], [1, 0], [1, 1], [0, 1]] * 2)
_CORNERS = np.c_[_CORNERS, np.repeat([0, 1], 4)]
# Twelve triangles of a box.
BOX_FACES = np.array(
    [[0, 1, 5], [0, 5, 4], [1, 2, 6], [1, 6, 5], [2, 3, 7], [2, 7, 6], [3, 0, 4], [3, 4, 7],
     [4, 5, 6], [4, 6, 7], [0, 2, 1], [0, 3, 2]], dtype=np.int32,
)  # fmt: skip


@dataclass(frozen=True)
class Box:
    """A seat or a step: an upright box. ``center`` (2,) m, ``size`` (3,) m, ``yaw`` radians."""

    center: np.ndarray
    size: np.ndarray
    yaw: float
    texture: Texture

    def corners(self) -> np.ndarray:
        """(8, 3) m; the first four at the bottom, counter-clockwise."""
        c, s = np.cos(self.yaw), np.sin(self.yaw)
        corners = (_CORNERS - (0.5, 0.5, 0)) * self.size
        corners[:, :2] = corners[:, :2] @ [[c, s], [-s, c]] + self.center
        return corners


@dataclass
class Buffers:
    """What the renderer found for one image.

    Attributes:
        view, device_owner: of the kernels. light: (P,) linear RGB on the device; None when only
            geometry was asked for.
        depth: (H, W) m along the camera's axis; very large where the sky is.
        owner: (H, W) index of the body, or GROUND, SKY (walls too), PROP.
        face: (H, W) face of that body or of all boxes, -1 elsewhere.
        windows: (B + boxes, 4) px, x0, y0, x1, y1 of everywhere that an object may be seen.
    """

    view: kernels.View
    device_owner: wp.array
    light: wp.array | None
    depth: np.ndarray
    owner: np.ndarray
    face: np.ndarray
    windows: np.ndarray


def default_device() -> str:
    """Warp device to render on: the environment's ``WSP_MM_RENDER_DEVICE`` (such as 'cuda:0'), else
    'cpu'.

    The CPU is the default even where there is a GPU: any number of processes can share the work,
    and a world does not depend on who has which GPU.
    """
    return os.environ.get('WSP_MM_RENDER_DEVICE', 'cpu')


def project_m(camera: PinholeCamera, points: np.ndarray) -> np.ndarray:
    """World points (..., 3) in m to (u px, v px, depth m); pixels are nan behind the camera."""
    out = camera.project(camera.to_camera(np.asarray(points, dtype=np.float64) * 1000))
    out[..., 2] /= 1000
    return out


def window_of(camera: PinholeCamera, points: np.ndarray) -> np.ndarray:
    """Extents (..., 4) px, x0, y0, x1, y1, of clouds (..., n, 3) m of points in the world.

    Everything is possible (-1e9 to 1e9) where a point is less than 0.2 m before the camera.
    """
    projected = project_m(camera, points)
    good = (projected[..., 2] > 0.2).all(axis=-1)[..., None]
    px = np.where(good[..., None], projected[..., :2], 0.0)
    low, high = (np.where(good, end, limit) for end, limit in
                 ((px.min(axis=-2) - 1, -1e9), (px.max(axis=-2) + 1, 1e9)))  # fmt: skip
    return np.concatenate([low, high], axis=-1)


def whole_pixels(window: np.ndarray, width: int, height: int) -> tuple[int, int, int, int]:
    """A window x0, y0, x1, y1 as a range of pixels inside the image; x1, y1 are excluded."""
    low, high = np.floor(window[:2]).astype(int), np.ceil(window[2:]).astype(int) + 1
    ends = np.clip(np.r_[low, high], 0, [width, height, width, height])
    return tuple(ends.tolist())


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


@lru_cache(maxsize=2)
def _body_tables(device: str) -> BodyTables:
    body, template, tables = body_model(), template_body(), BodyTables()
    for name, value, dtype in (
        ('faces', body.faces, int), ('face_part', body.face_part, int),
        ('eye_face', body.eye_face.astype(np.int32), int), ('noise', _noise_table(), float),
        ('points', template.points.astype(np.float32), wp.vec3),
        ('axes', template.axes.astype(np.float32), wp.vec3),
    ):  # fmt: skip
        setattr(tables, name, wp.array(value, dtype=dtype, device=device))
    tables.num_vertices = len(template.points)
    for name in ('shoulder', 'wrist', 'hip', 'ankle', 'head_y', 'eye_x', 'eye_z'):
        setattr(tables, name, template.marks[name])
    return tables


class Renderer:
    """Bodies and boxes in one world, ready for any number of cameras.

    Args:
        surfaces: (B, V, 3) m, posed bodies in the world. normals: (B, V, 3) for shading. outfits:
            length B. boxes: seats and steps.
        scenery: ground, surroundings and light.
    """

    def __init__(
        self, surfaces: np.ndarray, normals: np.ndarray, outfits: list[Outfit], boxes: list[Box],
        scenery: Scenery,
    ) -> None:  # fmt: skip
        self.device, self.body = default_device(), body_model()
        self.num_bodies = len(surfaces)
        box_corners = [box.corners() for box in boxes]
        clouds = [surface[self.body.on_surface] for surface in surfaces] + box_corners
        ends = np.array([(c.min(axis=0), c.max(axis=0)) for c in clouds]).reshape(-1, 2, 3)
        self.corners = ends[:, _CORNERS, range(3)]
        self.world = SceneryRow()
        for name, value in scenery.light.items():
            setattr(self.world, name, value)
        self.objects = kernels.Objects()
        self._add_mesh(surfaces, np.reshape(box_corners, (-1, 3)))
        radius = np.hypot(*np.ptp(ends, axis=1)[:, :2].T) / 2
        discs = np.c_[ends.mean(axis=1)[:, :2], radius + 0.01, ends[:, 1, 2] + 0.01]
        walls = [scenery.ground, *scenery.walls]
        textures = [*walls, *(box.texture for box in boxes)]
        rows = []
        for outfit in outfits:
            fields = outfit.fields | {'first_texture': len(textures)}
            rows.append(tuple(fields[name] for name in OutfitRow.numpy_dtype()['names']))
            textures += outfit.textures
        box_textures = len(walls) + np.repeat(np.arange(len(boxes)), len(BOX_FACES))
        rows = np.array(rows, dtype=OutfitRow.numpy_dtype())
        self._set('normals', np.reshape(normals, (-1, 3)), wp.vec3)
        self._set('discs', discs, wp.vec4)
        self._set('outfits', rows, OutfitRow)
        self._set('textures', texture_rows(textures), TextureRow)
        self._set('box_texture', box_textures, int)

    def _set(self, name: str, values: np.ndarray, dtype: type) -> None:
        if values.dtype.kind in 'fi':
            values = values.astype(np.int32 if dtype is int else np.float32)
        setattr(self.objects, name, wp.array(values, dtype=dtype, device=self.device))

    def _add_mesh(self, surfaces: np.ndarray, box_corners: np.ndarray) -> None:
        """Mesh of all bodies, then all boxes; body i is group i + 1, boxes are group 0."""
        b, v, faces = self.num_bodies, len(self.body.vertex_part), self.body.faces
        points = np.concatenate([np.reshape(surfaces, (-1, 3)), box_corners])
        first = np.arange(len(box_corners) // 8)[:, None, None] * 8
        box_faces = (BOX_FACES + first).reshape(-1, 3)
        faces = (faces + np.arange(b)[:, None, None] * v).reshape(-1, 3)
        groups = np.repeat(np.arange(b) + 1, len(self.body.faces))
        faces = np.concatenate([faces, box_faces + b * v])
        groups = np.r_[groups, np.zeros(len(box_faces))]
        if not len(faces):  # a mesh needs a face: one that no ray meets
            points, faces, groups = np.full((3, 3), -1e4), np.array([[0, 1, 2]]), np.zeros(1)
        arrays = dict(
            points=(points.astype(np.float32), wp.vec3),
            indices=(faces.astype(np.int32).ravel(), int),
            groups=(groups.astype(np.int32), int),
        )
        self.mesh = wp.Mesh(
            **{k: wp.array(a, dtype=t, device=self.device) for k, (a, t) in arrays.items()},
            bvh_constructor='median' if self.device == 'cpu' else None,
        )
        self.objects.mesh = self.mesh.id
        self.objects.num_bodies, self.objects.faces_per_body = b, len(self.body.faces)
        self._set('box_points', box_corners, wp.vec3)
        self._set('box_faces', box_faces, int)

    def render(self, camera: PinholeCamera, width: int, height: int, color: bool = True) -> Buffers:
        """What a camera sees.

        Args:
            camera: mm, its world is this one. width, height: px. color: shade too.
        """
        d, n, view = self.device, width * height, kernels.View()
        view.origin, view.rays = wp.vec3(*camera.position / 1000), wp.mat33(*camera.R.T.ravel())
        view.f, view.c, view.width = wp.vec2(*camera.f), wp.vec2(*camera.c), width
        windows = window_of(camera, self.corners)
        self._set('windows', windows, wp.vec4)
        depth, bary = wp.empty(n, dtype=float, device=d), wp.zeros(n, dtype=wp.vec2, device=d)
        owner, face = wp.empty(n, dtype=int, device=d), wp.empty(n, dtype=int, device=d)
        hits = [depth, owner, face, bary]
        wp.launch(kernels.cast, dim=n, device=d, inputs=[view, self.objects], outputs=hits)
        light = None
        if color:
            light = wp.empty(n, dtype=wp.vec3, device=d)
            inputs = [view, self.objects, self.world, _body_tables(d), *hits]
            wp.launch(kernels.shade, dim=n, device=d, inputs=inputs, outputs=[light])
        arrays = (array.numpy().reshape(height, width) for array in (depth, owner, face))
        return Buffers(view, owner, light, *arrays, windows)

    def cover(self, i: int, seen: Buffers) -> tuple[int, int, np.ndarray]:
        """The pixels that body i would cover without the others: x0, y0 and mask of a window."""
        height, width = seen.owner.shape
        x0, y0, x1, y1 = whole_pixels(seen.windows[i], width, height)
        if x1 <= x0 or y1 <= y0:
            return 0, 0, np.zeros((0, 0), bool)
        # Where no other body or box was hit, the image already knows.
        window = seen.owner[y0:y1, x0:x1]
        if not ((window != i) & ((window >= 0) | (window == PROP))).any():
            return x0, y0, window == i
        covered = wp.zeros(window.size, dtype=wp.uint8, device=self.device)
        inputs = [seen.view, self.objects, i, x0, y0, x1 - x0, seen.device_owner]
        wp.launch(
            kernels.cover, dim=window.size, device=self.device, inputs=inputs, outputs=[covered]
        )
        return x0, y0, covered.numpy().reshape(window.shape) > 0

    def tone_map(self, seen: Buffers, gamma: float) -> np.ndarray:
        """8-bit RGB (H, W, 3) from the light that :meth:`render` found."""
        out = wp.empty((seen.owner.size, 3), dtype=wp.uint8, device=self.device)
        inputs = [seen.light, gamma]
        wp.launch(kernels.tone_map, dim=len(out), device=self.device, inputs=inputs, outputs=[out])
        return out.numpy().reshape(*seen.owner.shape, 3)


def lens_and_noise(
    image: np.ndarray, blur: float, noise: float, rng: np.random.Generator
) -> np.ndarray:
    """What a soft lens and a sensor make of an image.

    Args:
        image: (H, W, 3) uint8. blur: px, standard deviation. noise: standard deviation in gray
            levels; less than 0.5 is none.

    Returns:
        (H, W, 3) uint8.
    """
    height, width = image.shape[:2]
    image = cv2.GaussianBlur(image, (0, 0), blur)
    if noise < 0.5:
        return image
    # A tile of noise, repeated: as good as fresh noise and much cheaper.
    tile = rng.normal(0, noise, (128, 128)).astype(np.int16)
    grain = np.tile(tile, (-(-height // 128), -(-width // 128)))[:height, :width]
    return cv2.add(image, cv2.merge([grain, grain, grain]), dtype=cv2.CV_8U)
