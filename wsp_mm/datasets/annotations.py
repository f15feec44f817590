# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Annotation files: the json reader, the error type, and the checks that all readers share.

The checks are small functions of numpy arrays. A reader turns its records into arrays with
:func:`read_columns`, marks those that break a rule, and gives the mask to :class:`Findings`, which
raises at the first bad record, or drops and counts it. N records.
"""

import gc
import json
import os
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

#: What to do about data that is not there.
DATA_REMEDY = (
    'Set WSP_DATA to the folder of the data (docs/data.md), or make the embedded world with '
    'python tools/dataset_converters/make_world.py'
)
FILE_REMEDY = 'Get or write the file again; docs/data.md says which file belongs here'
SKIP_REMEDY = 'Correct the file, or go on without the record with skip_bad (--skip-bad)'

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


@dataclass
class Findings:
    """What was wrong, what could not be checked, and what is worth saying, over a whole run.

    Attributes:
        skip_bad: drop and count bad records; otherwise the first one is raised.
        bad: what was dropped.
        unchecked: what could not be checked -> number of records.
        notes: sentences for the user.
    """

    skip_bad: bool = False
    bad: list[AnnotationError] = field(default_factory=list)
    unchecked: Counter = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)

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

    def counts(self) -> dict[str, int]:
        """Return kind -> number of dropped records."""
        return dict(sorted(Counter(error.kind for error in self.bad).items()))


def load_json(
    path: str | Path,
    arrays: Sequence[str] = (),
    drop: Sequence[str] = (),
    dtype: type = np.float64,
    remedy: str = DATA_REMEDY,
) -> Any:
    """Read a json file (UTF-8, with or without a byte-order mark).

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

    collecting = gc.isenabled()
    gc.disable()  # millions of small lists make the cycle collector take longer than the parser
    try:
        with open(path, encoding='utf-8-sig') as file:
            return json.load(file, object_hook=compact if arrays or drop else None)
    except FileNotFoundError:
        raise AnnotationError('missing file', path, '', 'there is no such file', remedy) from None
    except OSError as error:
        what = f'the file cannot be read ({error.strerror})'
        raise AnnotationError('unreadable file', path, '', what, remedy) from None
    except (ValueError, RecursionError) as error:
        what = f'this is no json, or it is cut off ({error})'
        raise AnnotationError('broken json', path, '', what) from None
    finally:
        if collecting:
            gc.enable()


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


class Rule(NamedTuple):
    """A rule that values must keep.

    Attributes:
        text: what it asks, after the name of the key: 'must be ...'.
        holds: (n, ...) values -> (n,) bool.
    """

    text: str
    holds: Callable[[np.ndarray], np.ndarray]


POSITIVE = Rule('must be positive', lambda v: (v > 0).reshape(len(v), -1).all(axis=1))
BOX = Rule('must be x, y, w, h px with an area', lambda v: (v[:, 2:] > 0).all(axis=1))


class Column(NamedTuple):
    """What the values of one key must be, see :func:`read_columns`.

    Attributes:
        shape: of one value; a further axis of length 1 at its end is dropped. () is a number.
        dtype: of the array. An integer type refuses fractions.
        default: takes the place of a value that is missing or null. None: there must be one.
        rule: that all values must keep.
    """

    shape: tuple[int, ...] = ()
    dtype: type = np.float64
    default: Any = None
    rule: Rule | None = None


def record_name(kind: str, record: object, number: int) -> str:
    """Return the name of a record in messages: its id, or its place in the list, from 0."""
    if isinstance(record, Mapping) and record.get('id') is not None:
        return f'{kind} {record["id"]}'
    return f'{kind} number {number}'


def read_columns(
    records: Sequence[Mapping],
    columns: Mapping[str, Column],
    file: str | Path,
    kind: str,
    findings: Findings | None = None,
    remedy: str = SKIP_REMEDY,
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Turn records into arrays, and check shape, type and rule of every value, and that it is
    finite.

    Args:
        records: (N,) objects of a json file.
        columns: key -> what its values must be.
        file: the file, for messages.
        kind: what a record is called in messages, for instance 'annotation'.
        findings: drops and counts bad records; None raises at the first.
        remedy: of the errors.

    Returns:
        key -> (n, *shape) values of the n good records, and the (n,) indices of these records.

    Raises:
        AnnotationError: a bad record that is not dropped. Its kind is 'bad KEY'.
    """
    findings = Findings() if findings is None else findings
    good, found = np.ones(len(records), dtype=bool), {}

    def name(i: int) -> str:
        return record_name(kind, records[i], i)

    for key, column in columns.items():
        shape = (len(records), *column.shape)
        try:
            values = _checked([record[key] for record in records], shape, column.dtype)
        except (KeyError, TypeError, ValueError, OverflowError, AttributeError):
            values = np.zeros(shape, dtype=column.dtype)
            for i in np.flatnonzero(good).tolist():  # slow, and only to name the bad ones
                try:
                    values[i] = _value(records[i], key, column)
                except ValueError as error:
                    good[i] = False
                    findings.report(f'bad {key}', file, name(i), str(error), remedy)
        if column.rule is not None:
            broken = good & ~column.rule.holds(values)
            good &= findings.drop(
                broken, f'bad {key}', file, name,
                lambda i: f'{key!r} {column.rule.text}, is {_short(values[i].tolist())}', remedy,  # noqa: B023
            )  # fmt: skip
        found[key] = values
    return {key: values[good] for key, values in found.items()}, np.flatnonzero(good)


def _short(value: object) -> str:
    return str(value)[:80].replace('\n', ' ')


def _checked(values: object, shape: tuple[int, ...], dtype: type) -> np.ndarray:
    """Return the values as an array; ValueError says what is wrong."""
    array = np.array(values, dtype=np.float64)
    if array.shape not in (shape, (*shape, 1)):
        raise ValueError(f'has the shape {array.shape}')
    if not np.isfinite(array).all():
        raise ValueError('holds nan, null or infinity')
    # Larger integers than 2^53 are not exact in float64.
    whole = (array == np.rint(array)) & (np.abs(array) <= 2**53)
    if np.issubdtype(dtype, np.integer) and not whole.all():
        raise ValueError('is no integer of at most 2^53')
    return array.reshape(shape).astype(dtype)


def _value(record: object, key: str, column: Column) -> np.ndarray:
    """Return one value of one record; ValueError says what is wrong."""
    if not isinstance(record, Mapping):
        raise ValueError(f'expected an object, got {_short(record)}')
    value = record.get(key)
    if value is None:
        if column.default is None:
            raise ValueError(f'{key!r} is missing')
        return np.full(column.shape, column.default, dtype=column.dtype)
    try:
        return _checked(value, column.shape, column.dtype)
    except (TypeError, ValueError, OverflowError) as error:
        size = ' x '.join(map(str, column.shape))
        wanted = f'{size} numbers' if size else 'a number'
        raise ValueError(f'{key!r} must be {wanted}, is {_short(value)} ({error})') from None


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


def check_images(paths: Iterable[str | Path], listed_in: str | Path) -> None:
    """Check that images exist.

    Args:
        paths: the images; :func:`first_of_folders` is enough to find a wrong folder.
        listed_in: the annotation file that lists them.

    Raises:
        AnnotationError: some are absent; the message names the first and their number.
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


def image_size(path: str | Path) -> tuple[int, int]:
    """Return width and height px of an image, from its header alone.

    Raises:
        OSError: no such file, or no image.
    """
    from PIL import Image

    with Image.open(path) as image:
        return image.size


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
