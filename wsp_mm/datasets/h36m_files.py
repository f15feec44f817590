# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Where Human3.6M's files lie in each layout, and which of them a selection needs. Imports nothing
heavy.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from wsp_mm.datasets.converters.mcpc.files import load_json
from wsp_mm.datasets.converters.mcpc.records import BadDataError
from wsp_mm.datasets.h36m_3dmppe import files_of
from wsp_mm.datasets.h36m_index import read_index
from wsp_mm.datasets.h36m_mmpose import SPLITS, npz_file
from wsp_mm.datasets.h36m_sequences import PROTOCOLS, check_subjects, parse_file_name

#: Layout -> (annotations, pictures), relative to the data root. An index has the pictures of its
#: own layout.
PLACES = {
    '3dmppe': ('human36m/annotations', 'human36m/images'),
    'mmpose': ('h36m/annotation_body3d', 'h36m/images'),
    'index': ('human36m/h36m.index', None),
}

#: Every so many frames of 50 a second, as PoseNet.
TRAIN_STEP, TEST_STEP = 5, 64


def select_subjects(
    protocol: int | None, subjects: Sequence[int] | None, test_mode: bool
) -> tuple[int, ...]:
    """The subjects that ``protocol`` (1 by default) or ``subjects`` mean.

    Raises:
        ValueError: both are given, or one that is unknown.
    """
    if subjects is not None:
        if protocol is not None:
            raise ValueError(
                f'either a protocol or subjects, not both: got {protocol} and {list(subjects)}'
            )
        return check_subjects(subjects)
    protocol = 1 if protocol is None else protocol
    if protocol not in PROTOCOLS:
        raise ValueError(f'subject protocol must be one of {sorted(PROTOCOLS)}, got {protocol!r}')
    return PROTOCOLS[protocol][bool(test_mode)]


def select_step(frame_step: int | None, test_mode: bool) -> int:
    """Every so many frames; the default is PoseNet's.

    Raises:
        ValueError: not a positive number.
    """
    step = frame_step if frame_step is not None else TEST_STEP if test_mode else TRAIN_STEP
    if not isinstance(step, int) or step < 1:
        raise ValueError(f'frame_step must be a positive number, got {step!r}')
    return step


def annotation_files(layout: str, place: Path, subjects: Sequence[int], step: int) -> list[Path]:
    """The files that are read for some subjects, whether they are there or not."""
    if layout == 'index':
        return [place]
    if layout == '3dmppe':
        return [path for subject in subjects for path in files_of(place, subject).values()]
    files = [place / 'cameras.pkl']
    for split, of_split in SPLITS.items():
        if set(subjects) & set(of_split):
            try:
                files.append(npz_file(place, split, (step,)))
            except BadDataError as error:
                files.append(Path(error.file))
    return files


def picture_names(
    layout: str, place: Path, subjects: Sequence[int], step: int
) -> tuple[str, list[str]]:
    """The pictures of a selection.

    Returns:
        Their folder relative to the data root, and their names relative to it.

    Raises:
        BadDataError: a file is missing or broken.
    """
    if layout == 'index':
        table = read_index(place)
        kept = np.isin(table.rows.subject, subjects) & (table.rows.frame % step == 0)
        return PLACES[table.layout][1], [name.decode() for name in table.rows.file_name[kept]]
    found = _of_3dmppe if layout == '3dmppe' else _of_mmpose
    return PLACES[layout][1], list(found(place, subjects, step))


def _of_3dmppe(place: Path, subjects: Sequence[int], step: int) -> Iterator[str]:
    for subject in subjects:
        for image in load_json(files_of(place, subject)['data'], slim=False)['images']:
            if image['frame_idx'] % step == 0:
                yield image['file_name']


def _of_mmpose(place: Path, subjects: Sequence[int], step: int) -> Iterator[str]:
    for file in annotation_files('mmpose', place, subjects, step)[1:]:
        try:
            with np.load(file, allow_pickle=False) as content:
                names = content['imgname'].tolist()
        except (EOFError, zipfile.BadZipFile) as error:
            raise BadDataError(
                'broken npz', file, '', f'it cannot be read ({error})', 'Make it again'
            ) from None
        for name in names:
            parsed = parse_file_name(name)
            if parsed[0] in subjects and parsed[-1] % step == 0:
                yield name
