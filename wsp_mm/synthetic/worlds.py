# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""The worlds by name: 'wild' (COCO, MPII, PoseTrack18, CrowdPose), 'h36m', 'muco' and 'mupots'.

They share a folder without touching each other's files, and each has an identity file of its own,
so that any of them can be made alone, or later.
"""

from __future__ import annotations

from pathlib import Path

from wsp_mm.synthetic import parcels, world
from wsp_mm.synthetic.lab_world import LAB
from wsp_mm.synthetic.layouts.files import WorldError
from wsp_mm.synthetic.muco_world import MUCO
from wsp_mm.synthetic.mupots_world import MUPOTS
from wsp_mm.synthetic.parcels import Kind
from wsp_mm.synthetic.plan import get_preset
from wsp_mm.synthetic.world import Report

KINDS: dict[str, Kind] = {kind.name: kind for kind in (LAB, MUCO, MUPOTS)}
WORLDS = ('wild', *KINDS)


def check_names(worlds: list[str], preset: str) -> None:
    """See that all these worlds have that preset, before any of them is begun.

    Raises:
        WorldError: unknown world or preset; the message lists what there is.
    """
    for name in worlds:
        if name not in WORLDS:
            raise WorldError(f'unknown world {name!r}; there are: {", ".join(WORLDS)}')
        get_preset(preset) if name == 'wild' else KINDS[name].get_preset(preset)


def make_named(
    name: str, out: Path, preset: str, seed: int, workers: int, mpii_mat: bool = False
) -> Report:
    """Make one of :data:`WORLDS` in the folder ``out``, or go on with it.

    Args:
        preset: its name. workers: processes; 0 makes the pictures in this process. mpii_mat: for
            'wild' only.

    Raises:
        WorldError: as :func:`check_names`; ``out`` holds something else or cannot be written, or a
            picture cannot be made.
    """
    check_names([name], preset)
    if name == 'wild':
        return world.make_world(out, get_preset(preset), seed, workers, mpii_mat)
    return parcels.make_parcels(out, KINDS[name], KINDS[name].get_preset(preset), seed, workers)


def verify_named(
    name: str, out: Path, preset: str, seed: int, workers: int, count: int = -1
) -> tuple[list[str], int]:
    """Check a finished world; arguments as for :func:`make_named`, ``count`` scenes, all if
    negative.

    Returns:
        the problems and the number of pictures that were checked.

    Raises:
        WorldError: as :func:`check_names`, or the world is not finished.
    """
    check_names([name], preset)
    if name == 'wild':
        return world.verify_world(out, get_preset(preset), seed, workers, count)
    return parcels.verify_parcels(
        out, KINDS[name], KINDS[name].get_preset(preset), seed, workers, count
    )
