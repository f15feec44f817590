# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Readers of MPII: MMPose's converted json (one row a person) and the official .mat.

N persons, 16 joints.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from wsp_mm.datasets.annotations import (
    DATA_REMEDY,
    SKIP_REMEDY,
    AnnotationError,
    Findings,
    image_name,
    load_json,
    repeated,
)
from wsp_mm.datasets.array_files import NUMBERS, read_mat
from wsp_mm.datasets.columns import Column, Rule, read_columns
from wsp_mm.datasets.converters.mcpc.sources import (
    MCPC_SPLITS,
    Image,
    PersonTable,
    make_table,
    missing_annotations,
)

NUM_JOINTS = 16
#: MPII places the ends of the head on the diagonal of an annotated head rectangle, 0.8 of it apart.
HEAD_SHARE_OF_DIAGONAL = 0.8
_FLAGS = Rule('must be 0 or 1', lambda v: np.isin(v, (0, 1)).all(axis=1))
MAT_NAME = 'mpii_human_pose_v1_u12_1.mat'
# Where the official archives leave the file when they are unpacked.
_MAT_FOLDERS = ('.', 'annotations', 'mpii_human_pose_v1_u12_2', 'mpii_human_pose_v1_u12_1')


def read_mpii(
    root: Path, splits: Sequence[str], findings: Findings, val_list: str | None = None
) -> dict[str, PersonTable]:
    """Read the wanted splits of MPII: MMPose's json where there is ``mpii_train.json``, else the
    official .mat.

    Args:
        root: its folder.
        splits: of MCPC.
        findings: gets every bad record; with ``skip_bad`` a broken file of two is left out.
        val_list: file with the image names of the validation set, for the .mat.

    Raises:
        AnnotationError: no annotation file, or one that cannot be used.
    """
    files = {s: root / f'annotations/mpii_{MCPC_SPLITS[s]["mpii"][0]}.json' for s in MCPC_SPLITS}
    mats = [root / folder / MAT_NAME for folder in _MAT_FOLDERS]
    mat = next((path for path in mats if path.is_file()), None)
    if mat is None or files['train'].is_file():
        found = {}
        for split in splits:
            with findings.guard():
                if not files[split].is_file():
                    raise missing_annotations(root, split, [files[split].name, MAT_NAME])
                found[split] = read_mpii_json(files[split], split, findings)
        return found
    if val_list is None and files['test'].is_file():
        val_list = files['test']
    if val_list is None:
        findings.notes.append(
            f'mpii: {mat.name} has no validation split and no --mpii-val-list was given: ALL of '
            'MPII is train, and the test set has no MPII images'
        )
    data = read_mpii_mat(mat, None if val_list is None else read_val_names(val_list), findings)
    return {split: part for split, part in data.items() if split in splits}


def _make_table(
    split: str, path: Path, names: Sequence, dropped: Mapping, findings: Findings, **columns
) -> PersonTable:
    """Return the persons as a table; ``names`` (N,) are the images that they are in."""
    found = {name: i for i, name in enumerate(dict.fromkeys(names))}
    images = [Image('mpii', split, f'images/{name}', name, str(path)) for name in found]
    index = np.array([found[name] for name in names], dtype=np.int64)
    key = 'mpii', split
    return make_table(key, images, dropped, 'mpii16', findings=findings, image=index, **columns)


def read_mpii_json(path: Path, split: str, findings: Findings) -> PersonTable:
    """Read MMPose's ``mpii_*.json``: a list with image, joints and joints_vis a person.

    Joints are taken as they are, as MMPose's own reader does.

    Args:
        path: the json file.
        split: what to call the result.
        findings: gets every bad record.

    Returns:
        Rows grouped by image; the id of a person is the number of its row, from 0.

    Raises:
        AnnotationError: the file as a whole cannot be used, or a record is bad and bad records are
            not skipped.
    """
    rows = load_json(path, arrays=('joints', 'joints_vis'))
    if not isinstance(rows, list):
        what = f'expected a list of persons, got a {type(rows).__name__}'
        raise AnnotationError('wrong layout', path, '', what)
    columns = dict(joints=Column((NUM_JOINTS, 2)), joints_vis=Column((NUM_JOINTS,), rule=_FLAGS))
    values, kept = read_columns(rows, columns, path, 'row', findings)
    names = np.array([image_name(rows[i].get('image')) for i in kept], dtype=object)
    name_of, what = (lambda i: f'row number {kept[i]}'), 'a row needs the name of its image'
    good = findings.drop(names == '', 'bad image', path, name_of, what)
    return _make_table(
        split, path, names[good].tolist(), {}, findings, id=kept[good].tolist(),
        keypoints=values['joints'][good], visible=values['joints_vis'][good],
    )  # fmt: skip


