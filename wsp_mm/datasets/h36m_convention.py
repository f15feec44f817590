# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Which camera convention a Human3.6M file uses, found by reprojection.

Files that look alike differ: the hosted 3DMPPE camera files hold t of ``Xc = R Xw + t``, those that
its published converter writes hold the camera's centre T of ``Xc = R (Xw - T)`` under the same
name; and 3D joints may be in the camera's frame or the world's. The wrong one moves a person by
metres, so joints land thousands of px from where the file itself says they are. N frames, 17
joints.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from wsp_mm.datasets.converters.mcpc.records import BadDataError
from wsp_mm.structures.bbox import joints_boxes
from wsp_mm.structures.camera import PinholeCamera

#: Frames of each camera that are looked at, spread evenly.
FRAMES = 50

#: Largest median error of the right convention, px. Leaving out lens distortion costs 1 to 3.
TOLERANCE_PX = 10.0


def box_error(pixels: np.ndarray, boxes: np.ndarray, sizes: np.ndarray) -> float:
    """How far the joints' extent is from the labelled box: median over frames of the worst side.

    Args:
        pixels: (N, 17, 2) px, nan for what lies behind the camera.
        boxes: (N, 4) x, y, w, h px as labelled: the extent of the joints, 1.2 times as large.
        sizes: (N, 2) px.

    Returns:
        px; infinite where no box can be told. Both boxes are clipped first, since some labels are.
    """
    return _median(
        np.abs(_clipped(joints_boxes(pixels), sizes) - _clipped(boxes, sizes)).max(axis=-1)
    )


def pixel_error(pixels: np.ndarray, labelled: np.ndarray) -> float:
    """Median distance of projected (N, 17, 2) and labelled (N, 17, 2) joints, px."""
    return _median(np.linalg.norm(pixels - labelled, axis=-1))


def _clipped(boxes: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    low, high = boxes[:, :2], boxes[:, :2] + boxes[:, 2:]
    return np.concatenate([np.clip(low, 0, sizes - 1), np.clip(high, 0, sizes - 1)], axis=-1)


def _median(errors: np.ndarray) -> float:
    return float(np.median(np.where(np.isfinite(errors), errors, np.inf)))


def choose(
    joints: np.ndarray,
    conventions: Mapping[str, PinholeCamera],
    error_of: Callable[[np.ndarray], float],
    *,
    file: str,
    record: str,
    mend: str,
    tolerance: float = TOLERANCE_PX,
) -> str:
    """The convention under which the joints land where the file says.

    Args:
        joints: (N, 17, 3) as the file has them, mm.
        conventions: name -> the camera under it; ``to_camera`` brings the joints to the camera's
            frame.
        error_of: pixels (N, 17, 2) -> error px.
        file, record, mend: for the message.
        tolerance: largest error that is accepted, px.

    Returns:
        The name.

    Raises:
        BadDataError: none fits; the message has each one's error.
    """
    errors = {}
    for name, camera in conventions.items():
        errors[name] = error_of(camera.project(camera.to_camera(joints))[..., :2])
    best = min(errors, key=errors.get)
    if not errors[best] <= tolerance:
        found = ', '.join(f'{name}: {error:,.1f} px' for name, error in errors.items())
        raise BadDataError(
            'camera convention', file, record,
            f'no camera convention brings the joints to where the annotations have them, within {tolerance:g} '
            f'px ({found}; median of {len(joints)} frames)', mend,
        )  # fmt: skip
    return best


def some(rows: np.ndarray) -> np.ndarray:
    """At most :data:`FRAMES` of the rows, evenly spread."""
    return rows[np.linspace(0, len(rows) - 1, min(FRAMES, len(rows))).astype(int)]
