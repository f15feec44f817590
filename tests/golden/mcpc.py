# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""MCPC built from small sources of all four data sets."""

from tests.golden import adapter, trees
from tests.golden.record import case

SOURCES = ('coco', 'mpii', 'posetrack18', 'crowdpose')


def contents(built: dict) -> dict:
    """The annotations, and numbers of the tables, without texts that explain."""
    found = {}
    for split in ('train', 'test'):
        if split in built:
            found[split] = {key: value for key, value in built[split].items() if key != 'info'}
            found[split]['factors'] = built[split]['info']['scale_factors']
    found['table'] = [row for row in built['table']['rows'] if row['who'] != 'paper']
    if 'dedup' in built:
        found['dropped'] = [one['file_name'] for one in built['dedup']['train_images_to_drop']]
        found['pairs'] = [
            [one['a']['file_name'], one['b']['file_name'], one['kind']]
            for one in built['dedup']['pairs']
        ]
    return found


def _build(scratch, name, sources=SOURCES, **options):
    roots = {source: trees.data_root(scratch) / source for source in sources}
    return contents(adapter.build_mcpc(roots, scratch / f'mcpc_{name}', **options))


_STRICT = dict(ankles='both', ground='mean', max_pairs_per_image=0, min_gap_px=3.0, seed=5)
OPTIONS = dict(
    default={},
    strict=_STRICT,
    without_copies=dict(dedup='drop'),
    coco_alone=dict(sources=('coco',)),
    test_alone=dict(splits=('test',), max_pairs_per_image=1),
)
for _name, _options in OPTIONS.items():
    case('mcpc', _name)(lambda scratch, name=_name, more=_options: _build(scratch, name, **more))
