# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""A folder with that part of each frame that training can ask for, reduced to the size it needs.

Of a frame of 1000 x 1000 px a training sample takes 256 x 256 and decodes all that is above. What
any of its augmentations can reach is cut out once (:mod:`wsp_mm.datasets.crop_cache_writer`) and
read from here since.

Files: ``manifest.json``; ``shard-00000.bin``, the JPEGs of some thousand samples one after another,
with their records in ``shard-00000.npy``; ``keys.npy`` (N,), sorted, and ``records.npy`` (N,),
those of all shards in the keys' order. Everything is mapped into memory, so that all processes
share it. A sample is found by what decides its picture: file name, id and box. So any choice of the
cached samples can be trained on, in any order.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from wsp_mm.datasets.picture import Picture, block_grid

FORMAT, VERSION = 'wsp_mm crop cache', 1
MANIFEST, KEYS, RECORDS = 'manifest.json', 'keys.npy', 'records.npy'
TOOL = 'tools/dataset_converters/cache_crops.py'

#: ``key``: see :func:`sample_key`. ``part``: left, top, right, bottom px of the frame; ``size``: w, h px of the
#: frame; ``frame``: 64 bits of its path as it was; ``frame_bytes``: size of its file. A sample
#: without a usable box has length 0.
RECORD = np.dtype(
    [
        ('key', '<u8'), ('shard', '<u4'), ('offset', '<u8'), ('length', '<u4'), ('part', '<i4', 4),
        ('size', '<i4', 2), ('frame', '<u8'), ('frame_bytes', '<u4'),
    ]
)  # fmt: skip


class CropCacheError(ValueError):
    """A cache that does not fit, is not whole, or is none; the message says how to make the right
    one.
    """


def how_to(folder: str | Path) -> str:
    """The command that makes a cache."""
    return f'Make one for this training: python {TOOL} CONFIG {folder} (docs/data.md, "Crop cache")'


def sample_key(results: Mapping[str, Any]) -> int:
    """64 bits of a sample's img_path (its last part), id and bbox."""
    name = str(results['img_path']).replace('\\', '/').rpartition('/')[2]
    box = np.asarray(results['bbox'], dtype='<f4').tobytes()
    return hash64(
        f'{name}\n{results.get("id")}\n{bool(results.get("bbox_extended"))}\n'.encode() + box
    )


def hash64(data: bytes) -> int:
    """64 bits that are the same everywhere."""
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), 'little')


class CachedPicture:
    """Part of a frame. Takes the place of the frame's :class:`~wsp_mm.datasets.picture.Picture` up
    to the crop.

    Args:
        data: a JPEG of the part, reduced.
        name: of the frame, for messages.
        size: (w, h) px of the frame.
        part: left, top, right, bottom px of the frame; the ends are exclusive.
        partial: as of ``Picture``.
    """

    def __init__(
        self,
        data: bytes,
        name: str,
        size: tuple[int, int],
        part: tuple[int, int, int, int],
        partial: bool = True,
    ) -> None:
        self.name, self.size, self.part = name, size, part
        self._data, self._partial = data, partial

    @cached_property
    def stored(self) -> Picture:
        """What the cache holds, px of its own.

        Raises:
            ValueError: it cannot be decoded, or holds nothing.
        """
        return Picture(self._data, f'the cached part of {self.name}', partial=self._partial)

    def grid(self, mirrored: bool = False) -> np.ndarray:
        """(3, 3) from px of :attr:`stored` to px of the frame, both mirrored left to right or both
        not.
        """
        left, top, right, bottom = self.part
        start = self.size[0] - right if mirrored else left
        across, down = (right - left) / self.stored.size[0], (bottom - top) / self.stored.size[1]
        return block_grid((across, down), (start, top))


