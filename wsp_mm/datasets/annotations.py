# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Annotation files: the json reader, the error type, and the checks that all readers share.

The checks are small functions of numpy arrays. A reader turns its records into arrays
(:func:`wsp_mm.datasets.columns.read_columns`), marks those that break a rule, and gives the mask
to :class:`Findings`, which raises at the first bad record, or drops and counts it. What is
possible but implausible (:mod:`wsp_mm.datasets.plausibility`) is judged by its share. N records.
"""

import gc
import json
import os
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

#: What to do about data that is not there.
DATA_REMEDY = (
    'Set WSP_DATA to the folder of the data (docs/data_*.md), or make the embedded world with '
    'python tools/dataset_converters/make_world.py'
)
FILE_REMEDY = 'Get or write the file again; docs/data_*.md say which file belongs here'
SKIP_REMEDY = 'Correct the file, or go on without the record with skip_bad (--skip-bad)'

#: EXIF's tag, and the formats that OpenCV, and so MMPose, turns by it; WebP is not among them.
ORIENTATION = 0x0112
TURNED_FORMATS = ('JPEG', 'MPO', 'PNG', 'TIFF')

#: Keys of COCO-style records that hold most of the bytes of a file, and that no reader here needs.
OUTLINES = (
    'segmentation',
    'ignore_regions_x',
    'ignore_regions_y',
    'scores',
    'licenses',
    'dp_masks',
)


class AnnotationError(ValueError):
    """An annotation file is wrong, or a record in it. The message says where, what and the remedy.

    Attributes:
        kind: short name of what is wrong; skipped records are counted by it.
        file: the file that it was found in.
        record: the record of that file, '' for the file as a whole.
        what: what was found.
        remedy: what to do about it.
    """

    def __init__(
        self, kind: str, file: str | Path, record: str, what: str, remedy: str = FILE_REMEDY
    ) -> None:
        super().__init__(kind, str(file), record, what, remedy)
        self.kind, self.file, self.record, self.what, self.remedy = self.args

    def __str__(self) -> str:
        where = f'{self.file}: {self.record}' if self.record else self.file
        return f'{where}: {self.what}. {self.remedy}'

    def to_dict(self) -> dict[str, str]:
        """Return what json reports keep of it."""
        return dict(kind=self.kind, file=self.file, record=self.record, what=self.what)


@dataclass(frozen=True)
class Verdict:
    """What a plausibility check says of N records.

    Attributes:
        kind: short name of what is wrong; records are counted by it.
        bad: (N,) bool, the implausible records.
        what: says of the i-th record what was found and what would be right.
        badness: (N,) or a number; the largest of the bad records is the example.
        share: of all records; up to it bad records are dropped and counted, above it the file is
            wrong. 0 is for what is impossible.
    """

    kind: str
    bad: np.ndarray
    what: Callable[[int], str]
    badness: np.ndarray | float = 0.0
    share: float = 0.5


@dataclass
class Findings:
    """What was wrong, what could not be checked, and what is worth saying, over a whole run.

    Attributes:
        skip_bad: drop and count bad records; otherwise the first one is raised.
        bad: what was dropped.
        unchecked: what could not be checked -> number of records.
        notes: sentences for the user.
        implausible: kind -> number of records that were dropped because they are implausible.
        examples: kind -> the worst of them, in words.
    """

    skip_bad: bool = False
    bad: list[AnnotationError] = field(default_factory=list)
    unchecked: Counter = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    implausible: Counter = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)

    def add(self, error: AnnotationError) -> None:
        """Raise the error, or with ``skip_bad`` remember it."""
        if not self.skip_bad:
            raise error
        self.bad.append(error)

    @contextmanager
    def guard(self) -> Iterator[None]:
        """Remember an :class:`AnnotationError` that is raised within, with ``skip_bad``."""
        try:
            yield
        except AnnotationError as error:
            self.add(error)

    def report(
        self, kind: str, file: str | Path, record: str, what: str, remedy: str = SKIP_REMEDY
    ) -> None:
        """Raise an :class:`AnnotationError`, or with ``skip_bad`` remember it."""
        self.add(AnnotationError(kind, file, record, what, remedy))

    def drop(
        self,
        bad: np.ndarray,
        kind: str,
        file: str | Path,
        name: Callable[[int], str],
        what: str | Callable[[int], str],
        remedy: str = SKIP_REMEDY,
    ) -> np.ndarray:
        """Report every record of a mask.

        Args:
            bad: (N,) bool.
            kind, file, remedy: of the errors.
            name: gives the name of the i-th record.
            what: what is wrong, or a function that says it of the i-th record.

        Returns:
            (N,) bool, the records that are left.

        Raises:
            AnnotationError: a record is bad and ``skip_bad`` is off.
        """
        for i in np.flatnonzero(bad).tolist():
            self.report(kind, file, name(i), what if isinstance(what, str) else what(i), remedy)
        return ~np.asarray(bad, dtype=bool)

    def judge(
        self,
        verdict: Verdict,
        file: str | Path,
        name: Callable[[int], str],
        remedy: str = SKIP_REMEDY,
    ) -> np.ndarray:
        """Drop and count implausible records; where they are too many the file is wrong.

        Args:
            verdict: which records, and why.
            file, remedy: of the error.
            name: gives the name of the i-th record.

        Returns:
            (N,) bool, the records that are left.

        Raises:
            AnnotationError: more than ``verdict.share`` of the records are implausible, and
                ``skip_bad`` is off.
        """
        bad = np.asarray(verdict.bad, dtype=bool)
        if not (count := int(bad.sum())):
            return ~bad
        worst = int(np.argmax(np.where(bad, verdict.badness, -np.inf)))
        what = verdict.what(worst)
        if count > verdict.share * len(bad):
            if self.skip_bad:
                return self.drop(bad, verdict.kind, file, name, verdict.what, remedy)
            if len(bad) > 1:
                what += f' ({count:,} of {len(bad):,} are like that; this is the worst)'
            raise AnnotationError(verdict.kind, file, name(worst), what, remedy)
        self.implausible[verdict.kind] += count
        self.examples.setdefault(verdict.kind, f'{file}: {name(worst)}: {what}')
        return ~bad

    def implausible_notes(self) -> list[str]:
        """Return a sentence for each kind of implausible records: their number and the worst."""
        return [
            f'left out {count:,} x {kind}, for instance {self.examples[kind]}'
            for kind, count in sorted(self.implausible.items())
        ]

    def counts(self) -> dict[str, int]:
        """Return kind -> number of dropped records."""
        return dict(sorted(Counter(error.kind for error in self.bad).items()))


@contextmanager
def no_garbage_collection() -> Iterator[None]:
    """Millions of small objects make the cycle collector take longer than the parser."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def load_json(
    path: str | Path,
    arrays: Sequence[str] = (),
    drop: Sequence[str] = (),
    dtype: type = np.float64,
    remedy: str = DATA_REMEDY,
) -> Any:
    """Read a json file (UTF-8, or UTF-16 or 32, with or without a byte-order mark).

    A number in a list takes 32 bytes, and an inner list 80 more. With ``arrays`` and ``drop``,
    which act while the file is parsed, a large file takes less than half of the memory, and more
    time.

    Args:
        path: the file.
        arrays: in every object, lists under these keys become arrays. A list that cannot be one is
            left as it is, for the reader to report.
        drop: in every object, these keys are left out.
        dtype: of the arrays.
        remedy: what to do where there is no such file.

    Raises:
        AnnotationError: no such file, or no json.
    """

    def compact(record: dict) -> dict:
        for key in drop:
            record.pop(key, None)
        for key in arrays:
            if isinstance(record.get(key), list):
                with suppress(TypeError, ValueError, OverflowError):
                    record[key] = np.array(record[key], dtype=dtype)
        return record

    try:
        with open(path, 'rb') as file:
            encoding = json.detect_encoding(file.read(4))
        with open(path, encoding=encoding) as file, no_garbage_collection():
            return json.load(file, object_hook=compact if arrays or drop else None)
    except FileNotFoundError:
        raise AnnotationError('missing file', path, '', 'there is no such file', remedy) from None
    except OSError as error:
        what = f'the file cannot be read ({error.strerror})'
        raise AnnotationError('unreadable file', path, '', what, remedy) from None
    except (ValueError, RecursionError) as error:
        what = f'this is no json, or it is cut off ({error})'
        raise AnnotationError('broken json', path, '', what) from None


