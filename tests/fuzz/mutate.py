# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Change a file at random: its bytes, the structure of a json, the arrays of an npz."""

import copy
import io
import json
from pathlib import Path
from random import Random

import numpy as np

# Written as text, since Python's own json writer cannot write them.
_DIGITS, _DEEP = '@digits@', '@deep@'
_TEXT = {f'"{_DIGITS}"': '9' * 5000, f'"{_DEEP}"': '[' * 100_000 + ']' * 100_000}
_VALUES = (
    None, True, 0, -1, 1.5, 2**53, 2**63, 10**400, 1e308, -1e308, float('nan'), float('inf'),
    '', 'x', '1', 'nan', '\0', '\ud800', 'TS1\\img.jpg', 'x' * 100_000, [], [[]], {}, [None],
    [1.0] * 40, _DIGITS, _DEEP, [[[[[[[[1]]]]]]]],
)  # fmt: skip


def mutate_bytes(data: bytes, rng: Random) -> bytes:
    """Bits flipped, cut off, or a piece left out, inserted, overwritten or repeated."""
    out, at = bytearray(data), rng.randrange(len(data) or 1)
    size = rng.choice((1, 4, 8, 64, 1000))
    noise = rng.choice((rng.randbytes(size), bytes(size), b'\xff' * size))
    action = rng.choice(('flip', 'flip', 'cut', 'drop', 'insert', 'overwrite', 'repeat'))
    if action == 'flip':
        for _ in range(min(rng.choice((1, 1, 5, 50)), len(out))):
            out[rng.randrange(len(out))] ^= 1 << rng.randrange(8)
    elif action == 'cut':
        del out[at:]
    elif action == 'drop':
        del out[at : at + size]
    elif action == 'insert':
        out[at:at] = noise
    elif action == 'overwrite':
        out[at : at + size] = noise
    else:
        out[at:at] = out[at : at + size]
    return bytes(out)


def mutate_tree(tree, rng: Random):
    """A key dropped, a value replaced, wrapped or repeated, at a random place."""
    root = [tree]
    parent, key = root, 0
    while isinstance(parent[key], (list, dict)) and parent[key] and rng.random() < 0.85:
        parent = parent[key]
        key = rng.choice(list(parent) if isinstance(parent, dict) else range(len(parent)))
    action = rng.choice(('drop', 'replace', 'replace', 'replace', 'wrap', 'repeat', 'rename'))
    value = copy.deepcopy(parent[key])
    if parent is root or action == 'replace':
        parent[key] = rng.choice(_VALUES)
    elif action == 'drop':
        del parent[key]
    elif action == 'wrap':
        parent[key] = rng.choice(([value], {'a': value}, str(value), [value, value]))
    elif isinstance(parent, list):
        parent.insert(key, value)
    else:
        parent[rng.choice((str(key) + 'x', *parent))] = value
    return root[0]


def mutate_json(data: bytes, rng: Random) -> bytes:
    """:func:`mutate_tree` of the content."""
    text = json.dumps(mutate_tree(json.loads(data), rng))
    for mark, written in _TEXT.items():
        text = text.replace(mark, written)
    return text.encode()


def mutate_npz(data: bytes, rng: Random) -> bytes:
    """An array left out, of another type or shape, or with values that nothing has."""
    with np.load(io.BytesIO(data), allow_pickle=True) as content:
        arrays = dict(content)
    name = rng.choice(list(arrays))
    if arrays[name].dtype == object:
        arrays[name][()] = mutate_tree(arrays[name].item(), rng)
    else:
        arrays[name] = mutate_array(arrays[name], rng)
    if rng.random() < 0.1:
        del arrays[name]
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def mutate_npy(data: bytes, rng: Random) -> bytes:
    """:func:`mutate_array` of the array."""
    stream = io.BytesIO()
    np.save(stream, mutate_array(np.load(io.BytesIO(data)), rng))
    return stream.getvalue()


def mutate_array(array: np.ndarray, rng: Random) -> np.ndarray:
    """Another type or shape, or a value that nothing has."""
    action = rng.choice(('type', 'shape', 'value'))
    if action == 'type':
        return np.full(array.shape, rng.choice((1.5, 7, 'x', b'x', True, 1j, None)))
    if action == 'shape':
        shapes = (array.reshape(-1), array[None], array[:0], array[:-1], array[..., None])
        return rng.choice((*shapes, np.zeros(()), np.zeros((0, 0))))
    array = array.copy()
    if array.dtype.kind == 'f':
        array.reshape(-1)[rng.randrange(array.size)] = rng.choice((np.nan, np.inf, 1e308, -1.0))
    return array


def mutate(file: Path, data: bytes, rng: Random) -> bytes:
    """Return another content of a file of that name."""
    structured = {'.json': mutate_json, '.npz': mutate_npz, '.npy': mutate_npy}.get(file.suffix)
    if structured is not None and rng.random() < 0.7:
        return structured(data, rng)
    return mutate_bytes(data, rng)
