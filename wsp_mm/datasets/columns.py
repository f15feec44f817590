# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Records of an annotation file as arrays, every value checked. N records."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from wsp_mm.datasets.annotations import SKIP_REMEDY, Findings, record_name


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
    # Larger integers are not exact in float64, and larger numbers do not have squares in float32.
    if (np.abs(array) > 2**53).any():
        raise ValueError('is larger than 2^53')
    if np.issubdtype(dtype, np.integer) and (array != np.rint(array)).any():
        raise ValueError('is no integer')
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
