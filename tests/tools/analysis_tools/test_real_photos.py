# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import json
from types import SimpleNamespace

import numpy as np
import pytest

from wsp_mm.evaluation.functional import bootstrap_interval, relative_depth_scores

BOX = [10.0, 10.0, 20.0, 40.0]


@pytest.fixture
def tool(load_tool):
    return load_tool('analysis_tools/real_photos')


@pytest.fixture
def coco(tmp_path):
    """``coco(split)`` writes a folder of two images with two persons each, and a crowd."""

    def write(split):
        root = tmp_path / 'coco'
        images = [dict(id=i, file_name=f'{i}.jpg', width=200, height=100) for i in (1, 2)]
        persons = [
            dict(id=10 * i + k, image_id=i, category_id=1, iscrowd=int(k == 2), area=800.0,
                 num_keypoints=k, bbox=[BOX[0] + 50 * k, *BOX[1:3], BOX[3] + 5 * k],
                 keypoints=[30.0, 20.0 + k, 2] * 17)
            for i in (1, 2) for k in range(2 + (i == 2))
        ]  # fmt: skip
        content = dict(images=images, annotations=persons)
        content['categories'] = [dict(id=1, name='person')]
        (root / 'annotations').mkdir(parents=True, exist_ok=True)
        (root / split).mkdir()
        file = root / f'annotations/person_keypoints_{split}.json'
        file.write_text(json.dumps(content))
        return file

    return write


def test_one_split_stands_for_the_test_set(tool, coco, tmp_path):
    data = tmp_path / 'out'
    with pytest.raises(FileNotFoundError, match='person_keypoints_val2017'):
        tool.link_coco(tmp_path / 'coco', data)
    for split in ('train2017', 'val2017'):  # the latter goes first
        file = coco(split)
        ann_file = tool.link_coco(tmp_path / 'coco', data)
        assert ann_file == data / 'annotations/person_keypoints_val2017.json'
        assert ann_file.resolve() == file and (data / 'val2017').resolve().name == split
    counts = dict(images=2, persons=4, persons_without_keypoints=2, crowds=1)
    assert tool.describe(ann_file) == counts


def test_order_scores_are_those_of_the_metric(tool):
    rng = np.random.default_rng(0)
    probs, labels, gaps = rng.random(60), rng.integers(0, 2, 60), rng.random(60) / 5
    rows = rng.integers(60, size=50)
    scores = tool.order_scores(probs, labels, gaps, rows)
    near = rows[gaps[rows] <= 0.1]
    expected = [relative_depth_scores(probs[chosen], labels[chosen]) for chosen in (rows, near)]
    assert scores == pytest.approx([e[key] for e in expected for key in ('auc', 'accuracy')])
    assert np.isnan(tool.order_scores(probs, labels, gaps, rows[:1])).all()  # one class


def test_ap50_and_its_resamples(tool, coco):
    ann_file, nothing = coco('val2017'), (np.zeros((0, 4)), np.zeros(0))
    # Image 1: one of two persons, and before it nobody. Image 2: both, and one within the crowd.
    found = {
        1: (np.array([[150.0, 50, 20, 40], BOX]), np.array([0.9, 0.8])),
        2: (np.array([BOX, [60.0, 10, 20, 45], [110, 10, 20, 50]]), np.array([0.7, 0.6, 0.95])),
    }

    def measured(found):
        boxes, scores = ({i: f[k] for i, f in found.items()} for k in range(2))
        return tool.ap50(ann_file, SimpleNamespace(boxes=boxes, scores=scores))

    statistic, images = measured(found)
    assert images.tolist() == [1, 2]
    # Recall 1/4, 2/4, 3/4 at a precision of 1/2, 2/3, 3/4: the best of those to come, 3/4, up to
    # there; COCO looks at 101 recalls.
    assert statistic(np.arange(2)) == pytest.approx([100 * 76 / 101 * 3 / 4])
    assert statistic(np.array([1, 1])) == pytest.approx([100])
    assert statistic(np.array([0, 0])) == pytest.approx([100 * 51 / 101 * 1 / 2])
    ends = bootstrap_interval(statistic, images, 50)
    np.testing.assert_allclose(ends, [statistic(np.array([i, i])) for i in range(2)])
    statistic, _ = measured({1: nothing, 2: nothing})
    assert statistic(np.arange(2)) == [0]


@pytest.fixture
def world(tmp_path):
    """COCO's training split of a small world, alone in a folder."""
    from wsp_mm.synthetic.builder import make_world

    made, coco = tmp_path / 'world', tmp_path / 'photos'
    make_world(made, 'wild', dict(images=40, long_side=128, video=4, test_share=0.1), 3, workers=0)
    (coco / 'annotations').mkdir(parents=True)
    for name in ('annotations/person_keypoints_train2017.json', 'train2017'):
        (made / 'coco' / name).rename(coco / name)
    return coco


@pytest.mark.slow
def test_all_figures_of_drawn_networks(call_tool, world, tmp_path):
    import torch
    from inference_fixture import CLASSES, detector_config, detector_weights, make_network

    nets, out = tmp_path / 'nets', tmp_path / 'out'
    nets.mkdir()
    order, pose = 'quickstart/wsp_pretrain_lite0', 'quickstart/posenet_h36m_lite0'
    command = ['analysis_tools/real_photos', world, '--out', out, '--resamples', 20]
    command += ['--order', *make_network(nets, order)]
    status, _, error = call_tool(*command)
    assert status == 1 and 'wsp_pretrain_lite0_gray.py' in error
    make_network(nets, f'{order}_gray')
    cfg = detector_config()
    cfg.dump(nets / 'det.py')
    meta = dict(dataset_meta=dict(classes=CLASSES))
    torch.save(dict(meta=meta, state_dict=detector_weights(cfg)), nets / 'det.pth')
    command += ['--pose', *make_network(nets, pose), '--det', nets / 'det.py', nets / 'det.pth']
    status, text, _ = call_tool(*command)
    result = json.loads((out / 'real_photos.json').read_text())
    figures = result['figures']
    assert status == 0 and all(name in text for name in figures)
    assert set(result['networks']) == {'order', 'pose', 'det'} and result['data']['pairs'] > 3
    for row in figures.values():
        for value, low, high in row.values():
            assert value is None or (0 <= low <= high <= 100 and 0 <= value <= 100)
    metrics = {
        folder: json.loads((out / folder / 'metrics.json').read_text())
        for folder in ('order', 'order_gray')
    }
    for name, folder, key in (
        ('order', 'order', ''),
        ('order, averaged', 'order', 'averaged_'),
        ('order, gray images', 'order_gray', ''),
        ('order, gray images, averaged', 'order_gray', 'averaged_'),
    ):
        for column, end in (('AUC', 'AUC'), ('Acc', 'Acc'), ('AUC, gap <= 0.1', 'AUC_gap0.1')):
            expected = metrics[folder][f'rd/{key}{end}']
            assert figures[name][column][0] == pytest.approx(expected)
    found = figures['order network, persons of pairs']['PCK'][0]
    assert found == pytest.approx(metrics['order']['pck/PCK'])
    assert figures['rule: lower box bottom']['AUC'][0] > 80
    assert {'pose network, true boxes', 'detector'} <= set(figures)
