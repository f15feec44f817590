# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Is everything there that a config's data sets will read? Asked of the config alone, before
anything is built.

A data set type that reads more than one COCO-style file adds a function to :data:`NEEDS`.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from wsp_mm.datasets.bbox_root import prediction_path
from wsp_mm.datasets.converters.mcpc.files import load_json
from wsp_mm.datasets.converters.mcpc.records import SOURCES, BadDataError
from wsp_mm.datasets.h36m_arrays import CONVERTER, open_arrays
from wsp_mm.structures.h36m import check_actions, select_step, select_subjects


@dataclass(frozen=True)
class Problem:
    """Something that is missing or broken.

    Attributes:
        where: dotted name of the data set in the config.
        path: the file or folder.
        what: what is wrong with it.
        kind: 'file', 'folder', 'picture' or 'config'.
    """

    where: str
    path: str
    what: str
    kind: str

    def __str__(self) -> str:
        return f'{self.kind} {self.path}: {self.what} [{self.where}]'


@dataclass
class Report:
    """What :func:`check_config` found.

    Attributes:
        problems: what has to be mended.
        looked_at: number of files, folders and pictures that were looked for.
        unchecked: data sets that could not be checked, and why.
    """

    problems: list[Problem] = field(default_factory=list)
    looked_at: int = 0
    unchecked: list[str] = field(default_factory=list)


@dataclass
class DatasetFiles:
    """A data set's entry in a config, its paths put together as MMEngine does.

    Attributes:
        cfg: the entry.
        ann_file: None where there is none.
        prefix: name in ``data_prefix`` -> folder.
    """

    cfg: Mapping
    ann_file: Path | None = field(init=False)
    prefix: dict[str, Path] = field(init=False)

    def __post_init__(self) -> None:
        name = self.cfg.get('ann_file')
        self.ann_file = self.path(name) if name else None
        prefix = self.cfg.get('data_prefix') or {}
        self.prefix = {
            key: self.path(value) for key, value in prefix.items() if isinstance(value, str)
        }

    def path(self, name: str) -> Path:
        """Relative to ``data_root``, unless it is absolute."""
        return Path(self.cfg.get('data_root') or '', name)

    def folder(self, key: str) -> Path:
        """The folder of a prefix; one that the config does not give is the data root itself."""
        return self.prefix.get(key, self.path(''))


def coco_pictures(files: DatasetFiles) -> Iterator[Path]:
    """Pictures of a COCO-style file."""
    for image in load_json(files.ann_file)['images']:
        yield files.folder('img') / image['file_name']


def mcpc_pictures(files: DatasetFiles) -> Iterator[Path]:
    """Pictures of an MCPC file: each source has a prefix of its own, by default its name."""
    folders = {source: files.prefix.get(source, files.path(source)) for source in SOURCES}
    for image in load_json(files.ann_file)['images']:
        yield folders[image['source']] / image['file_name']


def mpii_pictures(files: DatasetFiles) -> Iterator[Path]:
    """Pictures of MMPose's MPII json."""
    for row in load_json(files.ann_file):
        yield files.folder('img') / row['image']


def muco_files(files: DatasetFiles) -> list[Path]:
    """MuCo-3DHP.json, which an entry need not name."""
    return [files.ann_file or files.path('muco/MuCo-3DHP.json')]


def muco_pictures(files: DatasetFiles) -> Iterator[Path]:
    """Pictures of MuCo-3DHP.json, which lists both sets."""
    for image in load_json(muco_files(files)[0], slim=False)['images']:
        yield files.prefix.get('img', files.path('muco')) / image['file_name']


def mupots_files(files: DatasetFiles) -> list[Path]:
    """MuPoTS-3D.json, which an entry need not name."""
    return [files.ann_file or files.path('mupots/MuPoTS-3D.json')]


def mupots_pictures(files: DatasetFiles) -> Iterator[Path]:
    """Pictures of MuPoTS-3D.json."""
    for image in load_json(mupots_files(files)[0], slim=False)['images']:
        yield files.prefix.get('img', files.path('mupots/MultiPersonTestSet')) / image['file_name']


def _h36m_selection(cfg: Mapping) -> tuple:
    """Subjects, frame step and actions of an entry."""
    test_mode = bool(cfg.get('test_mode'))
    return (
        select_subjects(cfg.get('protocol'), cfg.get('subjects'), test_mode),
        select_step(cfg.get('frame_step'), test_mode),
        check_actions(cfg.get('actions')),
    )


def h36m_files(files: DatasetFiles) -> list[Path]:
    """The header of Human3.6M's arrays, whose folder an entry need not name."""
    _h36m_selection(files.cfg)
    return [files.path(files.cfg.get('ann_file') or 'human36m/arrays') / 'header.json']


