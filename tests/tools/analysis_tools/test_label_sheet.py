# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import json

import cv2


def test_pairs_that_differ_are_counted_and_shown(call_tool, load_tool, tmp_path):
    fixture = load_tool('../tests/datasets/mcpc_fixture')
    root = fixture.build_tree(tmp_path)
    tool, out = 'analysis_tools/label_sheet', tmp_path / 'out'
    where = [tool, root / 'mcpc/mcpc_train.json', '--data-root', root, '--out', out]
    status, _, error = call_tool(*where)
    assert status == 1 and '--labels plane' in error

    def label(content):
        # feet of image 1: 130, 110, 140; of 2: 100, 140; of 3: level, so no pair
        for image, nearer in zip(content['images'], [[0.9, 0.8, 0.4], [0.3], [0.9]], strict=True):
            image['nearer'] = nearer

    fixture.edit_json(root, 'train', label)
    assert call_tool(*where)[0] == 0
    found = json.loads((out / 'label_sheet.json').read_text())
    assert (found['pairs'], found['disagree'], found['share']) == (4, 1, 25)
    (pair,) = found['listed']
    assert (pair['nearer'], pair['farther'], pair['prob']) == (1, 3, 0.8)
    assert cv2.imread(str(out / 'label_sheet.png')).shape == (320, 1600, 3)
    status, _, error = call_tool(*where[:2], '--data-root', tmp_path / 'no', '--out', out)
    assert status == 1 and '--data-root' in error

    def by_people(content):
        for image in content['images']:
            image['source'] = 'relative_human'

    fixture.edit_json(root, 'train', by_people)
    assert call_tool(*where)[0] == 0
    assert json.loads((out / 'label_sheet.json').read_text())['pairs'] == 0
