# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Every choice of a build of MCPC, for the library and the command line."""

from dataclasses import dataclass, field, fields
from pathlib import Path

from wsp_mm.datasets.converters.mcpc.sources import SOURCES, SPLITS

ANKLE_RULES = ('any', 'both')
LABELS = ('rule', 'plane')


def _option(default: object, text: str, **more: object):
    """Return a field whose metadata are the arguments of ``argparse``; the tool reads them."""
    return field(default=default, metadata=dict(help=text, **more))


@dataclass
class BuildOptions:
    """Every choice of a build. The help texts below are those of the command line.

    Attributes:
        roots: source -> its folder; any subset of the sources.
        out: folder for the results.

    Raises:
        ValueError: a choice that does not exist, or no source.
    """

    roots: dict[str, Path]
    out: Path
    splits: tuple[str, ...] = _option(SPLITS, 'which to build', choices=SPLITS, nargs='+')
    ankles: str = _option(
        'any', 'a person is eligible with one labelled ankle, or with both', choices=ANKLE_RULES
    )
    ground: str = _option(
        'lowest', 'height of two labelled ankles: the lower one in the image, or their mean',
        choices=('lowest', 'mean'),
    )  # fmt: skip
    labels: str = _option(
        'rule', 'who is nearer: the perspective rule, or the ground plane that all persons share',
        choices=LABELS,
    )  # fmt: skip
    max_pairs_per_image: int = _option(2, 'test pairs an image, 0 for all', type=int, metavar='N')
    min_gap_px: float = _option(
        0.0, 'leave out test pairs whose ground heights differ by less; exact ties always are',
        type=float, metavar='PX',
    )  # fmt: skip
    seed: int = _option(0, 'of the choice and the order of test pairs', type=int)
    dedup: str = _option(
        'off', 'look for near-identical images across sources and splits, and drop them from train',
        choices=('off', 'report', 'drop'),
    )  # fmt: skip
    dedup_distance: int = _option(
        4, 'bits of 64 in which the perceptual hashes of one image may differ, 0 to 12',
        type=int, metavar='BITS',
    )  # fmt: skip
    skip_bad: bool = _option(
        False, 'skip, count and list bad records instead of stopping at the first',
        action='store_true',
    )  # fmt: skip
    mpii_val_list: str | None = _option(
        None, "MPII's validation images for the .mat: a name a line, or MMPose's json",
        metavar='FILE',
    )  # fmt: skip
    workers: int = _option(2, 'threads that hash images', type=int)
    progress: bool = True

    def __post_init__(self) -> None:
        if not self.roots:
            flags = ', '.join(f'--{source}' for source in SOURCES).replace('_', '-')
            raise ValueError(f'no source was given; name at least one of {flags}')
        chosen = dict(roots=(tuple(self.roots), SOURCES))
        for option in fields(self):
            if 'choices' in option.metadata:
                value = getattr(self, option.name)
                values = tuple(value) if option.name == 'splits' else (value,)
                chosen[option.name] = values, option.metadata['choices']
        for name, (values, known) in chosen.items():
            if not values or not set(values) <= set(known):
                raise ValueError(f'{name} must be of {list(known)}, got {list(values)}')
        lowest = dict(max_pairs_per_image=0, min_gap_px=0, dedup_distance=0, workers=1)
        for name, low in lowest.items():
            if getattr(self, name) < low:
                raise ValueError(f'{name} must be at least {low}, got {getattr(self, name)}')
        if self.dedup_distance > 12:
            raise ValueError(f'dedup_distance must be at most 12, got {self.dedup_distance}')
        self.roots = {name: Path(self.roots[name]) for name in SOURCES if name in self.roots}
        self.splits = tuple(split for split in SPLITS if split in self.splits)
        self.out = Path(self.out)

    def recorded(self) -> dict:
        """Return the choices that decide what the result holds: no folders, so that it is the same
        everywhere.
        """
        left_out = {'roots', 'out', 'splits', 'mpii_val_list', 'workers', 'progress'}
        recorded = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in left_out}
        return recorded | {'sources': list(self.roots)}
