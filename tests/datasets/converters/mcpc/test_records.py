# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import numpy as np
import pytest

from wsp_mm.datasets.converters.mcpc.coco_style import read_coco_style
from wsp_mm.datasets.converters.mcpc.records import BadDataError, Findings, merge


def test_merge_keeps_persons_on_their_pictures(tree, make, strict):
    parts = []
    for name, first in (('a', 1), ('b', 1)):
        content = make.coco_file(
            [make.image(1, f'{name}1.jpg'), make.image(2, f'{name}2.jpg')],
            [make.person(first, 2, x=5), make.person(first + 1, 1, keypoints=...)],
        )
        path = tree.write(f'{name}.json', content)
        parts.append(read_coco_style(path, 'coco', 'train', 'coco17', '', strict))
    both = merge(parts)
    assert [both.pictures[i].file_name for i in both.picture] == ['a2.jpg', 'b2.jpg']
    assert len(both) == 2 and both.keypoints.shape == (2, 17, 2)
    assert both.dropped == {'no keypoints': 2} and len(both.files) == 2
    assert merge(parts[:1]) is parts[0]
    one = both.keep(np.array([False, True]))
    assert len(one) == 1 and one.pictures[one.picture[0]].file_name == 'b2.jpg'


def test_findings_raise_or_remember():
    with pytest.raises(BadDataError, match=r'f\.json: row 3: broken\. ') as error:
        Findings().report('nan', 'f.json', 'row 3', 'broken')
    assert error.value.to_dict() == {
        'kind': 'nan',
        'file': 'f.json',
        'record': 'row 3',
        'what': 'broken',
    }
    findings = Findings(skip_bad=True)
    for kind in ('nan', 'duplicate id', 'nan'):
        findings.report(kind, 'f.json', '', 'broken')
    assert findings.counts() == {'duplicate id': 1, 'nan': 2}
