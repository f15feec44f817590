# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import json
import math

import numpy as np
import pytest

from wsp_mm.structures.keypoints import get_joint_set

MCPC, WORLD = get_joint_set('mcpc16'), get_joint_set('world')
LEFT, RIGHT = MCPC.ankles


@pytest.fixture(scope='module')
def tool(load_tool):
    return load_tool('analysis_tools/label_noise')


@pytest.fixture
def measure(tool, tmp_path):
    """``measure(people)``: the figures of a world of these people, by the tool."""

    def run(people, *options):
        (tmp_path / 'ground_truth').mkdir(exist_ok=True)
        for i in (0, 1):  # spread over two tables, image by image
            rows = table_of([p for p in people if p['scene'] % 2 == i])
            np.savez(tmp_path / 'ground_truth' / f'coco_{"train" if i else "val"}.npz', **rows)
        assert tool.main(['--world', str(tmp_path), *options]) == 0
        return json.loads((tmp_path / 'label_noise' / 'label_noise.json').read_text())

    return run


def table_of(people):
    """Persons given as scene, ankles (y px or None), depth (m), and more.

    All joints of a person lie at its depth but those in ``joints`` {concept: m}; everything is
    labelled but the ankles without a y and what ``unlabelled`` names.
    """
    n = len(people)
    table = {
        'scene_ids': np.array([p['scene'] for p in people], dtype=int),
        'keypoints_cam': np.zeros((n, len(WORLD), 3), dtype=np.float32),
        'keypoints': np.zeros((n, 16, 2), dtype=np.float32),
        'labelled': np.full((n, 16), 2, dtype=np.int8),
        'pitch': np.array([p.get('pitch', 3.0) for p in people]),
        'roll': np.array([p.get('roll', 0.5) for p in people]),
        'posture': np.array([p.get('posture', 'standing') for p in people], dtype=str),
    }
    for i, person in enumerate(people):
        table['keypoints_cam'][i, :, 2] = 1000 * person['depth']
        for concept, depth in person.get('joints', {}).items():
            table['keypoints_cam'][i, WORLD.index(concept), 2] = 1000 * depth
        for ankle, y in zip((LEFT, RIGHT), person['ankles'], strict=True):
            table['keypoints'][i, ankle, 1] = y or 0
            table['labelled'][i, ankle] = 0 if y is None else 2
        for concept in person.get('unlabelled', ()):
            table['labelled'][i, MCPC.index(concept)] = 0
    return table


def test_a_pair_by_hand(measure):
    """B's ankle is higher in the image although B is nearer: the rule is wrong."""
    found = measure([
        dict(scene=1, ankles=(200, 210), depth=5.0, pitch=-7.0, roll=-3.0),
        dict(scene=1, ankles=(None, 190), depth=4.4, joints={'left_wrist': 5.2},
             posture='airborne'),
    ])  # fmt: skip
    # an ankle that only one has labelled does not count; of 15 joints the wrist alone is as ruled
    assert found['person/all/all'] == 100 and found['n_joint/all/all'] == 15
    assert found['joint/all/all'] == pytest.approx(100 * 14 / 15)
    for name in ('pitch/below_-5', 'roll/2_4', 'gap/0.5_1', 'posture/airborne + standing'):
        assert found[f'n/{name}'] == 1
    assert found['person/pitch/0_5'] is None


def test_the_lowest_labelled_ankle_decides_and_the_mean_may_differ(measure):
    people = [
        dict(scene=1, ankles=(100, 300), depth=3.0),
        dict(scene=1, ankles=(250, 250), depth=4.0),
    ]
    assert measure(people)['person/all/all'] == 0
    assert measure(people, '--ankle', 'mean')['person/all/all'] == 100


def test_only_eligible_persons_of_one_image_pair_up_and_ties_are_left_out(measure):
    found = measure([
        dict(scene=2, ankles=(10, 20), depth=3.0),
        dict(scene=1, ankles=(10, 20), depth=3.0),
        dict(scene=2, ankles=(None, None), depth=4.0),
        dict(scene=2, ankles=(30, None), depth=2.0),
        dict(scene=1, ankles=(20, 15), depth=9.0),  # as low as the other one of scene 1
        dict(scene=2, ankles=(5, None), depth=6.0),
    ])  # fmt: skip
    assert found['ties'] == 1 and found['n/all/all'] == 3 and found['person/all/all'] == 0
    assert [found[f'n/gap/{name}'] for name in ('1_2', '2_4', 'from_4')] == [1, 1, 1]


def test_joints_that_one_has_not_labelled_do_not_count(measure):
    found = measure([
        dict(scene=1, ankles=(20, 20), depth=3.0, unlabelled=('head_top', 'pelvis')),
        dict(scene=1, ankles=(10, 10), depth=4.0, unlabelled=('head_top', 'left_elbow')),
    ])  # fmt: skip
    assert found['n_joint/all/all'] == 13


def test_bins_are_half_open_and_hold_every_pair(measure, tool):
    cameras = [(-5, 0, 0.1), (0, -1, 0.09), (4.9, 2, 4.0), (20, -9, 1.0), (-9, 7, 0.5)]
    people = []
    for scene, (pitch, roll, gap) in enumerate(cameras):
        more = dict(scene=scene, pitch=float(pitch), roll=float(roll))
        people.append(dict(ankles=(20, 20), depth=3.0, **more))
        people.append(dict(ankles=(10, 10), depth=3.0 + gap, **more))
    found = measure(people)
    count = {key[2:]: value for key, value in found.items() if key.startswith('n/') and value}
    assert count == {
        'all/all': 5, 'pitch/below_-5': 1, 'pitch/-5_0': 1, 'pitch/0_5': 2, 'pitch/from_20': 1,
        'roll/0_1': 1, 'roll/1_2': 1, 'roll/2_4': 1, 'roll/4_8': 1, 'roll/from_8': 1,
        'gap/0_0.1': 1, 'gap/0.1_0.25': 1, 'gap/0.5_1': 1, 'gap/1_2': 1, 'gap/from_4': 1,
        'posture/standing': 5,
    }  # fmt: skip
    bins = sum(len(edges) - 1 for edges in tool.BINS.values())
    assert len([key for key in found if key.startswith('person/')]) == bins + 2


def test_page_plot_and_text(measure, tmp_path, capsys):
    rng = np.random.default_rng(0)
    people = [
        dict(
            scene=i // 3, ankles=rng.uniform(0, 500, 2), depth=rng.uniform(2, 9),
            pitch=rng.normal(3, 6),
            roll=rng.normal(0, 3), posture=str(rng.choice(['sitting', 'standing'])),
        )
        for i in range(60)
    ]  # fmt: skip
    found = measure(people)
    page = (tmp_path / 'label_noise' / 'label_noise.md').read_text()
    assert page in capsys.readouterr().out
    row = [found[f'{key}/all/all'] for key in ('person', 'joint', 'n')]
    assert '| all | {:.1f} | {:.1f} | {} |'.format(*row) in page
    assert '| >= 20 |' in page and '| < -5 |' in page and 'sitting + standing' in page
    assert 'nan' not in page and not math.isnan(row[0])
    assert (tmp_path / 'label_noise' / 'label_noise.png').stat().st_size > 10_000


def test_no_world(tool, tmp_path, capsys):
    assert tool.main(['--world', str(tmp_path)]) == 1
    assert 'make_world.py' in capsys.readouterr().err