def check_lists(
    content: object,
    keys: Sequence[str],
    file: str | Path,
    remedy: str = FILE_REMEDY,
    empty: bool = False,
) -> dict:
    """Check that a json file is an object with lists of records.

    Args:
        content: the content of the file.
        keys: names of the lists.
        file, remedy: of the error.
        empty: lists without a record are allowed.

    Returns:
        The content.

    Raises:
        AnnotationError: a list is missing, no list, or empty.
    """
    if not isinstance(content, dict):
        what = f'expected an object with {", ".join(keys)}, got a {type(content).__name__}'
        raise AnnotationError('wrong layout', file, '', what, remedy)
    for key in keys:
        if not isinstance(content.get(key), list) or not (content[key] or empty):
            what = f'{key!r} is missing, empty or no list; the file has {sorted(content)}'
            raise AnnotationError('wrong layout', file, '', what, remedy)
    return content


def record_name(kind: str, record: object, number: int) -> str:
    """Return the name of a record in messages: its id, or its place in the list, from 0."""
    if isinstance(record, Mapping) and record.get('id') is not None:
        return f'{kind} {record["id"]}'
    return f'{kind} number {number}'


def image_name(value: object) -> str:
    """Return the path of an image with / between its folders, however a file of annotations has it;
    '' where it is no name that a file can have.
    """
    name = value.replace('\\', '/') if isinstance(value, str) else ''
    try:
        os.fsencode(name)
    except UnicodeEncodeError:
        return ''
    return '' if '\0' in name else name


