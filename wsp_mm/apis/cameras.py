# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Which camera took an image: what the user says, and nothing else.

A camera is recorded in every frame of the output together with where it comes from. Without one
there are no camera-space results; none is ever guessed.
"""

import argparse
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from wsp_mm.apis.images import InputError
from wsp_mm.datasets.annotations import load_json
from wsp_mm.datasets.plausibility import FOV_DEG, image_camera
from wsp_mm.structures.camera import PinholeCamera

_LAYOUT = (
    'a camera is {"f": [fx, fy], "c": [cx, cy]} in px, or "K": 3 x 3; optionally "width", "height"'
)
#: Width and height of a resized image are whole numbers, so its scales differ by this at most.
_SAME_ASPECT = 0.01
_FORMS = ('K', 'intrinsic', 'f')
#: Lens distortion under the names that other programs give it.
_LENS = (
    'distortion', 'dist', 'dist_coeffs', 'distCoeffs', 'distortion_coefficients', 'D', 'kc', 'k',
    'p', 'k1', 'k2', 'k3', 'k4', 'k5', 'k6', 'p1', 'p2',
)  # fmt: skip
_KNOWN = (*_FORMS, 'c', 'width', 'height', 'image_width', 'image_height', 'image_size', *_LENS)


def image_center(width: int, height: int) -> tuple[float, float]:
    """Centre of an image, px: where a principal point is taken to be that is not given.

    Pixel centres lie at whole numbers, so the centre of 3 x 3 px is (1, 1).
    """
    return (width - 1) / 2, (height - 1) / 2


class Cameras:
    """The cameras of images, as the user gives them; without arguments there are none.

    Args:
        focal: focal length, or those along x and y, px of the image.
        principal_point: (x, y) px; None takes the image centre and records it as such.
        fov_deg: assumed angle of view across the longer side of the image, degrees. It is recorded
            as an assumption.
        table: file name -> camera as :func:`parse_camera` takes; the empty name is for all images
            without an own entry.
        scale: scale a camera of the table to an image that is larger or smaller than the camera's.

    Raises:
        InputError: numbers that are not a camera, or two answers at once.
    """

    def __init__(
        self,
        focal: float | Sequence[float] | None = None,
        principal_point: Sequence[float] | None = None,
        fov_deg: float | None = None,
        table: Mapping[str, Mapping[str, Any]] | None = None,
        scale: bool = False,
    ) -> None:
        if sum(value is not None for value in (focal, fov_deg, table)) > 1:
            raise InputError(
                'give one of a focal length, a camera file and an assumed field of view'
            )
        if principal_point is not None and focal is None:
            raise InputError('a principal point alone is not a camera: give the focal length, too')
        if fov_deg is not None and not FOV_DEG[0] <= fov_deg <= FOV_DEG[1]:
            hint = f' (radians? {math.degrees(fov_deg):.0f} degrees)' if 0 < fov_deg < 3 else ''
            raise InputError(
                f'a field of view is {FOV_DEG[0]:g} to {FOV_DEG[1]:g} degrees, got {fov_deg}{hint}'
            )
        self.f = self.c = None
        if focal is not None:
            given = parse_camera(
                dict(f=focal, c=(0, 0) if principal_point is None else principal_point)
            )
            self.f, self.c = given['f'], None if principal_point is None else given['c']
        self.scale = scale
        self.fov_deg = None if fov_deg is None else float(fov_deg)
        self.table = table and {name: parse_camera(entry, name) for name, entry in table.items()}

    @classmethod
    def read(cls, path: str | Path, scale: bool = False) -> 'Cameras':
        """Read a camera file: one camera, or ``{"images": {file_name: camera, ...}}``.

        Raises:
            InputError: not of this layout. (A file that is missing or not json has the error of all
                json files.)
        """
        data = load_json(path, remedy='Check --camera')
        if not isinstance(data, dict):
            raise InputError(f'{path}: {_LAYOUT}')
        try:
            table = data['images'] if isinstance(data.get('images'), dict) else {'': data}
            return cls(table=table, scale=scale)
        except InputError as error:
            raise InputError(f'{path}: {error}') from None

    @classmethod
    def of(cls, given: Any) -> 'Cameras':
        """Take None, cameras, the path of a camera file, a :class:`PinholeCamera`, or a dict.

        A dict has the arguments of the class, or is a camera as in a camera file.
        """
        if isinstance(given, Cameras):
            return given
        if isinstance(given, (str, Path)):
            return cls.read(given)
        if isinstance(given, PinholeCamera):
            return cls(focal=given.f, principal_point=given.c)
        if isinstance(given, Mapping) and {'f', 'K', 'intrinsic'} & set(given):
            return cls(table={'': given})
        try:
            return cls(**(given or {}))
        except TypeError:
            raise InputError(f'{given!r} is not a camera; {_LAYOUT}') from None

    def __bool__(self) -> bool:
        return self.describe() is not None

    def describe(self) -> dict | None:
        """Return what is recorded of the choice as a whole; None where there is no camera."""
        if self.f is not None:
            return dict(source='given', f=self.f, c=self.c)
        if self.fov_deg is not None:
            return dict(source='assumed-fov', fov_deg=self.fov_deg)
        return None if self.table is None else dict(source='file', cameras=self.table)

    def for_image(self, file_name: str, size: tuple[int, int]) -> dict | None:
        """Return the camera of an image, None where the user gave none.

        Args:
            file_name: as in :class:`~wsp_mm.apis.sources.Frame`. size: width and height px.

        Returns:
            f and c, (2,) px of the upright image; source: 'given', 'file' or 'assumed-fov';
            principal_point: 'given' or 'image-center'; fov_deg with 'assumed-fov'.

        Raises:
            InputError: the camera file has none for it, one for images of another size, or one that
                cannot have taken it (:func:`wsp_mm.datasets.plausibility.image_camera`).
        """
        camera = self._choose(file_name, size)
        if camera is not None:
            verdict = image_camera(camera['f'], camera['c'], size)
            if verdict.bad[0]:
                raise InputError(verdict.what(0))
        return camera

    def _choose(self, file_name: str, size: tuple[int, int]) -> dict | None:
        center = list(image_center(*size))
        if self.f is not None:
            where = 'given' if self.c else 'image-center'
            return dict(f=self.f, c=self.c or center, source='given', principal_point=where)
        if self.fov_deg is not None:
            f = max(size) / 2 / math.tan(math.radians(self.fov_deg) / 2)
            assumed = dict(source='assumed-fov', principal_point='image-center')
            return dict(f=[f, f], c=center, **assumed, fov_deg=self.fov_deg)
        if self.table is None:
            return None
        entry = next((self.table[key] for key in _keys(file_name) if key in self.table), None)
        if entry is None:
            raise InputError(f'the camera file has no camera for {file_name}')
        f, c = np.array(entry['f']), np.array(entry['c'])
        expected = entry.get('width', size[0]), entry.get('height', size[1])
        if expected != tuple(size):
            ratio = np.array(size) / expected
            if not self.scale or abs(ratio[0] / ratio[1] - 1) > _SAME_ASPECT:
                raise InputError(
                    'its camera is for images of {} x {} px, and this one has {} x {}{}'.format(
                        *expected, *size,
                        ', which is no scaling of it' if self.scale else '; of a resized image, '
                        'scale the camera (--scale-camera)',
                    )
                )  # fmt: skip
            f, c = f * ratio, (c + 0.5) * ratio - 0.5
        return dict(f=f.tolist(), c=c.tolist(), source='file', principal_point='given')


def _keys(file_name: str) -> tuple[str, ...]:
    """Names under which a camera file may list an image; a frame of a video also by the video's."""
    video = file_name.rpartition('#')[0]
    names = [file_name, video] if video else [file_name]
    return (*names, *(Path(name).name for name in names), '')


