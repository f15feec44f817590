# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Readers of MPII: MMPose's converted json (one row a person) and the official .mat.

N persons, 16 joints.
"""

from __future__ import annotations

import zlib
from collections import Counter
from pathlib import Path

import numpy as np

from wsp_mm.datasets.converters.mcpc.coco_style import to_rows
from wsp_mm.datasets.converters.mcpc.files import load_json
from wsp_mm.datasets.converters.mcpc.records import BadDataError, Findings, Picture, SourceData
from wsp_mm.structures.keypoints import get_joint_set

NUM_JOINTS = len(get_joint_set('mpii16'))
PICTURES = 'images/'
#: MPII places the ends of the head on the diagonal of an annotated head rectangle, 0.8 of it apart.
HEAD_SHARE_OF_DIAGONAL = 0.8


def _collect(split: str, files: list[str], rows: list[tuple], dropped: Counter) -> SourceData:
    """Rows (picture name, person id, (16, 2) px from 0, (16,) visibility, head length px) as
    SourceData.
    """
    names = list(dict.fromkeys(row[0] for row in rows))
    index = {name: i for i, name in enumerate(names)}
    count = len(rows)
    keypoints = np.array([row[2] for row in rows], dtype=np.float64).reshape(count, NUM_JOINTS, 2)
    visible = np.array([row[3] for row in rows], dtype=np.int8).reshape(count, NUM_JOINTS)
    labelled = (visible > 0).any(axis=1)
    dropped = dropped + Counter({'no labelled joint': int((~labelled).sum())})
    data = SourceData(
        source='mpii',
        split=split,
        joint_set='mpii16',
        files=files,
        pictures=[Picture(PICTURES + name, name, files[0]) for name in names],
        picture=np.array([index[row[0]] for row in rows], dtype=np.int64),
        source_ids=[row[1] for row in rows],
        keypoints=keypoints,
        visible=visible,
        bbox=np.full((count, 4), np.nan),
        area=np.full(count, np.nan),
        head_length=np.array([row[4] for row in rows], dtype=np.float64),
        crowd=np.zeros(count, dtype=bool),
        dropped=dropped,
    )
    return data.keep(labelled)


def _shaped(joints: object, flags: object) -> bool:
    """Whether these are 16 points and 16 flags."""
    lists = isinstance(joints, list) and isinstance(flags, list)
    if not lists or len(joints) != NUM_JOINTS or len(flags) != NUM_JOINTS:
        return False
    return all(isinstance(point, list) and len(point) == 2 for point in joints)


def read_mpii_json(path: Path, split: str, findings: Findings, base: int = 0) -> SourceData:
    """MMPose's ``mpii_*.json``: a list with image, joints and joints_vis a person.

    Args:
        path: the json file.
        split: what to call the result.
        findings: told of every bad record.
        base: number of the first pixel in ``joints``; 0 is how MMPose's own reader takes them.

    Returns:
        Rows grouped by picture; the id of a person is the number of its row, from 0.

    Raises:
        BadDataError: the file as a whole cannot be used, or a record is bad and bad records are not
            skipped.
    """
    data = load_json(path)
    if not isinstance(data, list):
        raise BadDataError(
            'wrong layout', path, '', f'expected a list of persons, got a {type(data).__name__}',
            'docs/data.md names the file that belongs here',
        )  # fmt: skip
    good, records = [], []
    for n, row in enumerate(data):
        record = f'row {n}'
        if not isinstance(row, dict) or not isinstance(row.get('image'), str) or not row['image']:
            findings.report('incomplete record', path, record, 'a row needs the name of its image')
            continue
        record += f' (image {row["image"]})'
        joints, flags = row.get('joints'), row.get('joints_vis')
        if joints is None or flags is None:
            findings.report(
                'incomplete record', path, record,
                'a row needs joints and joints_vis; MPII published none for its test pictures',
            )  # fmt: skip
        elif not _shaped(joints, flags):
            findings.report(
                'wrong keypoint count', path, record,
                f'mpii16 needs {NUM_JOINTS} points x, y and as many flags, got {str(joints)[:80]} '
                f'and {str(flags)[:80]}',
            )  # fmt: skip
        else:
            good.append((n, row['image'], [*(c for point in joints for c in point), *flags]))
            records.append(record)
    if not good:
        return _collect(split, [str(path)], [], Counter())
    values, sound = to_rows(path, [row[2] for row in good], records, 'joints', findings)
    points, flags = (
        values[:, : 2 * NUM_JOINTS].reshape(-1, NUM_JOINTS, 2),
        values[:, 2 * NUM_JOINTS :],
    )
    rows = []
    for i in np.flatnonzero(sound):
        if not np.isin(flags[i], (0, 1)).all():
            findings.report(
                'bad visibility',
                path,
                records[i],
                f'joints_vis must be 0 or 1: {flags[i].tolist()}',
            )
            continue
        rows.append((good[i][1], good[i][0], points[i] - base, flags[i], np.nan))
    return _collect(split, [str(path)], rows, Counter())


def _structs(value: object) -> list:
    """MATLAB's struct arrays: one element comes as itself, none as an empty array or string."""
    if isinstance(value, np.ndarray):
        return [item for item in value.ravel() if hasattr(item, '_fieldnames')]
    return [value] if hasattr(value, '_fieldnames') else []


def _visibility(value: object) -> int:
    """MPII's is_visible to 2 visible, 1 hidden or not said: it comes as number, text or empty."""
    flat = np.asarray(value).ravel()
    if flat.size == 0 or str(flat[0]).strip() == '':
        return 1
    return 2 if float(flat[0]) > 0 else 1


def _number(value: object) -> float:
    flat = np.asarray(value).ravel()
    return float(flat[0]) if flat.size == 1 else np.nan


