# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Which camera took a picture: what the user says, and nothing else.

A camera is recorded in every frame of the output together with where it comes from. Without one
there are no camera-space results; none is ever guessed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from wsp_mm.structures.camera import PinholeCamera

FILE_HELP = (
    'a camera is {"f": [fx, fy], "c": [cx, cy]} in px, or "K": 3 x 3; optionally "width", "height"'
)


class CameraError(ValueError):
    """A camera that cannot be used; the message says why and what one looks like."""


@dataclass(frozen=True)
class FrameCamera:
    """The camera of one frame.

    Attributes:
        f, c: focal lengths and principal point, px of the upright picture.
        source: 'given' (by number), 'file' or 'assumed-fov'.
        principal_point: 'given', or 'picture-centre' where only a focal length is known.
        fov_deg: the assumed angle across the longer side of the picture.
    """

    f: tuple[float, float]
    c: tuple[float, float]
    source: str
    principal_point: str = 'given'
    fov_deg: float | None = None

    def __post_init__(self) -> None:
        PinholeCamera(
            f=np.array(self.f), c=np.array(self.c)
        )  # raises ValueError where they are none

    def to_dict(self) -> dict:
        """Plain numbers, for a record."""
        out = dict(
            f=list(self.f), c=list(self.c), source=self.source, principal_point=self.principal_point
        )
        return out if self.fov_deg is None else dict(out, fov_deg=self.fov_deg)