def h36m_pictures(files: DatasetFiles) -> Iterator[Path]:
    """Images of Human3.6M, of the subjects and frames that the entry selects."""
    arrays = open_arrays(h36m_files(files)[0].parent)
    rows = arrays.select(*_h36m_selection(files.cfg))
    folder = files.prefix.get('img', files.path(arrays.header['images']))
    for name in arrays.columns['file_name'][rows].tolist():
        yield folder / name.decode()


#: Type of the data set -> function that yields every file, folder or picture that it reads beside
#: ``ann_file``.
NEEDS: dict[str, Callable[[DatasetFiles], Iterable[Path]]] = {
    'MCPCDataset': mcpc_pictures,
    'MpiiDataset': mpii_pictures,
    'CocoDataset': coco_pictures,
    'H36MImageDataset': h36m_pictures,
    'MuCoDataset': muco_pictures,
    'MuPoTSDataset': mupots_pictures,
    'CrowdPoseDataset': coco_pictures,
    'PoseTrack18Dataset': coco_pictures,
}


#: Type of the data set -> function that names the annotation files it reads beside ``ann_file``.
FILES: dict[str, Callable[[DatasetFiles], Iterable[Path]]] = {
    'H36MImageDataset': h36m_files,
    'MuCoDataset': muco_files,
    'MuPoTSDataset': mupots_files,
}

# What writes a file of predictions.
_WRITTEN_BY = {
    ('MuPoTSDataset', 'bbox_root_file'): 'write it with tools/predict_roots.py',
    ('MuPoTSDataset', 'boxes_file'): 'write it with tools/detect_persons.py',
}

# Two entries that differ in these read different files of one data set.
_SELECTING = (
    'ann_file', 'actions', 'protocol', 'subjects', 'frame_step', 'test_mode', 'bbox_root_file', 'boxes_file',
)  # fmt: skip


def datasets_of(cfg: Mapping) -> Iterator[tuple[str, Mapping]]:
    """Every data set in the dataloaders of a config, wrapped ones taken out of their wrappers.

    Yields:
        Dotted name and entry.
    """

    def walk(where: str, node: object) -> Iterator[tuple[str, Mapping]]:
        if isinstance(node, (list, tuple)):
            for i, item in enumerate(node):
                yield from walk(f'{where}.{i}', item)
        elif isinstance(node, Mapping):
            inner = [key for key in ('datasets', 'dataset') if key in node]
            for key in inner:
                yield from walk(f'{where}.{key}', node[key])
            if not inner and 'type' in node:
                yield where, node

    for name in cfg:
        loader = cfg[name]
        if not str(name).endswith('_dataloader') or not loader:
            continue
        for i, one in enumerate(loader if isinstance(loader, (list, tuple)) else [loader]):
            where = f'{name}.{i}' if isinstance(loader, (list, tuple)) else name
            yield from walk(f'{where}.dataset', one.get('dataset'))


