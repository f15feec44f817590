# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Near-identical pictures across sources and splits.

CrowdPose was collected from COCO, MPII and AI Challenger, so one source's test picture can be
another's training picture. Pictures are compared by the DCT hash of ``imagehash`` (64 bits); what
it finds must agree in the gradient hash too, since flat pictures share DCT hashes by chance.

M pictures.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wsp_mm.datasets.converters.mcpc.records import Findings

#: Bits of 64 in which the gradient hashes of one picture may differ. Unrelated pictures differ in
#: about 32.
GRADIENT_DISTANCE = 10
# The hashes look at 32 x 32 and 9 x 8 pixels: a JPEG may be decoded at a fraction of its size.
_DRAFT_SIZE = (256, 256)
_BITS = 64
_POPCOUNT = np.array([bin(i).count('1') for i in range(256)], dtype=np.uint8)


@dataclass(frozen=True)
class Entry:
    """A picture to be compared: its group (source, split), its name there and where it lies."""

    group: tuple[str, str]
    file_name: str
    path: Path

    def to_dict(self) -> dict:
        return {'source': self.group[0], 'split': self.group[1], 'file_name': self.file_name}


def picture_hashes(path: Path) -> tuple[int, int]:
    """DCT hash and gradient hash of a picture, 64 bits each.

    Raises:
        OSError: not a picture.
    """
    import imagehash
    from PIL import Image

    def number(value: imagehash.ImageHash) -> int:
        return int.from_bytes(np.packbits(value.hash.ravel()).tobytes(), 'big')

    with Image.open(path) as picture:
        picture.draft('L', _DRAFT_SIZE)
        grey = picture.convert('L')
        return number(imagehash.phash(grey)), number(imagehash.dhash(grey))


def hamming(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Number of bits in which uint64 arrays differ."""
    different = np.bitwise_xor(a, b)
    return _POPCOUNT[different[..., None].view(np.uint8)].sum(axis=-1, dtype=np.int64)


def near_pairs(hashes: np.ndarray, group: np.ndarray, distance: int) -> np.ndarray:
    """All pairs from different groups whose hashes differ in at most ``distance`` bits.

    Two such hashes agree in at least one of ``distance + 1`` bands of bits, so only hashes that
    share a band are compared: the work grows with the sizes of those buckets, not with the square
    of M.

    Args:
        hashes: (M,) uint64. group: (M,) int. distance: bits.

    Returns:
        (P, 2) indices, i < j, sorted, without repetition.
    """
    hashes, group = np.asarray(hashes, dtype=np.uint64), np.asarray(group)
    edges = np.linspace(0, _BITS, distance + 2).round().astype(int)
    found = []
    for low, high in itertools.pairwise(edges.tolist()):
        mask = np.uint64((1 << (high - low)) - 1)
        band = (hashes >> np.uint64(low)) & mask
        order = np.argsort(band, kind='stable')
        starts = np.flatnonzero(np.diff(band[order])) + 1
        for bucket in np.split(order, starts):
            if len(bucket) < 2 or (group[bucket] == group[bucket[0]]).all():
                continue
            for i in range(len(bucket) - 1):
                rest = bucket[i + 1 :]
                rest = rest[group[rest] != group[bucket[i]]]
                hits = rest[hamming(hashes[rest], hashes[bucket[i]]) <= distance]
                if len(hits):
                    found.append(
                        np.sort(np.stack([np.full(len(hits), bucket[i]), hits], axis=1), axis=1)
                    )
    return np.unique(np.concatenate(found), axis=0) if found else np.zeros((0, 2), dtype=np.int64)


def find_duplicates(
    entries: Sequence[Entry],
    distance: int,
    workers: int,
    findings: Findings,
    bar: Callable[[Iterable, str], Iterable],
) -> tuple[dict, set[int], set[int]]:
    """Compare all pictures across groups.

    A training picture that is near-identical to a test picture is to go. Of training pictures that
    are near-identical to each other the first in the order of ``entries`` stays. Test pictures
    stay.

    Args:
        entries: (M,) pictures, in the order of preference.
        distance: bits in which DCT hashes may differ.
        workers: threads that read pictures.
        findings: told of pictures that are not there or cannot be read.
        bar: progress bar, called with an iterable and a label.

    Returns:
        The report as plain json, the indices of the training pictures to go, and those of pictures
        of any split that cannot be read.

    Raises:
        BadDataError: a picture cannot be read, and bad records are not skipped.
    """

    def hashes_of(entry: Entry) -> tuple[int, int] | OSError | None:
        try:
            return picture_hashes(entry.path)
        except FileNotFoundError:
            return None
        except OSError as error:
            return error

    with ThreadPoolExecutor(workers) as pool:
        results = list(bar(pool.map(hashes_of, entries), 'hashing pictures'))
    have = []
    for i, (entry, result) in enumerate(zip(entries, results, strict=True)):
        if result is None:
            findings.unchecked[f'{" ".join(entry.group)}: pictures not compared, not at hand'] += 1
        elif isinstance(result, OSError):
            findings.report(
                'picture unreadable', entry.path, '', f'no picture can be read here ({result})'
            )
        else:
            have.append(i)
    unreadable = {i for i, result in enumerate(results) if isinstance(result, OSError)}
    names = sorted({entry.group for entry in entries})
    group = np.array([names.index(entries[i].group) for i in have], dtype=np.int64)
    dct = np.array([results[i][0] for i in have], dtype=np.uint64)
    gradient = np.array([results[i][1] for i in have], dtype=np.uint64)

    pairs = near_pairs(dct, group, distance)
    pairs = pairs[hamming(gradient[pairs[:, 0]], gradient[pairs[:, 1]]) <= GRADIENT_DISTANCE]
    is_test = np.array([entries[i].group[1] == 'test' for i in have], dtype=bool)
    gone: set[int] = set()
    for i, j in pairs:
        if is_test[i] != is_test[j]:
            gone.add(int(j if is_test[i] else i))
    for i, j in pairs:
        if not is_test[i] and not is_test[j] and not gone & {int(i), int(j)}:
            gone.add(int(j))

    kinds = {(True, True): 'test-test', (False, False): 'train-train'}
    records = [
        dict(
            kind=kinds.get((bool(is_test[i]), bool(is_test[j])), 'train-test'),
            a=entries[have[i]].to_dict(),
            b=entries[have[j]].to_dict(),
            dct_distance=int(hamming(dct[i], dct[j])),
            gradient_distance=int(hamming(gradient[i], gradient[j])),
        )
        for i, j in pairs
    ]
    count = {
        kind: sum(r['kind'] == kind for r in records)
        for kind in ('train-test', 'train-train', 'test-test')
    }
    report = dict(
        distance=distance,
        gradient_distance=GRADIENT_DISTANCE,
        pictures_compared=len(have),
        pictures_not_compared=len(entries) - len(have),
        pairs_found=count,
        train_pictures_to_drop=[entries[have[i]].to_dict() for i in sorted(gone)],
        pairs=records,
    )
    return report, {have[i] for i in gone}, unreadable
