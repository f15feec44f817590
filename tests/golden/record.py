# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Cases, and the files that hold what they gave on the code of version 0.1.0.

A *case* is a function of a scratch folder that returns nested dicts, lists, arrays, tensors and
text. The cases of one module are a *part*; each part has one file, ``data/PART.json.xz``.

``python -m tests.golden.record PART...`` writes parts anew (``all`` for all).
"""

import argparse
import json
import lzma
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import numpy as np

DATA = Path(__file__).parent / 'data'
PARTS = ('structures', 'codecs', 'mcpc', 'samples', 'heads', 'models', 'scores', 'inference')
PARTS += ('world',)  # the only part that runs the renderer
#: Relative and absolute tolerance, except of values whose name ends in ``@ABSOLUTE``.
TOLERANCES = dict.fromkeys(PARTS, (1e-5, 1e-5)) | dict.fromkeys(('heads', 'models'), (1e-3, 1e-4))
TOLERANCES |= dict(inference=(1e-3, 0.02))

Case = Callable[[Path], object]
_cases: dict[str, dict[str, Case]] = {part: {} for part in PARTS}


@dataclass
class Summary:
    """An image or heatmaps (C, H, W): shape, mean, deviation and 8 x 8 block means are recorded.

    Attributes:
        array: the values. tolerance: absolute, of the means.
    """

    array: np.ndarray
    tolerance: float = 1.5

    def values(self) -> dict[str, object]:
        blocks = [np.array_split(row, 8, axis=2) for row in np.array_split(self.array, 8, axis=1)]
        coarse = np.array([[block.mean((1, 2)) for block in row] for row in blocks]).round(4)
        numbers = dict(mean=self.array.mean((1, 2)), std=self.array.std((1, 2)), coarse=coarse)
        named = {f'{name}@{self.tolerance:g}': value for name, value in numbers.items()}
        return dict(named, shape=self.array.shape)


def case(part: str, name: str | None = None) -> Callable[[Case], Case]:
    """Register a case under its function's name, or ``name``."""

    def register(function: Case) -> Case:
        _cases[part][name or function.__name__] = function
        return function

    return register


def cases(part: str) -> dict[str, Case]:
    """All cases of a part, by name."""
    import_module(f'tests.golden.{part}')
    return _cases[part]


def flat(value: object, name: str) -> Iterator[tuple[str, object]]:
    """Names, and numbers or text (single or in lists) of a nested value.

    Dicts of the same keys in a list become columns.
    """
    if isinstance(value, Summary):
        value = value.values()
    if hasattr(value, 'detach'):
        value = value.detach().cpu().numpy()
    if isinstance(value, np.ndarray | np.generic):
        if value.dtype == np.float32:  # in its own few digits
            value = value.astype(str).astype(np.float64)
        value = value.tolist()
    if isinstance(value, list | tuple) and value and all(isinstance(one, Mapping) for one in value):
        alike = all(one.keys() == value[0].keys() for one in value)
        keys = value[0] if alike else range(len(value))
        value = {key: [one[key] for one in value] if alike else value[key] for key in keys}
    if isinstance(value, list | tuple) and _numbers(value) is None:
        text = all(isinstance(item, str) for item in value)
        value = value if text else dict(enumerate(value))
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from flat(item, f'{name}/{key}')
    else:
        yield name, value


def _numbers(value: object) -> np.ndarray | None:
    """The value as an array, None in it as nan; None where it is no array of numbers."""
    try:
        return np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        return None


def run(part: str, name: str, scratch: Path) -> dict[str, object]:
    """What a case gives, as it reads back from the file."""
    values = dict(flat(cases(part)[name](scratch), name))
    return json.loads(json.dumps(values, default=lambda array: array.tolist()))


def load(part: str) -> dict[str, object]:
    """The record of a part."""
    return json.loads(lzma.decompress((DATA / f'{part}.json.xz').read_bytes()))


def differences(part: str, found: Mapping, recorded: Mapping) -> list[str]:
    """A line for every value that is missing, new, or not what the record has."""
    lines = [f'{name}: missing' for name in recorded.keys() - found.keys()]
    lines += [f'{name}: not in the record' for name in found.keys() - recorded.keys()]
    for name in recorded.keys() & found.keys():
        rtol, atol = TOLERANCES[part]
        if '@' in name:
            rtol, atol = 0.0, float(name.rpartition('@')[2])
        one, other = _numbers(found[name]), _numbers(recorded[name])
        try:
            if one is None or other is None:
                assert found[name] == recorded[name], f'{found[name]}, recorded {recorded[name]}'
            else:
                assert one.shape == other.shape, f'shape {one.shape}, recorded {other.shape}'
                np.testing.assert_allclose(one, other, rtol, atol, equal_nan=True)
        except AssertionError as error:
            lines.append(f'{name}: {str(error).strip()[:400]}')
    return sorted(lines)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('parts', nargs='+', choices=[*PARTS, 'all'], help='which to write anew')
    chosen = parser.parse_args(argv).parts
    DATA.mkdir(exist_ok=True)
    for part in PARTS if 'all' in chosen else chosen:
        values = {}
        with tempfile.TemporaryDirectory() as folder:
            for name in cases(part):
                values |= run(part, name, Path(folder))
        data = lzma.compress(json.dumps(values, sort_keys=True).encode())
        (DATA / f'{part}.json.xz').write_bytes(data)
        print(f'{part}: {len(cases(part))} cases, {len(values)} values, {len(data)} bytes')


if __name__ == '__main__':
    # the parts register their cases in this module, not in another copy of it
    sys.modules['tests.golden.record'] = sys.modules['__main__']
    main()
