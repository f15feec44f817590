# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""The world ``muco``: composited pictures in MuCo-3DHP's layout, with its checks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from wsp_mm.synthetic.layouts.muco import FILE, FOLDER, muco_joints, write_muco
from wsp_mm.synthetic.muco_plan import MucoRequest, get_muco_preset, plan_muco
from wsp_mm.synthetic.muco_scene import MucoRecord, generate_muco, make_muco_setting
from wsp_mm.synthetic.parcels import Kind, Names
from wsp_mm.synthetic.verify import MAX_REPROJECTION, check_feet, check_hinges
from wsp_mm.synthetic.world import Report

_MAX_OFF = 1.0  # mm between a record and the bodies it is of


def names(request: MucoRequest) -> list[Names]:
    """The one name of the one picture."""
    return [(f'{FOLDER}/{request.file_name}', None)]


def write(
    out: Path, requests: list[MucoRequest], records: list[MucoRecord], report: Report
) -> None:
    """Write the json; counts are by set."""
    report.paths.append(write_muco(out, records))
    for record in records:
        count = report.counts.setdefault((FOLDER, record.file_name.partition('/')[0]), {})
        for column in ('pictures', 'persons', 'annotated', 'with_ankle'):
            count[column] = count.get(column, 0) + (
                1 if column == 'pictures' else len(record.joints_cam)
            )


def check(record: MucoRecord, request: MucoRequest) -> list[str]:
    """The record is of the bodies that the request makes, which stand and bend as bodies do."""
    setting = make_muco_setting(request)
    problems = check_feet(setting) + check_hinges(setting)
    truth = setting.view.camera.to_camera(setting.joints * 1000)
    if record.joints_cam.shape != truth.shape:
        return [*problems, f'{len(record.joints_cam)} persons are recorded, there are {len(truth)}']
    for i, joints in enumerate(record.joints_cam):
        off = np.linalg.norm(truth - joints, axis=2).max(axis=1).min()
        if off > _MAX_OFF:
            problems.append(f'person {i} of the record is {off:.1f} mm off the nearest body')
    return problems


def check_files(out: Path, requests: list[MucoRequest], records: list[MucoRecord]) -> list[str]:
    """The json, read back, has every person of every picture, and their joints where they project
    to.
    """
    content = json.loads((Path(out) / FOLDER / FILE).read_text())
    images = {image['id']: image for image in content['images']}
    persons: dict[int, list[dict]] = {}
    for annotation in content['annotations']:
        persons.setdefault(annotation['image_id'], []).append(annotation)
    problems = [
        f'{FILE}: image {extra} is listed, but not planned'
        for extra in set(images) - _ids(requests)
    ]
    for record in records:
        image, there = images.get(record.scene_id), persons.get(record.scene_id, [])
        joints, _ = muco_joints(record)
        if image is None or image['file_name'] != record.file_name or len(there) != len(joints):
            problems.append(f'{FILE}: {record.file_name} or its persons are not listed')
            continue
        for annotation, truth in zip(there, joints, strict=True):
            local = np.array(annotation['keypoints_cam'])
            px = local[:, :2] / local[:, 2:] * image['f'] + image['c']
            off = np.linalg.norm(px - annotation['keypoints_img'], axis=1).max()
            if not off <= MAX_REPROJECTION or np.abs(local - truth).max() > _MAX_OFF:
                problems.append(
                    f'{FILE}: a person of {record.file_name} reprojects {off:.2f} px off'
                )
    return problems


def _ids(requests: list[MucoRequest]) -> set[int]:
    return {request.scene_id for request in requests}


MUCO = Kind(
    name='muco', format=1, folders=(FOLDER,), get_preset=get_muco_preset, plan=plan_muco, names=names,
    generate=generate_muco, read=MucoRecord.from_dict, agree=('scene_id', 'file_name'), write=write,
    check=check, check_files=check_files,
)  # fmt: skip
