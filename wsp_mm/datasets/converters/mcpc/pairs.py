# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""The fixed pairs of the test set: which, how many, and who of the two is A."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Sequence

import numpy as np

from wsp_mm.structures.relative_depth import relative_depth_label, scale_gap, valid_pairs

#: How far the share of labels 1 may be from one half.
BALANCE = 0.02


def _hash(*parts: object) -> int:
    """64 bits that depend on nothing but the parts (Python's own hash differs from run to run)."""
    text = '\x1f'.join(str(part) for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), 'big')


def choose_pairs(
    picture: str,
    ids: Sequence,
    ground_y: Sequence[float],
    limit: int,
    min_gap_px: float,
    seed: int,
    visible: Sequence | None = None,
) -> list[tuple[int, int]]:
    """The pairs of one picture, chosen by a seeded hash of picture and ids.

    Args:
        picture: name of the picture, unique over all sources.
        ids: (N,) ids of its persons, in a fixed order.
        ground_y: (N,) px.
        limit: at most so many, 0 for all.
        min_gap_px, visible: as in :func:`wsp_mm.structures.relative_depth.valid_pairs`.
        seed: another seed chooses others.

    Returns:
        Index pairs (i, j), i < j, in the order of ``ids``.
    """
    valid = valid_pairs(ground_y, min_gap_px, visible)
    found = [
        (_hash('choose', seed, picture, ids[i], ids[j]), i, j)
        for i, j in itertools.combinations(range(len(ids)), 2)
        if valid[i, j]
    ]
    found.sort()
    return sorted((i, j) for _, i, j in (found[:limit] if limit else found))


def order_pairs(keys: Sequence[tuple], first_is_nearer: Sequence[bool], seed: int) -> np.ndarray:
    """Whether the two of each pair trade places, so that labels are balanced to :data:`BALANCE`.

    A seeded hash of the ids decides. In a large set that is balanced enough. In a small one it may
    not be: then the pairs of the larger class are turned, in the order of their hashes, until the
    classes are even.

    Args:
        keys: (P,) what identifies each pair.
        first_is_nearer: (P,) label of the pair as it stands.
        seed: another seed orders others.

    Returns:
        (P,) bool.
    """
    hashes = np.array([_hash('order', seed, *key) for key in keys], dtype=np.uint64)
    swap = (hashes & np.uint64(1)).astype(bool)
    label = np.asarray(first_is_nearer, dtype=bool) ^ swap
    count = len(label)
    surplus = int(label.sum()) * 2 - count
    if count and abs(surplus) > 2 * BALANCE * count:
        larger = np.flatnonzero(label == (surplus > 0))
        turned = larger[np.argsort(hashes[larger], kind='stable')][: abs(surplus) // 2]
        swap[turned] = ~swap[turned]
    return swap


def make_pairs(
    pictures: Sequence[tuple[int, str, Sequence[dict]]], limit: int, min_gap_px: float, seed: int
) -> list[dict]:
    """The records ``pairs`` of the test json.

    Args:
        pictures: image id, unique name and the annotations of every picture, in a fixed order. An
            annotation needs id, source_id, ground_y, scale and visible (K,), positive where a joint
            is labelled.
        limit, min_gap_px, seed: see :func:`choose_pairs`.

    Returns:
        Records with id, image_id, ann_a, ann_b, label (1 where A is nearer) and scale_gap.
    """
    chosen, keys = [], []
    for image_id, name, persons in pictures:
        ids = [person['source_id'] for person in persons]
        ground = [person['ground_y'] for person in persons]
        visible = [person['visible'] for person in persons]
        for i, j in choose_pairs(name, ids, ground, limit, min_gap_px, seed, visible):
            chosen.append((image_id, persons[i], persons[j]))
            keys.append((name, ids[i], ids[j]))
    nearer = [relative_depth_label(a['ground_y'], b['ground_y']) == 1 for _, a, b in chosen]
    records = []
    for swap, (image_id, a, b) in zip(order_pairs(keys, nearer, seed), chosen, strict=True):
        if swap:
            a, b = b, a
        records.append(
            dict(
                id=len(records) + 1,
                image_id=image_id,
                ann_a=a['id'],
                ann_b=b['id'],
                label=relative_depth_label(a['ground_y'], b['ground_y']),
                scale_gap=round(scale_gap(a['scale'], b['scale']), 6),
            )
        )
    return records