def read_mpii_mat(
    path: Path, val_names: set[str] | None, findings: Findings
) -> dict[str, PersonTable]:
    """Read the official ``mpii_human_pose_v1_u12_1.mat``.

    Its pixels count from 1, and so do joint positions: both are moved to count from 0. MPII
    published no labels for its test images and no validation split.

    Args:
        path: the .mat file.
        val_names: image names of the validation set, which is MCPC's test; None makes everything
            train.
        findings: gets every bad record.

    Returns:
        'train' -> data and, with ``val_names``, 'test' -> data. The id of a person is its running
        number among all labelled persons of the file, from 0.

    Raises:
        AnnotationError: the file as a whole cannot be used, or a record is bad and bad records are
            not skipped.
    """
    entries, is_train = _load_release(path)
    names = [image_name(getattr(getattr(entry, 'image', None), 'name', '')) for entry in entries]
    nameless = np.array([not name for name in names], dtype=bool)
    name_of = 'image number {}'.format
    good = findings.drop(nameless, 'incomplete record', path, name_of, 'it has no name')
    again = good & repeated(names)
    good &= findings.drop(again, 'duplicate id', path, name_of, lambda i: f'again {names[i]!r}')
    if val_names is not None and not val_names & set(names):
        what = f'none of the {len(val_names)} validation images is in it'
        remedy = 'Check --mpii-val-list: one image name a line, as 005808361.jpg'
        raise AnnotationError('unknown image', path, '', what, remedy)
    rows = {'train': []} if val_names is None else {'train': [], 'test': []}
    dropped, person = Counter(), -1
    for n in np.flatnonzero(good):
        for r, rect in enumerate(_structs(entries[n], 'annorect')):
            points = [p for a in _structs(rect, 'annopoints') for p in _structs(a, 'point')]
            person += bool(points)
            if not points:
                dropped['no keypoints'] += 1
            elif not is_train[n]:
                dropped["in MPII's own test set"] += 1
            else:
                split = 'test' if names[n] in (val_names or ()) else 'train'
                with findings.guard():
                    joints = _person(path, f'image {names[n]}, person {r}', rect, points)
                    rows[split].append((names[n], person, *joints))
    found = {}
    for split, persons in rows.items():
        image_names, ids, *columns = zip(*persons, strict=True) if persons else [()] * 5
        found[split] = _make_table(
            split, path, image_names, dropped if split == 'train' else {}, findings, id=ids,
            keypoints=np.reshape(columns[0], (-1, NUM_JOINTS, 2)),
            visible=np.reshape(columns[1], (-1, NUM_JOINTS)),
            head_length=np.array(columns[2], dtype=np.float64),
        )  # fmt: skip
    return found


def _load_release(path: Path) -> tuple[list, np.ndarray]:
    """Return the images of the release, and whether each is of MPII's training set."""
    release = read_mat(path, DATA_REMEDY, struct_as_record=False, squeeze_me=True).get('RELEASE')
    entries, is_train = _structs(release, 'annolist'), np.ravel(getattr(release, 'img_train', ()))
    if not entries or len(entries) != len(is_train) or is_train.dtype.kind not in NUMBERS:
        what = f'no MPII release: {len(entries)} images, {len(is_train)} {is_train.dtype} flags'
        raise AnnotationError('broken mat', path, '', what)
    return entries, is_train


def _structs(parent: object, name: str) -> list:
    """Return a field of a MATLAB struct as a list of structs; SciPy gives a single one as itself,
    and none as an empty array or text.
    """
    value = np.asarray(getattr(parent, name, None), dtype=object)
    return [item for item in value.ravel() if hasattr(item, '_fieldnames')]


def _numbers(struct: object, *names: str) -> list[float]:
    """Return some fields of a struct as numbers, nan where one is no number."""
    found = [np.ravel(getattr(struct, name, np.nan)) for name in names]
    known = [flat.size == 1 and flat.dtype.kind in NUMBERS for flat in found]
    return [float(flat[0]) if good else np.nan for flat, good in zip(found, known, strict=True)]


def _visibility(point: object) -> int:
    """Return 2 for visible, 1 for hidden or unknown: is_visible is a number, text or empty."""
    text = ''.join(str(value) for value in np.ravel(getattr(point, 'is_visible', ''))[:1]).strip()
    try:
        return 2 if float(text) > 0 else 1
    except ValueError:
        return 1


def _person(path: Path, name: str, rect: object, points: list) -> tuple:
    """Return (16, 2) px from 0, (16,) visibility and the head's length px of one annorect.

    Raises:
        AnnotationError: a joint is impossible; the message calls the person ``name``.
    """
    table = np.array([_numbers(point, 'id', 'x', 'y') for point in points])
    ids = table[:, 0].tolist()
    valid = set(ids) <= set(range(NUM_JOINTS)) and len(set(ids)) == len(ids)
    if not valid or not np.isfinite(table).all():
        what = f'joints need ids from 0 to 15, each once, and numbers x and y; got {table.tolist()}'
        raise AnnotationError('bad joints', path, name, what, SKIP_REMEDY)
    keypoints, visible = np.zeros((NUM_JOINTS, 2)), np.zeros(NUM_JOINTS, dtype=np.int8)
    rows = table[:, 0].astype(int)
    keypoints[rows] = table[:, 1:] - 1
    visible[rows] = [_visibility(point) for point in points]
    x1, y1, x2, y2 = _numbers(rect, 'x1', 'y1', 'x2', 'y2')
    diagonal = np.hypot(x2 - x1, y2 - y1)
    return keypoints, visible, HEAD_SHARE_OF_DIAGONAL * diagonal if diagonal > 0 else np.nan


def read_val_names(path: str | Path) -> set[str]:
    """Read the image names of a validation split: MMPose's val json, or a text of one name a line.

    Raises:
        AnnotationError: missing file, or no name in it.
    """
    path = Path(path)
    if path.suffix == '.json':
        content = load_json(path)
        rows = content if isinstance(content, list) else []
        names = [row.get('image') if isinstance(row, Mapping) else row for row in rows]
    elif path.is_file():
        text = path.read_text(encoding='utf-8-sig', errors='replace')
        names = [line.strip() for line in text.splitlines()]
    else:
        what = 'there is no such file'
        raise AnnotationError('missing file', path, '', what, 'Check --mpii-val-list')
    found = {Path(image_name(name)).name for name in names} - {''}
    if not found:
        remedy = "One image name a line, or MMPose's mpii_val.json"
        raise AnnotationError('wrong layout', path, '', 'no image name is in it', remedy)
    return found