class CameraChoice:
    """The user's word on the camera; ``None`` everywhere says that there is none.

    Args:
        focal: one focal length, or those along x and y, px of the picture as it is given.
        principal: (x, y) px; where None, the middle of the picture is taken and recorded as such.
        fov_deg: assumed angle of view across the longer side of the picture, degrees; an
            assumption, recorded as one.
        table: file name -> camera as in a camera file; the empty name is for all files without an
            own entry.

    Raises:
        CameraError: numbers that make no camera, or two answers at once.
    """

    def __init__(
        self,
        focal: float | Sequence[float] | None = None,
        principal: Sequence[float] | None = None,
        fov_deg: float | None = None,
        table: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        if sum(value is not None for value in (focal, fov_deg, table)) > 1:
            raise CameraError(
                'give one of a focal length, a camera file and an assumed field of view'
            )
        if principal is not None and focal is None:
            raise CameraError('a principal point alone is no camera: give the focal length, too')
        if fov_deg is not None and not 0 < fov_deg < 180:
            raise CameraError(f'a field of view lies between 0 and 180 degrees, got {fov_deg}')
        self.focal = None if focal is None else _pair(focal, 'the focal length')
        self.principal = None if principal is None else _pair(principal, 'the principal point')
        if self.focal is not None and min(self.focal) <= 0:
            raise CameraError(f'a focal length is positive (px), got {focal}')
        self.fov_deg = None if fov_deg is None else float(fov_deg)
        self.table = (
            None if table is None else {name: _entry(name, value) for name, value in table.items()}
        )

    @classmethod
    def read(cls, path: str | Path) -> CameraChoice:
        """Read a camera file: one camera, or ``{"images": {file_name: camera, ...}}``.

        Raises:
            CameraError: no such file, no json, or not of this layout.
        """
        try:
            data = json.loads(Path(path).read_text(encoding='utf-8-sig'))
        except OSError as error:
            raise CameraError(f'{path}: {error.strerror or error}') from None
        except ValueError as error:
            raise CameraError(f'{path} is no json: {error}') from None
        try:
            if not isinstance(data, dict):
                raise CameraError(FILE_HELP)
            table = dict(data['images']) if isinstance(data.get('images'), dict) else {'': data}
            return cls(table=table)
        except CameraError as error:
            raise CameraError(f'{path}: {error}') from None

    @classmethod
    def of(cls, given: Any) -> CameraChoice:
        """What Python users hand over: None, a choice, a path, a ``PinholeCamera`` or a dict.

        A dict has the arguments of the class, or is a camera as in a camera file.
        """
        if given is None:
            return cls()
        if isinstance(given, CameraChoice):
            return given
        if isinstance(given, (str, Path)):
            return cls.read(given)
        if isinstance(given, PinholeCamera):
            return cls(focal=given.f.tolist(), principal=given.c.tolist())
        if isinstance(given, Mapping):
            if {'f', 'K', 'intrinsic'} & set(given):
                return cls(table={'': given})
            unknown = set(given) - {'focal', 'principal', 'fov_deg'}
            if unknown:
                raise CameraError(f'unknown entries {sorted(unknown)} of a camera; {FILE_HELP}')
            return cls(**given)
        raise CameraError(f'{type(given).__name__} is no camera; {FILE_HELP}')

    def __bool__(self) -> bool:
        return self.focal is not None or self.fov_deg is not None or self.table is not None

    def describe(self) -> dict | None:
        """What is recorded of the choice as a whole; None where there is no camera."""
        if self.focal is not None:
            middle = None if self.principal is None else list(self.principal)
            return dict(source='given', f=list(self.focal), c=middle)
        if self.fov_deg is not None:
            return dict(source='assumed-fov', fov_deg=self.fov_deg)
        if self.table is not None:
            return dict(
                source='file', cameras={name: dict(entry) for name, entry in self.table.items()}
            )
        return None

    def for_picture(self, file_name: str, width: int, height: int) -> FrameCamera | None:
        """The camera of a picture of ``width`` x ``height`` px; None where the user named none.

        Raises:
            CameraError: the camera file has none for it, or one for pictures of another size.
        """
        middle = ((width - 1) / 2, (height - 1) / 2)  # pixel centres lie at whole numbers
        if self.focal is not None:
            named = self.principal is not None
            c = self.principal if named else middle
            return FrameCamera(self.focal, c, 'given', 'given' if named else 'picture-centre')
        if self.fov_deg is not None:
            f = (max(width, height) / 2) / math.tan(math.radians(self.fov_deg) / 2)
            return FrameCamera((f, f), middle, 'assumed-fov', 'picture-centre', self.fov_deg)
        if self.table is None:
            return None
        entry = next((self.table[key] for key in _keys(file_name) if key in self.table), None)
        if entry is None:
            raise CameraError(f'the camera file has no camera for {file_name}')
        size = entry.get('width'), entry.get('height')
        if None not in size and size != (width, height):
            raise CameraError(
                f'its camera is of {size[0]} x {size[1]} px pictures, and this one has {width} x {height}'
            )
        return FrameCamera(tuple(entry['f']), tuple(entry['c']), 'file')


def _keys(file_name: str) -> tuple[str, ...]:
    """Under which names a camera file may list a picture; for a frame of a video also that of the
    video.
    """
    video = file_name.rpartition('#')[0]
    names = [file_name, video] if video else [file_name]
    return (*names, *(Path(name).name for name in names), '')


def _pair(value: Any, what: str) -> tuple[float, float]:
    try:
        numbers = [float(v) for v in np.ravel(value)]
    except (TypeError, ValueError):
        numbers = []
    numbers = numbers * 2 if len(numbers) == 1 and what == 'the focal length' else numbers
    if len(numbers) != 2 or not all(map(math.isfinite, numbers)):
        raise CameraError(f'{what} is one or two numbers (px), got {value!r}')
    return numbers[0], numbers[1]


def _entry(name: str, value: Any) -> dict:
    """A camera of a file in one spelling: f, c and optionally width, height."""
    where = f'{name}: ' if name else ''
    if not isinstance(value, Mapping):
        raise CameraError(f'{where}{FILE_HELP}')
    try:
        if 'K' in value:
            matrix = np.asarray(value['K'], dtype=np.float64)
            if matrix.shape != (3, 3):
                raise CameraError(f'{where}K is {matrix.shape}, not 3 x 3')
            if abs(matrix[0, 1]) > 1e-6 * abs(matrix[0, 0]):
                raise CameraError(f'{where}K has a skew of {matrix[0, 1]}, which is not supported')
            numbers = [matrix[0, 0], matrix[1, 1], matrix[0, 2], matrix[1, 2]]
        elif 'intrinsic' in value:
            numbers = list(value['intrinsic'])
        else:
            numbers = (
                [*np.ravel(value['f']).tolist() * 2][:2]
                if np.size(value['f']) == 1
                else list(value['f'])
            )
            numbers += list(value['c'])
        fx, fy, cx, cy = (float(number) for number in numbers)
        size = {key: int(value[key]) for key in ('width', 'height') if value.get(key) is not None}
        distortion = [
            value[key] for key in ('distortion', 'k', 'dist') if value.get(key) is not None
        ]
        distorted = any(np.any(np.asarray(d, dtype=np.float64) != 0) for d in distortion)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        if isinstance(error, CameraError):
            raise
        raise CameraError(f'{where}{FILE_HELP}') from None
    if not all(map(math.isfinite, (fx, fy, cx, cy))) or min(fx, fy) <= 0:
        raise CameraError(f'{where}focal lengths are positive and all numbers finite; {FILE_HELP}')
    if distorted:
        raise CameraError(f'{where}lens distortion is not supported: undistort the pictures first')
    return dict(f=[fx, fy], c=[cx, cy], **size)
