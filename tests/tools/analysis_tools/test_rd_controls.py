# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import json

import numpy as np


def test_predictions_beside_the_rules(call_tool, tmp_path):
    boxes = ([0, 0, 10, 100], [20, 10, 10, 40], [40, 10, 10, 60])
    persons = [
        dict(id=i, image_id=1, bbox=box, keypoints=[1, 1, 2] * 16, source='coco', source_id=i)
        for i, box in enumerate(boxes)
    ]
    pairs = [
        dict(id=i, image_id=1, ann_a=a, ann_b=b, label=int(a < b), scale_gap=0.05)
        for i, (a, b) in enumerate([(0, 1), (2, 0), (1, 2)])
    ]
    mcpc, dump, out = (tmp_path / name for name in ('mcpc_test.json', 'p.npz', 'out.json'))
    mcpc.write_text(json.dumps(dict(images=[], annotations=persons, pairs=pairs)))
    probs = np.array([0.9, 0.2, 0.7])
    values = {'pair_probs': probs, 'depth_probs': np.repeat(probs[:, None], 16, axis=1)}
    np.savez(dump, id=np.arange(3), **{f'pred_instances.{k}': v for k, v in values.items()})
    command = ['analysis_tools/rd_controls', mcpc]
    status, output, _ = call_tool(*command, '--dump', f'ours={dump}', '--out', out)
    rows = json.loads(out.read_text())
    assert list(rows)[:2] == ['ours', 'rule: taller box']
    assert rows['ours']['acc_gap1'] == rows['label (perspective rule)']['auc_gap1'] == 100
    assert (
        status == 0 and '3 pairs' in output and '100.0 % of the pairs' in output
    )  # nobody has a head here
    for arguments, message in ((['--dump', 'ours'], 'NAME=FILE'), (['--gt', 'no'], 'no')):
        status, _, error = call_tool(*command, *arguments)
        assert status == 1 and message in error
