# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Near-identical images across sources and splits.

CrowdPose was collected from COCO, MPII and AI Challenger, so one source's test image can be
another's training image. Images are compared by the DCT hash of ``imagehash`` (64 bits); what it
finds must agree in the gradient hash too, since flat images share DCT hashes by chance.

M images.
"""

import itertools
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from wsp_mm.datasets.annotations import Findings
from wsp_mm.datasets.converters.mcpc.options import BuildOptions
from wsp_mm.datasets.converters.mcpc.sources import Image
from wsp_mm.utils.files import progress_bar

#: Bits of 64 in which the gradient hashes of one image may differ. Unrelated images differ in about
#: 32.
GRADIENT_DISTANCE = 10
# The hashes look at 32 x 32 and 9 x 8 pixels: a JPEG may be decoded at a fraction of its size.
_DRAFT_SIZE = (256, 256)
_POPCOUNT = np.array([bin(i).count('1') for i in range(256)], dtype=np.uint8)


def image_hashes(path: Path) -> tuple[int, int]:
    """Compute DCT hash and gradient hash of an image, 64 bits each.

    Raises:
        OSError: no such file, or no image.
    """
    import imagehash
    import PIL.Image

    with PIL.Image.open(path) as image:
        image.draft('L', _DRAFT_SIZE)
        gray = image.convert('L')
        hashes = imagehash.phash(gray), imagehash.dhash(gray)
    return tuple(int.from_bytes(np.packbits(value.hash).tobytes(), 'big') for value in hashes)


def hamming(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the number of bits in which uint64 arrays differ."""
    different = np.bitwise_xor(a, b)
    return _POPCOUNT[different[..., None].view(np.uint8)].sum(axis=-1, dtype=np.int64)


def near_pairs(hashes: np.ndarray, group: np.ndarray, distance: int) -> np.ndarray:
    """Find all pairs from different groups whose hashes differ in at most ``distance`` bits.

    Two such hashes agree in at least one of ``distance + 1`` bands of bits, so only hashes that
    share a band are compared: the work grows with the sizes of those buckets, not with the square
    of M.

    Args:
        hashes: (M,) uint64. group: (M,) int. distance: bits.

    Returns:
        (P, 2) indices, i < j, sorted, without repetition.
    """
    hashes, group = np.asarray(hashes, dtype=np.uint64), np.asarray(group)
    edges = np.linspace(0, 64, distance + 2).round().astype(int)
    found = [np.zeros((0, 2), dtype=np.int64)]
    for low, high in itertools.pairwise(edges.tolist()):
        band = (hashes >> np.uint64(low)) & np.uint64((1 << (high - low)) - 1)
        order = np.argsort(band, kind='stable')
        for bucket in np.split(order, np.flatnonzero(np.diff(band[order])) + 1):
            if (group[bucket] == group[bucket[:1]]).all():
                continue
            for n, i in enumerate(bucket):
                rest = bucket[n + 1 :]
                rest = rest[group[rest] != group[i]]
                near = rest[hamming(hashes[rest], hashes[i]) <= distance]
                if len(near):
                    found.append(np.stack([np.minimum(near, i), np.maximum(near, i)], axis=1))
    return np.unique(np.concatenate(found), axis=0)


def remove_duplicates(images: Sequence[Image], options: BuildOptions, findings: Findings) -> dict:
    """Compare all images across groups (source and split), and mark as ``gone`` what must go.

    A training image that is near-identical to a test image is to go. Of training images that are
    near-identical to each other the first in the order of ``images`` stays. Test images stay. An
    image that cannot be read is always to go.

    Args:
        images: (M,) images, in the order of preference.
        options: roots, dedup (copies are marked with 'drop' alone), dedup_distance (bits in which
            DCT hashes may differ), workers (threads that read images), progress.
        findings: gets images that are not there or cannot be read.

    Returns:
        The report as plain json.

    Raises:
        AnnotationError: an image cannot be read, and bad records are not skipped.
    """

    def path_of(image: Image) -> Path:
        return options.roots[image.source] / image.file_name

    def hashes_of(image: Image) -> tuple[int, int] | OSError:
        try:
            return image_hashes(path_of(image))
        except OSError as error:
            return error

    with ThreadPoolExecutor(options.workers) as pool:
        show = dict(total=len(images), label='hashing images', show=options.progress)
        results = list(progress_bar(pool.map(hashes_of, images), **show))
    have, hashes = [], []
    for image, result in zip(images, results, strict=True):
        if isinstance(result, FileNotFoundError):
            findings.unchecked[f'{" ".join(image.key)}: images not compared, not there'] += 1
        elif isinstance(result, OSError):
            image.gone = True
            path, what = path_of(image), f'no image can be read here ({result})'
            findings.report('unreadable image', path, '', what)
        else:
            have.append(image)
            hashes.append(result)
    groups = sorted({image.key for image in have})
    group = np.array([groups.index(image.key) for image in have], dtype=np.int64)
    dct, gradient = np.array(hashes, dtype=np.uint64).reshape(-1, 2).T

    pairs = near_pairs(dct, group, options.dedup_distance)
    pairs = pairs[hamming(*gradient[pairs.T]) <= GRADIENT_DISTANCE]
    is_test = [image.split == 'test' for image in have]
    copies = {j if is_test[i] else i for i, j in pairs.tolist() if is_test[i] != is_test[j]}
    for i, j in pairs.tolist():
        if not is_test[i] and not is_test[j] and not copies & {i, j}:
            copies.add(j)
    for i in copies if options.dedup == 'drop' else ():
        have[i].gone = True

    def named(i: int) -> dict:
        return dict(source=have[i].source, split=have[i].split, file_name=have[i].file_name)

    kinds, records = ('train-train', 'train-test', 'test-test'), []
    for i, j in pairs.tolist():
        record = dict(kind=kinds[is_test[i] + is_test[j]], a=named(i), b=named(j))
        for name, values in dict(dct=dct, gradient=gradient).items():
            record[f'{name}_distance'] = int(hamming(values[i], values[j]))
        records.append(record)
    counts = Counter(record['kind'] for record in records)
    report = dict(mode=options.dedup, distance=options.dedup_distance)
    report |= dict(gradient_distance=GRADIENT_DISTANCE, images_compared=len(have))
    report['images_not_compared'] = len(images) - len(have)
    report['pairs_found'] = {kind: counts[kind] for kind in kinds}
    return report | dict(train_images_to_drop=[named(i) for i in sorted(copies)], pairs=records)