def read_mpii_mat(
    path: Path, val_names: set[str] | None, findings: Findings
) -> dict[str, SourceData]:
    """The official ``mpii_human_pose_v1_u12_1.mat``.

    Its pixels count from 1, and so do joint positions: both are moved to count from 0. MPII
    published no labels for its test pictures and no validation split.

    Args:
        path: the .mat file.
        val_names: picture names of the validation set, which is MCPC's test; None makes everything
            train.
        findings: told of every bad record.

    Returns:
        'train' -> data and, with ``val_names``, 'test' -> data. The id of a person is its running
        number among all labelled persons of the file, from 0.

    Raises:
        BadDataError: the file as a whole cannot be used, or a record is bad and bad records are not
            skipped.
    """
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    if not path.is_file():
        raise BadDataError(
            'missing file', path, '', 'there is no such file', 'docs/data.md says where to get it'
        )
    try:
        release = loadmat(path, struct_as_record=False, squeeze_me=True)['RELEASE']
        pictures, is_train = _structs(release.annolist), np.asarray(release.img_train).ravel()
    except (
        ValueError, KeyError, AttributeError, OSError, NotImplementedError, TypeError, MatReadError, zlib.error,
    ) as error:  # fmt: skip
        raise BadDataError(
            'broken mat',
            path,
            '',
            f'no MPII release can be read from it ({error!r})',
            'Download it again; docs/data.md says where',
        ) from error
    if len(pictures) != len(is_train):
        raise BadDataError(
            'broken mat', path, '', f'{len(pictures)} pictures but {len(is_train)} train flags',
            'Download it again; docs/data.md says where',
        )  # fmt: skip

    rows: dict[str, list] = {'train': [], 'test': []}
    names, person, dropped = set(), -1, Counter()
    for n, entry in enumerate(pictures):
        images = _structs(getattr(entry, 'image', None))
        name = str(getattr(images[0], 'name', '')) if images else ''
        if not name or name == '[]':
            findings.report('incomplete record', path, f'picture number {n}', 'it has no name')
            continue
        if name in names:
            findings.report(
                'duplicate id', path, f'picture number {n}', f'two pictures are named {name!r}'
            )
            continue
        names.add(name)
        for r, rect in enumerate(_structs(getattr(entry, 'annorect', None))):
            points = [
                p
                for a in _structs(getattr(rect, 'annopoints', None))
                for p in _structs(getattr(a, 'point', None))
            ]
            if not points:
                dropped['no keypoints'] += 1
                continue
            person += 1
            if not is_train[n]:
                dropped["in MPII's own test set"] += 1
                continue
            row = _person(path, f'picture {name}, person {r}', rect, points, findings)
            if row is not None:
                split = 'test' if val_names is not None and name in val_names else 'train'
                rows[split].append((name, person, *row))
    if val_names is not None and not val_names & names:
        raise BadDataError(
            'unknown picture', path, '', f'none of the {len(val_names)} validation pictures is in it',
            'Check --mpii-val-list: one picture name a line, as 005808361.jpg',
        )  # fmt: skip
    out = {'train': _collect('train', [str(path)], rows['train'], dropped)}
    if val_names is not None:
        out['test'] = _collect('test', [str(path)], rows['test'], Counter())
    return out


def _person(
    path: Path, record: str, rect: object, points: list, findings: Findings
) -> tuple | None:
    """(16, 2) px from 0, (16,) visibility and the head's length px of one annorect; None when it is
    bad.
    """
    keypoints, visible = np.zeros((NUM_JOINTS, 2)), np.zeros(NUM_JOINTS, dtype=np.int8)
    for point in points:
        joint = _number(getattr(point, 'id', np.nan))
        xy = np.array([_number(getattr(point, 'x', np.nan)), _number(getattr(point, 'y', np.nan))])
        if not np.isfinite([joint, *xy]).all():
            findings.report(
                'nan', path, record, 'a joint has an id or a place that is not a finite number'
            )
            return None
        if joint not in range(NUM_JOINTS):
            findings.report(
                'wrong keypoint count', path, record, f'joint ids go from 0 to 15, got {joint:g}'
            )
            return None
        if visible[int(joint)]:
            findings.report('duplicate id', path, record, f'joint {joint:g} is labelled twice')
            return None
        keypoints[int(joint)] = xy - 1
        visible[int(joint)] = _visibility(getattr(point, 'is_visible', ''))
    corners = np.array([_number(getattr(rect, name, np.nan)) for name in ('x1', 'y1', 'x2', 'y2')])
    diagonal = np.hypot(corners[2] - corners[0], corners[3] - corners[1])
    return keypoints, visible, HEAD_SHARE_OF_DIAGONAL * diagonal if diagonal > 0 else np.nan


def read_val_names(path: Path) -> set[str]:
    """Picture names of a validation split: MMPose's val json, or a text with one name a line.

    Raises:
        BadDataError: missing file, or no name in it.
    """
    if path.suffix == '.json':
        data = load_json(path)
        rows = data if isinstance(data, list) else []
        names = {
            row if isinstance(row, str) else row.get('image')
            for row in rows
            if isinstance(row, (str, dict))
        }
    else:
        try:
            names = {line.strip() for line in path.read_text(encoding='utf-8').splitlines()}
        except FileNotFoundError:
            raise BadDataError(
                'missing file', path, '', 'there is no such file', 'Check --mpii-val-list'
            ) from None
    names = {Path(name).name for name in names if name}
    if not names:
        raise BadDataError(
            'wrong layout',
            path,
            '',
            'no picture name is in it',
            "One picture name a line, or MMPose's mpii_val.json",
        )
    return names
