# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Persons of an inference record as arrays, and where they stand in the one scene that is drawn of
a frame.

P persons, K joints; camera frame: x right, y down, z forward, mm. A record is one frame of the
document ``wsp_mm.inference`` version 1, fresh from the inferencer (arrays) or read back from json
(lists); what is not known is None or nan in it and nan here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from wsp_mm.structures.bbox import crop_box
from wsp_mm.structures.keypoints import JOINT_SETS

#: Without a camera nobody knows how many mm a pixel is. The crop's side then stands for this many,
#: which is what the k-value's prior (RootNet, Moon et al., ICCV 2019) takes a person's box for.
CROP_MM = 2000.0
#: Room between two persons who are drawn side by side, mm.
GAP_MM = 500.0


@dataclass(frozen=True)
class Skeleton:
    """What the K joints are, from the document's ``info``."""

    names: tuple[str, ...]
    links: tuple[tuple[int, int], ...]
    sides: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def root(self) -> tuple[int, ...]:
        """Joints whose middle is the root: the pelvis, else both hips, else all."""
        plain = [name.lower() for name in self.names]
        for wanted in (('pelvis',), ('root',), ('left_hip', 'right_hip'), ('l_hip', 'r_hip')):
            if all(name in plain for name in wanted):
                return tuple(plain.index(name) for name in wanted)
        return tuple(range(len(self)))


def read_skeleton(info: Mapping) -> Skeleton:
    """The skeleton that ``info`` names (``joint_set``) or spells out (``joint_names``,
    ``skeleton_links``).

    Links are pairs of names or of indices.

    Raises:
        ValueError: neither is there, or they do not fit each other.
    """
    joint_set = JOINT_SETS.get(info.get('joint_set') or '')
    names = info.get('joint_names')
    if names is None:
        if joint_set is None:
            raise ValueError(
                f'info names no joints: joint_set {info.get("joint_set")!r} is none of {sorted(JOINT_SETS)}, '
                'and there are no joint_names'
            )
        names = joint_set.joints
    names = tuple(str(name) for name in names)
    known = joint_set is not None and names == joint_set.joints
    links = info.get('skeleton_links')
    if links is None:
        links = joint_set.link_indices if known else ()
    try:
        indices = tuple(
            tuple(names.index(end) if isinstance(end, str) else int(end) for end in link)
            for link in links
        )
    except ValueError as error:
        raise ValueError(f'skeleton_links names a joint that joint_names lacks: {error}') from None
    if any(len(link) != 2 or not all(0 <= end < len(names) for end in link) for link in indices):
        raise ValueError(
            f'skeleton_links must be pairs of the {len(names)} joints, got {list(links)}'
        )
    meanings = joint_set.concepts if known else names
    return Skeleton(names, indices, tuple(_side(meaning) for meaning in meanings))


def _side(name: str) -> str:
    start = name.lower().partition('_')[0]
    return {'left': 'left', 'l': 'left', 'right': 'right', 'r': 'right'}.get(start, 'middle')


@dataclass(frozen=True)
class Person:
    """One person of a record.

    Attributes:
        id: as in the record. score: of the box. root_depth: mm.
        box: (4,) x, y, w, h px. pixels: (K, 2) px. relative: (K,) mm along z from the root.
        camera_frame: (K, 3) mm.
    """

    id: int
    box: np.ndarray
    score: float
    pixels: np.ndarray
    relative: np.ndarray
    root_depth: float
    camera_frame: np.ndarray

    @property
    def label(self) -> str:
        """``#3``, with the root's distance along z where it is known."""
        return f'#{self.id}' + (
            f' {self.root_depth / 1000:.2f} m' if np.isfinite(self.root_depth) else ''
        )


def read_persons(record: Mapping, num_joints: int) -> list[Person]:
    """Persons of a record, nan for whatever is None or missing.

    Raises:
        ValueError: a field of another shape than (K, ...), or no numbers.
    """
    persons = []
    for i, entry in enumerate(record.get('persons') or ()):
        where = (
            f'frame {record.get("frame")} ({record.get("file_name")}), person {entry.get("id", i)}'
        )

        def read(name: str, *shape: int, entry=entry, where=where) -> np.ndarray:
            value = entry.get(name)
            if value is None:
                return np.full(shape, np.nan)
            try:
                array = np.asarray(value, dtype=np.float64)
            except (TypeError, ValueError) as error:
                raise ValueError(
                    f'{where}: {name} must be numbers of shape {shape}: {error}'
                ) from None
            if array.shape != shape:
                raise ValueError(f'{where}: {name} must be of shape {shape}, is {array.shape}')
            return np.where(np.isfinite(array), array, np.nan)

        persons.append(
            Person(
                id=int(entry.get('id', i)),
                box=read('bbox', 4),
                score=float(read('bbox_score')),
                pixels=read('keypoints_img', num_joints, 2),
                relative=read('keypoints_rel', num_joints),
                root_depth=float(read('root_depth')),
                camera_frame=read('keypoints_cam', num_joints, 3),
            )
        )
    return persons


