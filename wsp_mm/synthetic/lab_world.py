# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""The world ``h36m``: the lab's moments in both layouts of Human3.6M, with its checks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from wsp_mm.synthetic.lab import LabRecord, generate_moment, make_lab_setting
from wsp_mm.synthetic.lab_plan import CAMERA_NAMES, Moment, get_lab_preset, plan_lab
from wsp_mm.synthetic.layouts import h36m, h36m_mmpose
from wsp_mm.synthetic.layouts.h36m import annotation_path, h36m_joints, picture_name, write_h36m
from wsp_mm.synthetic.layouts.h36m_mmpose import mmpose_picture_name, write_h36m_mmpose
from wsp_mm.synthetic.parcels import Kind, Names
from wsp_mm.synthetic.verify import MAX_REPROJECTION, check_feet, check_hinges
from wsp_mm.synthetic.world import Report

_MAX_OFF = 1.0  # mm between a record and the body it is of


def names(moment: Moment) -> list[Names]:
    """Both names of the four pictures."""
    return [
        (
            f'{h36m.FOLDER}/images/{picture_name(moment, camera)}',
            f'{h36m_mmpose.FOLDER}/images/{mmpose_picture_name(moment, camera)}',
        )
        for camera in range(1, len(CAMERA_NAMES) + 1)
    ]


def write(out: Path, moments: list[Moment], records: list[LabRecord], report: Report) -> None:
    """Write the annotation files of both layouts; counts are by subject."""
    report.paths += write_h36m(out, moments, records)
    report.paths += write_h36m_mmpose(out, moments, records)
    for moment in moments:
        count = report.counts.setdefault((h36m.FOLDER, f'S{moment.subject}'), {})
        for column in ('pictures', 'persons', 'annotated', 'with_ankle'):
            count[column] = count.get(column, 0) + len(CAMERA_NAMES)


def check(record: LabRecord, moment: Moment) -> list[str]:
    """The record is of the body that the moment has, which stands and bends as bodies do."""
    setting = make_lab_setting(moment)
    off = np.linalg.norm(record.joints_world - setting.joints[0] * 1000, axis=1)
    problems = check_feet(setting) + check_hinges(setting)
    if off.max() > _MAX_OFF:
        problems.append(f'joint {off.argmax()} is {off.max():.1f} mm off the body')
    return problems


def check_files(out: Path, moments: list[Moment], records: list[LabRecord]) -> list[str]:
    """Both layouts, read back as their readers do, have every picture, and its joints where they
    project to.
    """
    wanted = {}
    for moment, record in zip(moments, records, strict=True):
        for camera in range(1, len(CAMERA_NAMES) + 1):
            wanted[picture_name(moment, camera)] = (
                mmpose_picture_name(moment, camera), h36m_joints(record), moment,
            )  # fmt: skip
    first = _read_3dmppe(out, sorted({moment.subject for moment in moments}))
    second = _read_mmpose(out)
    problems = []
    for name, (second_name, joints, moment) in wanted.items():
        if name not in first or second_name not in second:
            problems.append(f'{name} is not listed in both layouts')
            continue
        world, local, px = first[name]
        if np.abs(world - joints).max() > _MAX_OFF:
            problems.append(f'{name}: joints are not those of record {moment.scene_id}')
        metres, part = second[second_name]
        apart = np.linalg.norm(px - part, axis=1).max()
        if not apart <= MAX_REPROJECTION or np.abs(local - metres * 1000).max() > _MAX_OFF:
            problems.append(f'{name}: the two layouts are {apart:.2f} px apart')
    for extra in (set(first) - set(wanted)) | (
        set(second) - {value[0] for value in wanted.values()}
    ):
        problems.append(f'{extra} is listed, but not planned')
    return problems


def _read_3dmppe(
    out: Path, subjects: list[int]
) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Picture -> joints (17, 3) mm in the world and in the camera frame, and (17, 2) px by the
    camera file.
    """
    found = {}
    for subject in subjects:
        paths = (annotation_path(out, subject, name) for name in ('data', 'camera', 'joint_3d'))
        data, cameras, joints = (json.loads(path.read_text()) for path in paths)
        for image in data['images']:
            camera = {key: np.array(value) for key, value in cameras[str(image['cam_idx'])].items()}
            key = (str(image[part]) for part in ('action_idx', 'subaction_idx', 'frame_idx'))
            action, subaction, frame = key
            world = np.array(joints[action][subaction][frame])
            local = world @ camera['R'].T + camera['t']
            px = local[:, :2] / local[:, 2:] * camera['f'] + camera['c']
            found[image['file_name']] = world, local, px
    return found


def _read_mmpose(out: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Picture -> joints (17, 3) m in the camera frame and (17, 2) px as written."""
    found = {}
    for split in ('train', 'test'):
        path = Path(out) / h36m_mmpose.FOLDER / 'annotation_body3d' / 'fps50' / f'h36m_{split}.npz'
        with np.load(path) as table:
            rows = zip(
                table['imgname'].tolist(), table['S'][..., :3], table['part'][..., :2], strict=True
            )
            found.update({name: (local, px) for name, local, px in rows})
    return found


LAB = Kind(
    name='h36m', format=2, folders=(h36m.FOLDER, h36m_mmpose.FOLDER), get_preset=get_lab_preset, plan=plan_lab,
    names=names, generate=generate_moment, read=LabRecord.from_dict,
    agree=('scene_id', 'subject', 'action', 'subaction', 'frame'), write=write, check=check,
    check_files=check_files,
)  # fmt: skip
