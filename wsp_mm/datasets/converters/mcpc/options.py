# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Every choice of a build of MCPC."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

from wsp_mm.datasets.converters.mcpc.records import SOURCES, SPLITS

ANKLES = ('any', 'both')
GROUND = ('lowest', 'mean')
DEDUP = ('off', 'report', 'drop')
MPII_ANNOTATIONS = ('auto', 'json', 'mat')


@dataclass
class BuildOptions:
    """Every choice of a build.

    Attributes:
        roots: source -> its folder; any subset of the sources.
        out: folder for the results.
        splits: which to build.
        ankles: a person is eligible with 'any' or with 'both' ankles labelled.
        ground: which of two labelled ankles tells the height, see
            :func:`wsp_mm.structures.relative_depth.ground_y`.
        max_pairs_per_image: of the test set, 0 for all.
        min_gap_px: test pairs whose ground heights differ by less are left out; exact ties always
            are.
        seed: of the choice and the order of test pairs.
        dedup: look for near-identical pictures across sources and splits: 'off', 'report' or 'drop'
            from train.
        dedup_distance: bits (of 64) in which the perceptual hashes of one picture may differ.
        skip_bad: skip, count and list bad records instead of stopping at the first.
        mpii_annotations: 'json', 'mat', or 'auto' (json where there is one).
        mpii_json_base: number of the first pixel in MPII's json joints.
        mpii_val_list: file with the picture names of MPII's validation set, for the .mat.
        workers: processes that hash pictures.
        progress: show progress bars.

    Raises:
        ValueError: a choice that does not exist, or no source.
    """

    roots: dict[str, Path]
    out: Path
    splits: tuple[str, ...] = SPLITS
    ankles: str = 'any'
    ground: str = 'lowest'
    max_pairs_per_image: int = 2
    min_gap_px: float = 0.0
    seed: int = 0
    dedup: str = 'off'
    dedup_distance: int = 4
    skip_bad: bool = False
    mpii_annotations: str = 'auto'
    mpii_json_base: int = 0
    mpii_val_list: Path | None = None
    workers: int = 2
    progress: bool = True

    def __post_init__(self) -> None:
        self.roots = {
            source: Path(self.roots[source]) for source in SOURCES if self.roots.get(source)
        } | {source: root for source, root in self.roots.items() if source not in SOURCES}
        self.out = Path(self.out)
        self.splits = tuple(split for split in SPLITS if split in self.splits) + tuple(
            split for split in self.splits if split not in SPLITS
        )
        self.mpii_val_list = None if self.mpii_val_list is None else Path(self.mpii_val_list)
        if not self.roots:
            raise ValueError(
                f'no source was given; name at least one of {", ".join("--" + s for s in SOURCES)}'
            )
        for name, value, known in (
            ('source', list(self.roots), SOURCES),
            ('splits', list(self.splits), SPLITS),
            ('ankles', [self.ankles], ANKLES),
            ('ground', [self.ground], GROUND),
            ('dedup', [self.dedup], DEDUP),
            ('mpii_annotations', [self.mpii_annotations], MPII_ANNOTATIONS),
            ('mpii_json_base', [self.mpii_json_base], (0, 1)),
        ):
            if not value or not set(value) <= set(known):
                raise ValueError(f'{name} must be of {list(known)}, got {value}')
        if self.max_pairs_per_image < 0 or self.min_gap_px < 0 or self.workers < 1:
            raise ValueError(
                'max_pairs_per_image and min_gap_px must not be negative, workers be at least 1'
            )
        if not 0 <= self.dedup_distance <= 12:
            raise ValueError(
                f'dedup_distance must be 0 to 12 of 64 bits, got {self.dedup_distance}'
            )

    def recorded(self) -> dict:
        """The choices that decide what the result holds: no folders, so that it is the same
        everywhere.
        """
        left_out = {'roots', 'out', 'splits', 'mpii_val_list', 'workers', 'progress'}
        recorded = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in left_out}
        return recorded | {'sources': list(self.roots)}
