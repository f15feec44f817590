# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Where each source keeps its annotation files, and which of them make which split of MCPC."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

from wsp_mm.datasets.converters.mcpc.coco_style import read_coco_style
from wsp_mm.datasets.converters.mcpc.mpii import read_mpii_json, read_mpii_mat, read_val_names
from wsp_mm.datasets.converters.mcpc.options import BuildOptions
from wsp_mm.datasets.converters.mcpc.records import BadDataError, Findings, SourceData, merge

#: MCPC's split -> the source's own (no source but CrowdPose publishes labels for its test set).
_OWN_SPLIT = {'train': 'train', 'test': 'val'}
MPII_MAT = 'mpii_human_pose_v1_u12_1.mat'
# Where the official archives leave the file when they are unpacked.
_MPII_MAT_FOLDERS = ('.', 'annotations', 'mpii_human_pose_v1_u12_2', 'mpii_human_pose_v1_u12_1')

Bar = Callable[[Iterable, str], Iterable]


def _missing(root: Path, source: str, split: str, looked_for: list[str]) -> BadDataError:
    return BadDataError(
        'missing file', root, '',
        f'{source} has no annotations for {split} here; looked for {" or ".join(looked_for)}',
        f'docs/data.md says where to get them; --splits builds one split alone, and without --{source} the '
        f'build goes on without this source',
    )  # fmt: skip


def _read_coco(root: Path, split: str, findings: Findings) -> SourceData:
    own = _OWN_SPLIT[split]
    name = f'annotations/person_keypoints_{own}2017.json'
    if not (root / name).is_file():
        raise _missing(root, 'coco', split, [name])
    return read_coco_style(root / name, 'coco', split, 'coco17', f'{own}2017/', findings)


def _read_crowdpose(root: Path, split: str, findings: Findings) -> SourceData:
    choices = {'train': (('trainval',), ('train', 'val'), ('train',)), 'test': (('test',),)}[split]
    for choice in choices:
        paths = [root / f'annotations/mmpose_crowdpose_{part}.json' for part in choice]
        if all(path.is_file() for path in paths):
            break
    else:
        names = [f'annotations/mmpose_crowdpose_{choice[0]}.json' for choice in choices]
        raise _missing(root, 'crowdpose', split, list(dict.fromkeys(names)))
    if choice == ('train',):
        findings.notes.append(
            'crowdpose: its val file is missing, so train is less than the usual train and val'
        )
    parts = [
        read_coco_style(path, 'crowdpose', split, 'crowdpose14', 'images/', findings)
        for path in paths
    ]
    return _unique_ids(merge(parts), parts)


def _read_posetrack18(root: Path, split: str, findings: Findings, bar: Bar) -> SourceData:
    own = _OWN_SPLIT[split]
    merged, folder = root / f'annotations/posetrack18_{own}.json', root / 'annotations' / own
    videos = sorted(folder.glob('*.json'))
    if merged.is_file():
        if videos:
            findings.notes.append(
                f'posetrack18 {split}: took {merged.name}, not the {len(videos)} files by video'
            )
        return read_coco_style(merged, 'posetrack18', split, 'posetrack18', '', findings)
    if not videos:
        raise _missing(
            root, 'posetrack18', split, [f'annotations/{own}/*.json', f'annotations/{merged.name}']
        )
    parts = []
    for video in bar(videos, f'posetrack18 {split}'):
        try:
            parts.append(read_coco_style(video, 'posetrack18', split, 'posetrack18', '', findings))
        except BadDataError as error:  # one broken video must not cost the others
            if not findings.skip_bad:
                raise
            findings.bad.append(error)
    if not parts:
        raise _missing(
            root, 'posetrack18', split, [f'a file that can be read under annotations/{own}/']
        )
    return _unique_ids(merge(parts), parts)


def _unique_ids(data: SourceData, parts: list[SourceData]) -> SourceData:
    """Ids are unique within a file; where two files share one, every id gets its file's name in
    front.
    """

    def repeated(ids: Iterable) -> bool:
        return any(count > 1 for count in Counter(ids).values())

    stems = [Path(part.files[0]).stem for part in parts]
    if repeated(data.source_ids):
        data.source_ids = [
            f'{stem}/{key}'
            for stem, part in zip(stems, parts, strict=True)
            for key in part.source_ids
        ]
    if repeated(picture.source_id for picture in data.pictures):
        for stem, part in zip(stems, parts, strict=True):
            for picture in part.pictures:
                picture.source_id = f'{stem}/{picture.source_id}'
    return data


def _read_mpii(options: BuildOptions, findings: Findings) -> dict[str, SourceData]:
    """All splits of MPII that are wanted and there, from MMPose's json or the official .mat."""
    root, kind = options.roots['mpii'], options.mpii_annotations
    json_names = {split: f'annotations/mpii_{_OWN_SPLIT[split]}.json' for split in options.splits}
    mats = [root / folder / MPII_MAT for folder in _MPII_MAT_FOLDERS]
    mat = next((path for path in mats if path.is_file()), None)
    if kind == 'auto':
        kind = (
            'mat'
            if mat is not None and not (root / 'annotations/mpii_train.json').is_file()
            else 'json'
        )
    if kind == 'json':
        out = {}
        for split, name in json_names.items():
            path = root / name
            try:
                if not path.is_file():
                    raise _missing(root, 'mpii', split, [name, MPII_MAT])
                out[split] = read_mpii_json(path, split, findings, options.mpii_json_base)
            except BadDataError as error:  # of one split alone
                _or_skip(error, findings)
        return out
    if mat is None:
        _or_skip(
            _missing(root, 'mpii', 'train', [str(path.relative_to(root)) for path in mats]),
            findings,
        )
        return {}
    listed = options.mpii_val_list
    if listed is None and (root / 'annotations/mpii_val.json').is_file():
        listed = root / 'annotations/mpii_val.json'
    if listed is None:
        findings.notes.append(
            f'mpii: {mat.name} has no validation split and no --mpii-val-list was given: ALL of MPII is train, '
            'and the test set has no MPII pictures'
        )
    data = read_mpii_mat(mat, None if listed is None else read_val_names(listed), findings)
    return {split: part for split, part in data.items() if split in options.splits}


def _or_skip(error: BadDataError, findings: Findings) -> None:
    if not findings.skip_bad:
        raise error
    findings.bad.append(error)


def read_source(
    source: str, options: BuildOptions, findings: Findings, bar: Bar
) -> dict[str, SourceData]:
    """The wanted splits of one source.

    Args:
        source: name in :data:`wsp_mm.datasets.converters.mcpc.records.SOURCES`.
        options: of the build.
        findings: told of every bad record.
        bar: progress bar, called with an iterable and a label.

    Returns:
        split -> data; with bad records skipped, a split without a usable file is absent.

    Raises:
        BadDataError: the folder or an annotation file is missing or broken, or a record is bad, and
            bad records are not skipped.
    """
    root = options.roots[source]
    if not root.is_dir():
        error = BadDataError(
            'missing file', root, '', 'there is no such folder', f'Check --{source}'
        )
        _or_skip(error, findings)
        return {}
    try:
        if source == 'mpii':
            return _read_mpii(options, findings)
    except BadDataError as error:
        _or_skip(error, findings)
        return {}
    out = {}
    for split in options.splits:
        try:
            if source == 'coco':
                out[split] = _read_coco(root, split, findings)
            elif source == 'crowdpose':
                out[split] = _read_crowdpose(root, split, findings)
            else:
                out[split] = _read_posetrack18(root, split, findings, bar)
        except BadDataError as error:
            _or_skip(error, findings)
    return out