def repeated(values: Iterable[Hashable]) -> np.ndarray:
    """Return (N,) bool, the values that occurred before."""
    first: dict[Hashable, int] = {}
    return np.array([first.setdefault(v, i) != i for i, v in enumerate(values)], dtype=bool)


def missing_images(root: str | Path, names: Sequence[str]) -> np.ndarray:
    """Tell which images are absent, asking the disk once a folder.

    Args:
        root: their folder.
        names: (N,) paths relative to it.

    Returns:
        (N,) bool.
    """
    present: dict[str, set[str]] = {}
    for folder in {os.path.dirname(name) for name in names}:
        try:
            with os.scandir(os.path.join(root, folder)) as entries:
                present[folder] = {entry.name for entry in entries}
        except OSError:
            present[folder] = set()
    split = [os.path.split(name) for name in names]
    return np.array([name not in present[folder] for folder, name in split], dtype=bool)


def first_of_folders(names: Iterable[str]) -> list[str]:
    """Return the first path of each folder, in their order."""
    first: dict[str, str] = {}
    for name in names:
        first.setdefault(os.path.dirname(name), name)
    return list(first.values())


def check_images(
    paths: Iterable[str | Path],
    listed_in: str | Path,
    sizes: Mapping[str, tuple[int, int]] | None = None,
) -> None:
    """Check that images exist and, from their headers, that they have the annotated size.

    Args:
        paths: the images; :func:`first_of_folders` is enough to find a wrong folder.
        listed_in: the annotation file that lists them.
        sizes: path -> width and height px; images that are not in it are not compared.

    Raises:
        AnnotationError: some are absent (the message names the first and their number), or one
            cannot be read or is of another size.
    """
    paths = list(paths)
    absent = [str(path) for path in paths if not os.path.isfile(path)]
    if absent:
        raise AnnotationError(
            'missing images', absent[0], '',
            f'the image is not there (listed in {listed_in}; {len(absent):,} of the {len(paths):,} '
            'looked for are missing)',
            f'Set data_root or data_prefix to the folder of the images. {DATA_REMEDY}. '
            'tools/analysis_tools/check_data.py names all that is missing',
        )  # fmt: skip
    remedy = 'Take the images that were labelled; resized ones need resized annotations'
    for path in paths:
        expected = (sizes or {}).get(path)
        if expected is None:
            continue
        try:
            found = image_size(path)
        except OSError as error:
            what = f'no image can be read here ({error})'
            raise AnnotationError('unreadable image', path, '', what, remedy) from None
        if found != tuple(expected):
            what = '{} x {} px, in {} it has {:g} x {:g}'.format(*found, listed_in, *expected)
            raise AnnotationError('image of another size', path, '', what, remedy)


def image_header(path: str | Path) -> tuple[int, int, bool]:
    """Return width and height px of an image as OpenCV reads it, from its header alone, and whether
    it lies on its side in the file.

    Raises:
        OSError: no such file, or no image.
    """
    from PIL import Image

    with Image.open(path) as image:
        turned = image.format in TURNED_FORMATS and image.getexif().get(ORIENTATION, 1) > 4
        # Pillow gives the turned size of a TIFF.
        size = image.size[::-1] if turned and image.format != 'TIFF' else image.size
    return *size, turned


def image_size(path: str | Path) -> tuple[int, int]:
    """Return width and height px, see :func:`image_header`."""
    return image_header(path)[:2]


def build_nonempty(cfg: Mapping) -> Any:
    """Build a data set that holds a sample; MMPose's load as empty where a file has another layout.

    Raises:
        AnnotationError: it is empty; the message names its type, file and selection.
    """
    from mmpose.registry import DATASETS

    try:
        dataset = DATASETS.build(cfg)
        size = len(dataset)
    except ValueError as error:
        # MMEngine joins the serialised samples of a data set, and NumPy cannot join none.
        if 'at least one array to concatenate' not in str(error):
            raise
        size = 0
    if size == 0:
        chosen = {key: cfg[key] for key in cfg if key not in ('type', 'ann_file', 'pipeline')}
        raise AnnotationError(
            'empty data set', cfg.get('ann_file') or '', '',
            f'{str(cfg["type"]).rpartition(".")[2]} loaded nothing, with {chosen}',
            'Check that the file is of the layout that this data set reads, and what selects from '
            'it',
        )  # fmt: skip
    return dataset