def parse_camera(entry: Mapping, name: str = '') -> dict:
    """Read one camera of a file.

    Args:
        entry: ``f`` and ``c``, or ``K`` (3, 3), or ``intrinsic`` [fx, fy, cx, cy], px; optionally
            ``width`` and ``height`` (or ``image_width`` and ``image_height``, or ``image_size``)
            px, and lens distortion, which must be zero.
        name: for messages.

    Returns:
        f and c, lists of two floats; width and height where both are given.

    Raises:
        InputError: not a camera, a key that is not known, or skew or lens distortion.
    """
    where = f'{name}: ' if name else ''
    try:
        if unknown := sorted(map(str, set(entry) - set(_KNOWN))):
            known = ', '.join(_KNOWN)
            raise InputError(f'{where}unknown {", ".join(unknown)}: take it out; known: {known}')
        if 'K' in entry:
            f, c = _of_matrix(np.asarray(entry['K'], dtype=np.float64).reshape(3, 3))
        elif 'intrinsic' in entry:
            f, c = np.asarray(entry['intrinsic'], dtype=np.float64).reshape(2, 2)
        else:
            f = np.broadcast_to(np.asarray(entry['f'], dtype=np.float64), 2)
            c = np.asarray(entry['c'], dtype=np.float64).reshape(2)
        width, height = entry.get('image_size') or (None, None)
        sides = dict(width=width, height=height)
        for side in sides:
            value = entry.get(side, entry.get(f'image_{side}', sides[side]))
            sides[side] = None if value is None else int(value)
        lens = [entry[key] for key in _LENS if entry.get(key) is not None]
        distorted = any(np.any(np.asarray(values, dtype=np.float64)) for values in lens)
        PinholeCamera(f=f, c=c)
    except InputError as error:
        raise InputError(f'{where}{str(error).removeprefix(where)}') from None
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise InputError(f'{where}{_LAYOUT} ({error})') from None
    if distorted:
        raise InputError(f'{where}lens distortion is not supported: undistort the images first')
    sides = {side: value for side, value in sides.items() if value is not None}
    return dict(f=f.tolist(), c=c.tolist(), **sides)


def _of_matrix(K: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """f and c, (2,) px each, of a camera matrix (3, 3)."""
    if K[2].tolist() != [0, 0, 1]:
        hint = 'transposed, as MATLAB writes it?' if K[:, 2].tolist() == [0, 0, 1] else 'scaled?'
        raise InputError(f'the last row of K must be 0, 0, 1, is {K[2].tolist()}: {hint}')
    if (np.abs(K[[0, 1], [1, 0]]) > 1e-6 * abs(K[0, 0])).any():
        raise InputError(f'K has a skew of {K[0, 1]:g} or a K[1][0] of {K[1, 0]:g}, both must be 0')
    return K[[0, 1], [0, 1]], K[:2, 2]


def cameras_of(args: argparse.Namespace) -> Cameras:
    """Return the cameras of a command line with :func:`wsp_mm.utils.cli.add_camera_arguments`.

    Raises:
        InputError: options that are not a camera or contradict each other.
    """
    if args.camera is None:
        if args.scale_camera:
            raise InputError('--scale-camera belongs to --camera')
        return Cameras(args.focal, args.principal_point, args.assume_fov)
    if args.principal_point is not None:
        raise InputError('--principal-point belongs to --focal')
    return Cameras.read(args.camera, args.scale_camera)
