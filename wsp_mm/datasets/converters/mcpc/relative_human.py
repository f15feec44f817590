# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Reader of Relative Human for MCPC: persons with joints, and their depth layers."""

from pathlib import Path

import numpy as np

from wsp_mm.datasets.annotations import Findings
from wsp_mm.datasets.converters.mcpc.sources import (
    MCPC_SPLITS,
    Image,
    PersonTable,
    join,
    make_table,
    missing_annotations,
)
from wsp_mm.datasets.relative_human_annotations import JOINT_SET, read_relative_human


def read_relative_human_source(
    root: Path, source: str, split: str, findings: Findings
) -> PersonTable:
    """Read what makes one split of MCPC. Ids of persons are their numbers in their file, from 0.

    Args:
        root: the source's folder. source, split: see :class:`Image`.
        findings: gets what is implausible.

    Raises:
        AnnotationError: no file, one that cannot be used, or a bad person.
    """
    tables = []
    for part in MCPC_SPLITS[split][source]:
        path = root / f'{part}_annots.npz'
        if not path.is_file():
            raise missing_annotations(root, split, [path.name])
        found = read_relative_human(path)
        images = [
            Image(source, split, f'images/{name}', name, str(path)) for name in found.file_names
        ]
        low, high = found.bbox[:, :2], found.bbox[:, 2:]
        # A box without area gives way to one made from the joints.
        good = (high > low).all(axis=1, keepdims=True)
        boxes = np.where(good, np.concatenate([low, high - low], axis=1), np.nan)
        table = make_table(
            (source, split), images, {}, JOINT_SET, found.keypoints, found.visible,
            findings=findings, image=found.image, id=range(len(found.image)), bbox=boxes,
            layer=found.layer,
        )  # fmt: skip
        tables.append(table)
    return join(tables)
