# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""The world ``mupots``: twenty sequences in MuPoTS-3D's layout, with its checks."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from wsp_mm.datasets.mupots_annotations import read_mupots
from wsp_mm.synthetic.layouts.mupots import FILE, FOLDER, SEQUENCES, mupots_joints, write_mupots
from wsp_mm.synthetic.mupots_plan import MupotsRequest, get_mupots_preset, plan_mupots
from wsp_mm.synthetic.mupots_scene import MupotsRecord, generate_mupots, make_mupots_setting
from wsp_mm.synthetic.parcels import Kind, Names
from wsp_mm.synthetic.verify import MAX_REPROJECTION, check_feet, check_hinges, check_overlap
from wsp_mm.synthetic.world import Report

_MAX_OFF = 1.0  # mm between a record and the bodies it is of


def names(request: MupotsRequest) -> list[Names]:
    """The one name of the one picture."""
    return [(f'{FOLDER}/{SEQUENCES}/{request.file_name}', None)]


def write(
    out: Path, requests: list[MupotsRequest], records: list[MupotsRecord], report: Report
) -> None:
    """Write json and MATLAB files; counts are by sequence, annotated are those who are valid."""
    report.paths += write_mupots(out, records)
    for record in records:
        count = report.counts.setdefault((FOLDER, f'TS{record.sequence}'), {})
        valid = int(record.valid.sum())
        numbers = dict(pictures=1, persons=len(record.valid), annotated=valid, with_ankle=valid)
        for column, number in numbers.items():
            count[column] = count.get(column, 0) + number


def check(record: MupotsRecord, request: MupotsRequest) -> list[str]:
    """The record is of the bodies that the request makes, which stand, bend and keep apart as
    bodies do.
    """
    setting = make_mupots_setting(request)
    problems = check_feet(setting) + check_hinges(setting) + check_overlap(setting)
    truth = setting.view.camera.to_camera(setting.joints * 1000)
    if record.joints_cam.shape != truth.shape:
        return [*problems, f'{len(record.joints_cam)} persons are recorded, there are {len(truth)}']
    for i, (joints, there) in enumerate(zip(record.joints_cam, truth, strict=True)):
        off = np.linalg.norm(joints - there, axis=1).max()
        if off > _MAX_OFF:
            problems.append(f'person {i} of the record is {off:.1f} mm off the body')
    return problems


def check_files(out: Path, requests: list[MupotsRequest], records: list[MupotsRecord]) -> list[str]:
    """Json and MATLAB files, read back by the package's reader, have every frame and person of the
    records, and their joints where they project to.
    """
    folder = Path(out) / FOLDER
    try:
        by_mat = read_mupots(folder / FILE, folder / SEQUENCES)
        by_json = {frame.key: frame for frame in read_mupots(folder / FILE).frames}
    except ValueError as error:
        return [str(error)]
    problems = [f'{FILE}: {note}' for note in by_mat.notes]
    frames = {frame.key: frame for frame in by_mat.frames}
    wanted = {f'TS{record.sequence}_img_{record.frame:06d}': record for record in records}
    problems += [
        f'{key} is listed, but not planned' for key in sorted({*frames, *by_json} - set(wanted))
    ]
    for key, record in wanted.items():
        if key not in frames or key not in by_json:
            problems.append(f'{FILE} or annot.mat: {key} is not listed')
            continue
        frame, listed = frames[key], by_json[key]
        joints, universal, shown = mupots_joints(record)
        valid = np.flatnonzero(record.valid)
        if len(frame.occluded) != len(valid) or len(listed.occluded) != len(valid):
            problems.append(
                f'{key}: {len(frame.occluded)} and {len(listed.occluded)} valid persons, not {len(valid)}'
            )
            continue
        for row, i in enumerate(valid):
            local, f, c = listed.keypoints_cam[row], listed.intrinsic[:2], listed.intrinsic[2:]
            px = local[:, :2] / local[:, 2:] * f + c
            off = np.abs(px - frame.keypoints_img[row]).max()
            apart = [
                frame.keypoints_cam[row] - joints[i],
                frame.keypoints_univ[row] - universal[i],
                local - joints[i],
            ]
            if not off <= MAX_REPROJECTION or max(np.abs(a).max() for a in apart) > _MAX_OFF:
                problems.append(
                    f'{key}: person {i + 1} is elsewhere, or reprojects {off:.2f} px off'
                )
            if (frame.occluded[row] == shown[i]).any():
                problems.append(f'{key}: labels of person {i + 1} are not those of the record')
    return problems


MUPOTS = Kind(
    name='mupots', format=1, folders=(FOLDER,), get_preset=get_mupots_preset, plan=plan_mupots, names=names,
    generate=generate_mupots, read=MupotsRecord.from_dict, agree=('scene_id', 'sequence', 'frame', 'file_name'),
    write=write, check=check, check_files=check_files,
)  # fmt: skip
