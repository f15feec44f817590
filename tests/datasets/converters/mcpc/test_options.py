# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import pytest

from wsp_mm.datasets.converters.mcpc.options import BuildOptions


def test_order_of_sources_and_splits_does_not_matter():
    a = BuildOptions(roots={'mpii': 'm', 'coco': 'c'}, out='o', splits=('test', 'train'))
    b = BuildOptions(roots={'coco': 'x', 'mpii': 'y'}, out='p')
    assert a.splits == b.splits == ('train', 'test')
    assert a.recorded() == b.recorded() and a.recorded()['sources'] == ['coco', 'mpii']
    assert not {'out', 'roots', 'workers'} & set(a.recorded())


@pytest.mark.parametrize(('bad', 'what'), [
    (dict(roots={}), 'no source'), (dict(roots={'lsp': 'x'}), 'lsp'), (dict(splits=('val',)), 'splits'),
    (dict(splits=()), 'splits'), (dict(ankles='one'), 'ankles'), (dict(ground='highest'), 'ground'),
    (dict(dedup='yes'), 'dedup'), (dict(max_pairs_per_image=-1), 'negative'), (dict(min_gap_px=-1), 'negative'),
    (dict(workers=0), 'workers'), (dict(dedup_distance=13), '12'), (dict(mpii_json_base=2), 'mpii_json_base'),
    (dict(mpii_annotations='xml'), 'mpii_annotations'),
])  # fmt: skip
def test_bad_choices_are_named(bad, what):
    with pytest.raises(ValueError, match=what):
        BuildOptions(**(dict(roots={'coco': 'c'}, out='o') | bad))