def _pick(paths: list[Path], samples: int) -> list[Path]:
    """So many of them, evenly spread; 0 for all."""
    if not samples or len(paths) <= samples:
        return paths
    return [paths[i * len(paths) // samples] for i in range(samples)]


def _missing_pictures(where: str, paths: list[Path], samples: int) -> Iterator[Problem]:
    """Folders are looked for one and all, since a missing folder is a missing sequence; files as
    asked.
    """
    by_folder: dict[str, list[Path]] = defaultdict(list)
    for path in paths:
        by_folder[os.path.dirname(path)].append(path)
    missing = {folder for folder in by_folder if not os.path.isdir(folder)}
    for folder in sorted(missing):
        yield Problem(
            where, folder, f'no such folder, it should hold {len(by_folder[folder]):,}', 'folder'
        )
    rest = [path for path in paths if os.path.dirname(path) not in missing]
    for path in sorted(set(_pick(rest, samples))):
        if not os.path.exists(path):
            yield Problem(where, str(path), 'it is listed, but not there', 'picture')


def check_dataset(where: str, cfg: Mapping, samples: int, report: Report) -> None:
    """Look for everything that one data set reads.

    Args:
        where: its dotted name in the config.
        cfg: its entry.
        samples: so many of its pictures are looked for, 0 for all.
        report: told of the outcome.
    """
    files, kind = DatasetFiles(cfg), str(cfg.get('type')).rpartition('.')[2]
    for key in ('ann_file', 'bbox_file', 'bbox_root_file', 'boxes_file'):
        if not cfg.get(key):
            continue
        report.looked_at += 1
        path = files.path(cfg[key])
        if key in ('bbox_root_file', 'boxes_file'):
            path = Path(prediction_path(cfg.get('data_root') or '', cfg[key]))
        if not path.is_file() and not (kind == 'H36MImageDataset' and key == 'ann_file'):
            mend = (
                'build it with tools/dataset_converters/build_mcpc.py'
                if kind == 'MCPCDataset'
                else ''
            )
            mend = _WRITTEN_BY.get((kind, key), mend)
            what = 'no such file; ' + (mend or 'docs/data.md says where to get it')
            report.problems.append(Problem(where, str(path), what, 'file'))
            if key == 'ann_file':
                return
    needs = NEEDS.get(kind)
    try:
        missing = (
            [path for path in FILES[kind](files) if not path.is_file()] if kind in FILES else []
        )
    except ValueError as error:
        report.problems.append(Problem(where, kind, str(error), 'config'))
        return
    if missing:
        what = 'no such file; docs/data.md says where to get it'
        if kind == 'H36MImageDataset':
            what = f'no such file; write it with {CONVERTER}'
        report.problems.extend(Problem(where, str(path), what, 'file') for path in missing)
        return
    if needs is None:
        if files.ann_file is None or files.ann_file.suffix != '.json':
            report.unchecked.append(f'{where}: it is not known what a {kind} reads')
            return
        needs = coco_pictures
    try:
        paths = list(needs(files))
    except BadDataError as error:
        report.problems.append(Problem(where, error.file, f'{error.what}. {error.remedy}', 'file'))
        return
    except (KeyError, TypeError, AttributeError, ValueError, OSError) as error:
        if kind not in NEEDS:
            report.unchecked.append(f'{where}: it is not known what a {kind} reads')
            return
        what = f'not what a {kind} reads: {type(error).__name__}: {error}'
        report.problems.append(Problem(where, str(files.ann_file), what, 'file'))
        return
    if not paths:
        report.problems.append(Problem(where, str(files.ann_file), 'it lists no picture', 'file'))
    report.looked_at += len(_pick(paths, samples))
    report.problems.extend(_missing_pictures(where, paths, samples))


def _evaluator_files(cfg: Mapping) -> Iterator[tuple[str, str]]:
    """Annotation files that metrics read on their own."""
    for name in cfg:
        if not str(name).endswith('_evaluator') or not cfg[name]:
            continue
        found = cfg[name] if isinstance(cfg[name], (list, tuple)) else [cfg[name]]
        for i, metric in enumerate(found):
            if not isinstance(metric, Mapping) or not isinstance(metric.get('ann_file'), str):
                continue
            root = metric.get('data_root') or ''
            ann_file = os.path.join(root, metric['ann_file'])
            yield f'{name}.{i}.ann_file', ann_file
            if isinstance(metric.get('sequences_dir'), str):
                folder = os.path.join(root, metric['sequences_dir'])
                for path in _sequence_files(ann_file, folder):
                    yield f'{name}.{i}.sequences_dir', path


def _sequence_files(ann_file: str, folder: str) -> Iterator[str]:
    """The official ground truth of every sequence that MuPoTS-3D.json lists; none where that cannot
    be read, which is a problem of its own.
    """
    try:
        images = load_json(Path(ann_file), slim=False)['images']
        sequences = dict.fromkeys(image['file_name'].partition('/')[0] for image in images)
    except (KeyError, TypeError, AttributeError, ValueError, OSError):
        return
    for sequence in sequences:
        for name in ('annot.mat', 'occlusion.mat'):
            yield os.path.join(folder, sequence, name)


def check_config(cfg: Mapping, samples: int = 200) -> Report:
    """Look for every file and folder, and for some or all pictures, of all data sets of a config.

    Args:
        cfg: the config, a plain dict or MMEngine's.
        samples: so many pictures of each data set are looked for, 0 for all. Folders are all looked
            for.

    Returns:
        What is missing, named once however many dataloaders share it.
    """
    report, seen = Report(), set()
    for where, dataset in datasets_of(cfg):
        files = DatasetFiles(dataset)
        key = (
            str(dataset.get('type')),
            files.ann_file,
            str(files.prefix),
            str(dataset.get('bbox_file')),
        )
        if key[0].endswith(('H36MImageDataset', 'MuPoTSDataset')):
            key += (str(files.path('')), *(str(dataset.get(name)) for name in _SELECTING))
        if key not in seen:
            seen.add(key)
            check_dataset(where, dataset, samples, report)
    if not seen:
        report.problems.append(
            Problem('config', '', 'it has no dataloader with a data set', 'config')
        )
    seen_files = set()
    for where, path in _evaluator_files(cfg):
        if path in seen_files:  # the evaluators of validation and test share their files
            continue
        seen_files.add(path)
        report.looked_at += 1
        if not os.path.isfile(path):
            report.problems.append(Problem(where, path, 'no such file', 'file'))
    return report
