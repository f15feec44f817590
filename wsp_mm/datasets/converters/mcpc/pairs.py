# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""The fixed pairs of the test set: which, how many, and who of the two is A."""

import hashlib
from collections.abc import Sequence

import numpy as np

from wsp_mm.datasets.converters.mcpc.select import KeptImage
from wsp_mm.datasets.converters.mcpc.sources import PersonTable
from wsp_mm.structures.relative_depth import relative_depth_label, scale_gap, valid_pairs

#: How far the share of labels 1 may be from one half.
BALANCE = 0.02


def _hash(*parts: object) -> int:
    """Return 64 bits that depend on the parts alone (Python's own hash differs from run to run)."""
    text = '\x1f'.join(str(part) for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), 'big')


def choose_pairs(
    image: str,
    ids: Sequence,
    ground_y: Sequence[float],
    limit: int,
    min_gap_px: float,
    seed: int,
    visible: np.ndarray | None = None,
) -> list[tuple[int, int]]:
    """Choose the pairs of one image by a seeded hash of image and ids.

    Args:
        image: name of the image, unique over all sources.
        ids: (N,) ids of its persons, in a fixed order.
        ground_y: (N,) px.
        limit: at most so many, 0 for all.
        min_gap_px, visible: as in :func:`wsp_mm.structures.relative_depth.valid_pairs`.
        seed: another seed chooses others.

    Returns:
        Index pairs (i, j), i < j, in the order of ``ids``.
    """
    valid = np.argwhere(np.triu(valid_pairs(ground_y, min_gap_px, visible))).tolist()
    valid.sort(key=lambda pair: _hash('choose', seed, image, *(ids[k] for k in pair)))
    return sorted((i, j) for i, j in (valid[:limit] if limit else valid))


def order_pairs(keys: Sequence[tuple], first_is_nearer: Sequence[bool], seed: int) -> np.ndarray:
    """Decide whether the two of each pair swap, so that labels are balanced to :data:`BALANCE`.

    A seeded hash of the ids decides. In a large set that is balanced enough. In a small one it may
    not be: then pairs of the larger class are swapped, in the order of their hashes, until the
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
    surplus = int(label.sum()) * 2 - len(label)
    if abs(surplus) > 2 * BALANCE * len(label):
        larger = np.flatnonzero(label == (surplus > 0))
        swap[larger[np.argsort(hashes[larger], kind='stable')][: abs(surplus) // 2]] ^= True
    return swap


def make_pairs(
    table: PersonTable, images: Sequence[KeptImage], limit: int, min_gap_px: float, seed: int
) -> list[dict]:
    """Make the records ``pairs`` of the test json.

    Args:
        table: measured, with scales.
        images: of the test split, in a fixed order.
        limit, min_gap_px, seed: see :func:`choose_pairs`.

    Returns:
        Records with id, image_id, ann_a, ann_b, label (1 where A is nearer) and scale_gap; where
        the ground plane labels also prob, P(A is nearer).
    """
    ids, ground, scale = (table.persons[name] for name in ('id', 'ground_y', 'scale'))
    chosen, keys, nearer = [], [], []
    for kept in images:
        name, rows = f'{kept.image.source}/{kept.image.file_name}', kept.persons
        visible = table.persons['visible'][rows]
        for i, j in choose_pairs(name, ids[rows], ground[rows], limit, min_gap_px, seed, visible):
            chosen.append((kept, i, j))
            keys.append((name, ids[rows[i]], ids[rows[j]]))
            nearer.append(
                ground[rows[i]] >= ground[rows[j]]
                if kept.order is None
                else kept.order.nearer[i, j] >= 0.5
            )
    records = []
    for swap, (kept, a, b) in zip(order_pairs(keys, nearer, seed), chosen, strict=True):
        a, b = (b, a) if swap else (a, b)
        row_a, row_b = kept.persons[a], kept.persons[b]
        record = dict(id=len(records) + 1, image_id=kept.id)
        record |= dict(ann_a=kept.first_id + a, ann_b=kept.first_id + b)
        record['label'] = relative_depth_label(ground[row_a], ground[row_b])
        if kept.order is not None:
            record['prob'] = round(float(kept.order.nearer[a, b]), 4)
            record['label'] = int(record['prob'] >= 0.5)
        record['scale_gap'] = round(float(scale_gap(scale[row_a], scale[row_b])), 6)
        records.append(record)
    return records