class CropCache:
    """Reads a cache that is complete.

    Args:
        folder: where it is.

    Raises:
        CropCacheError: it is none, not finished, of another version or cut off.

    Attributes:
        manifest: see :mod:`wsp_mm.datasets.crop_cache_writer`.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.manifest = read_manifest(self.folder)
        if not self.manifest['complete']:
            raise CropCacheError(
                f'the crop cache {folder} is not finished: give the command that began it once more, it goes '
                f'on where it was stopped (python {TOOL} CONFIG {folder})'
            )
        self._shards: dict[int, np.ndarray] = {}
        try:
            for number, size in enumerate(self.manifest['shards']):
                found = shard_file(self.folder, number).stat().st_size
                if found != size:
                    raise ValueError(f'shard {number} has {found:,} bytes of {size:,}')
            self._keys = np.load(self.folder / KEYS, mmap_mode='r')
            self._records = np.load(self.folder / RECORDS, mmap_mode='r')
            if len(self._keys) != len(self._records) or self._records.dtype != RECORD:
                raise ValueError('its index is not in order')
        except (OSError, EOFError, ValueError) as error:
            raise CropCacheError(
                f'the crop cache {folder} is broken: {error}. {how_to(folder)}'
            ) from None

    def __len__(self) -> int:
        return len(self._keys)

    def __reduce__(self):
        return type(self), (self.folder,)  # another process maps the files itself

    def record(self, results: Mapping[str, Any]) -> np.void:
        """A sample's record, see :data:`RECORD`.

        Raises:
            CropCacheError: the cache lacks this sample.
        """
        key = np.uint64(sample_key(results))
        row = int(np.searchsorted(self._keys, key))
        if row == len(self._keys) or self._keys[row] != key:
            made = dict(self.manifest['dataset'])
            kind = made.pop('type')
            arguments = ', '.join(f'{key}={value!r}' for key, value in made.items())
            raise CropCacheError(
                f'the crop cache {self.folder} lacks annotation {results.get("id")} of {results["img_path"]} '
                f'with the box {np.asarray(results["bbox"]).ravel().tolist()}: it holds {len(self):,} samples '
                f'of {kind}({arguments}), so it was made for another data set, or of other annotations. '
                f'{how_to(self.folder)}'
            )
        return self._records[row]

    def picture(self, results: Mapping[str, Any], partial: bool = True) -> CachedPicture:
        """A sample's picture.

        Raises:
            CropCacheError: as :meth:`record`.
        """
        record = self.record(results)
        data = b''
        if record['length']:
            start = int(record['offset'])
            data = self._shard(int(record['shard']))[
                start : start + int(record['length'])
            ].tobytes()
        size, part = (tuple(record[name].tolist()) for name in ('size', 'part'))
        return CachedPicture(data, str(results['img_path']), size, part, partial)

    def _shard(self, number: int) -> np.ndarray:
        if number not in self._shards:
            self._shards[number] = np.memmap(shard_file(self.folder, number), np.uint8, 'r')
        return self._shards[number]


def shard_file(folder: Path, number: int, suffix: str = 'bin') -> Path:
    """Where a shard's bytes ('bin') or records ('npy') are."""
    return folder / f'shard-{number:05d}.{suffix}'


def read_manifest(folder: str | Path) -> dict:
    """What a cache says of itself.

    Raises:
        CropCacheError: there is none, or of another version.
    """
    path = Path(folder) / MANIFEST
    try:
        manifest = json.loads(path.read_text())
        kind, version = manifest['format'], manifest['version']
    except FileNotFoundError:
        raise CropCacheError(f'{folder} holds no crop cache. {how_to(folder)}') from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CropCacheError(
            f'{path} is no manifest of a crop cache ({error!r}). {how_to(folder)}'
        ) from None
    if (kind, version) != (FORMAT, VERSION):
        raise CropCacheError(
            f'{folder} holds {kind!r} of version {version}, not {FORMAT!r} of version {VERSION}. '
            f'{how_to(folder)}'
        )
    return manifest