@dataclass(frozen=True)
class Scene:
    """Everybody of a frame in one space.

    Attributes:
        poses: (P, K, 3) mm, nan where a joint is not known. ids: P.
        in_camera: in the camera's frame, so that distances between persons are true; else everybody
            is relative to the own root, and they stand side by side.
        note: one line that says what the coordinates are.
    """

    poses: np.ndarray
    ids: tuple[int, ...]
    in_camera: bool
    note: str


def place_persons(record: Mapping, skeleton: Skeleton) -> Scene:
    """Put a frame's persons into one scene.

    With a camera and root depths it is the camera's frame, and who has no root depth is left out
    (the note counts them). Without, depths are relative to each person's root, x and y are pixels
    times ``CROP_MM`` / the side of the person's crop, and persons stand side by side in the
    picture's order.

    Raises:
        ValueError: as :func:`read_persons`.
    """
    persons = read_persons(record, len(skeleton))
    camera = record.get('camera')
    placed = [p for p in persons if np.isfinite(p.camera_frame).all(axis=1).any()] if camera else []
    in_camera = bool(camera) and (bool(placed) or not persons)
    if in_camera:
        source = camera.get('source') or 'of unknown source'
        note = f'camera space, mm; camera {source}'
        poses = [p.camera_frame for p in placed]
    else:
        placed = [
            p
            for p in persons
            if (np.isfinite(p.pixels).all(axis=1) & np.isfinite(p.relative)).any()
        ]
        size = (record.get('width') or 0, record.get('height') or 0)
        # the picture's order, from left to right
        placed.sort(key=lambda p: np.nan_to_num(np.nanmean(p.pixels[:, 0])))
        poses = _side_by_side([_root_relative(p, skeleton, size) for p in placed])
        reason = 'no root depth' if camera else 'no camera'
        note = f'{reason}: root-relative, side by side; distances between persons unknown'
    left_out = len(persons) - len(placed)
    if record.get('skipped'):
        note = f'skipped: {record["skipped"]}'
    elif record.get('order') and not placed:
        note = 'order of persons from front to back; this network gives no 3D'
    elif not persons:
        note += '; no persons'
    elif left_out:
        note += f'; {left_out} of {len(persons)} persons without 3D'
    poses = np.array(poses, dtype=np.float64).reshape(len(poses), len(skeleton), 3)
    return Scene(poses, tuple(p.id for p in placed), in_camera, note)


def _root_relative(person: Person, skeleton: Skeleton, size: tuple[int, int]) -> np.ndarray:
    """(K, 3) mm about the root, under the supposition that the crop is ``CROP_MM`` wide."""
    crop = None
    if np.isfinite(person.box).all() and min(size) > 0:
        crop = crop_box(person.box, size)
    if crop is not None:
        side = crop[2]
    else:  # no usable box: the joints' extent stands for it
        side = 1.25 * max(np.nanmax(person.pixels, axis=0) - np.nanmin(person.pixels, axis=0))
    root = person.pixels[list(skeleton.root)].mean(axis=0)
    if not np.isfinite(root).all():
        root = np.nanmean(person.pixels, axis=0)
    flat = (person.pixels - root) * (CROP_MM / max(side, 1.0))
    return np.concatenate([flat, person.relative[:, None]], axis=1)


def _side_by_side(poses: list[np.ndarray]) -> list[np.ndarray]:
    """Move poses (K, 3) along x so that they follow each other with ``GAP_MM`` between them,
    centred on 0.
    """
    moved, edge = [], 0.0
    for pose in poses:
        moved.append(pose + np.array([edge - np.nanmin(pose[:, 0]), 0, 0]))
        edge = np.nanmax(moved[-1][:, 0]) + GAP_MM
    return [pose - np.array([(edge - GAP_MM) / 2, 0, 0]) for pose in moved]
