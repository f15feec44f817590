# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import itertools
import math

import numpy as np
import pytest

from wsp_mm.structures.keypoints import get_joint_set
from wsp_mm.synthetic.label_noise import (
    BINS,
    bin_name,
    contradiction,
    find_pairs,
    label_noise,
    markdown,
    merge,
    plot,
    pretty,
    rows_of,
    tabulate,
)
from wsp_mm.synthetic.layouts.files import WorldError

MCPC, WORLD = get_joint_set('mcpc16'), get_joint_set('world')
LEFT, RIGHT = MCPC.ankles


def table_of(people: list[dict]) -> dict[str, np.ndarray]:
    """A truth table of persons given as scene, ankle (y px or None), depth (m), and more.

    All joints of a person lie at its depth but those in ``joints`` {concept: m}; everything is
    labelled but the ankles without a y and what ``unlabelled`` names.
    """
    n = len(people)
    table = {
        'scene_ids': np.array([p['scene'] for p in people]),
        'keypoints_cam': np.zeros((n, 29, 3), dtype=np.float32),
        'keypoints': np.zeros((n, 16, 2), dtype=np.float32),
        'labelled': np.full((n, 16), 2, dtype=np.int8),
        'pitch': np.array([p.get('pitch', 3.0) for p in people]),
        'roll': np.array([p.get('roll', 0.5) for p in people]),
        'posture': np.array([p.get('posture', 'standing') for p in people]),
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


def test_a_pair_by_hand():
    # B's ankle is higher in the picture although B is nearer: the rule is wrong.
    pairs = find_pairs(
        table_of([
            dict(scene=1, ankles=(200, 210), depth=5.0, pitch=-7.0, roll=-3.0, posture='standing'),
            dict(scene=1, ankles=(None, 190), depth=4.4, joints={'left_wrist': 5.2}, posture='airborne'),
        ])
    )  # fmt: skip
    assert pairs.label.tolist() == [1] and pairs.truth.tolist() == [0]
    assert pairs.gap[0] == pytest.approx(0.6) and pairs.roll.tolist() == [3.0]
    assert pairs.postures.tolist() == ['airborne + standing']
    counted = pairs.joint_weight[0]
    assert counted.sum() == 15 and not counted[LEFT], (
        'an ankle that only one has labelled does not count'
    )
    wrong = contradiction(pairs, np.array([True]))
    # of the 15 joints only the wrist lies where the rule says
    assert wrong == {'person': 100.0, 'joint': pytest.approx(100 * 14 / 15), 'n': 1, 'n_joint': 15}


def test_the_lowest_labelled_ankle_decides_and_the_mean_may_differ():
    people = [
        dict(scene=1, ankles=(100, 300), depth=3.0),
        dict(scene=1, ankles=(250, 250), depth=4.0),
    ]
    assert find_pairs(table_of(people)).label.tolist() == [1]
    assert find_pairs(table_of(people), 'mean').label.tolist() == [0]


def test_only_eligible_persons_of_one_picture_pair_up_and_ties_are_left_out():
    table = table_of([
        dict(scene=2, ankles=(10, 20), depth=3.0),
        dict(scene=1, ankles=(10, 20), depth=3.0),
        dict(scene=2, ankles=(None, None), depth=4.0),
        dict(scene=2, ankles=(30, None), depth=2.0),
        dict(scene=1, ankles=(20, 15), depth=9.0),  # as low as the other one of scene 1
        dict(scene=2, ankles=(5, None), depth=6.0),
    ])  # fmt: skip
    pairs = find_pairs(table)
    assert pairs.ties == 1
    assert len(pairs.label) == 3 and sorted(pairs.gap.tolist()) == [1.0, 3.0, 4.0]
    assert (pairs.label == pairs.truth).all()


def test_joints_that_one_has_not_labelled_do_not_count():
    table = table_of([
        dict(scene=1, ankles=(20, 20), depth=3.0, unlabelled=('head_top', 'pelvis')),
        dict(scene=1, ankles=(10, 10), depth=4.0, unlabelled=('head_top', 'left_elbow')),
    ])  # fmt: skip
    assert contradiction(find_pairs(table), np.array([True]))['n_joint'] == 13


def test_bins_are_half_open_and_hold_every_pair():
    people = []
    for scene, (pitch, roll, gap) in enumerate(
        [(-5, 0, 0.1), (0, -1, 0.09), (4.9, 2, 4.0), (20, -9, 1.0), (-9, 7, 0.5)]
    ):
        more = dict(scene=scene, pitch=float(pitch), roll=float(roll))
        people.append(dict(ankles=(20, 20), depth=3.0, **more))
        people.append(dict(ankles=(10, 10), depth=3.0 + gap, **more))
    table = tabulate(find_pairs(table_of(people)))
    count = {
        axis: {name: row['n'] for name, row in bins.items() if row['n']}
        for axis, bins in table.items()
    }
    assert count == {
        'all': {'all': 5},
        'pitch': {'below_-5': 1, '-5_0': 1, '0_5': 2, 'from_20': 1},
        'roll': {'0_1': 1, '1_2': 1, '2_4': 1, '4_8': 1, 'from_8': 1},
        'gap': {'0_0.1': 1, '0.1_0.25': 1, '0.5_1': 1, '1_2': 1, 'from_4': 1},
        'posture': {'standing': 5},
    }
    assert sum(row['n'] for row in table['gap'].values()) == 5
    assert math.isnan(table['pitch']['5_10']['person']) and table['pitch']['5_10']['n_joint'] == 0


def test_merge_adds_up():
    one = find_pairs(
        table_of([dict(scene=1, ankles=(2, 2), depth=3.0), dict(scene=1, ankles=(2, 1), depth=4.0)])
    )
    two = find_pairs(
        table_of([dict(scene=1, ankles=(3, 2), depth=3.0), dict(scene=1, ankles=(2, 1), depth=4.0)])
    )
    both = merge([one, two, two])
    assert len(both.label) == 2 and both.ties == 1 and both.joint_truth.shape == (2, 16)


def test_names_of_bins():
    assert [bin_name(*edges) for edges in ((None, -5), (0, 0.25), (20, None))] == [
        'below_-5',
        '0_0.25',
        'from_20',
    ]
    assert [pretty(name) for name in ('below_-5', '0_0.25', 'from_20', '-5_0')] == [
        '< -5',
        '0 to 0.25',
        '>= 20',
        '-5 to 0',
    ]


def test_a_level_camera_on_upright_people_is_never_contradicted(annotated):
    """An independent check on whole tables: for a level camera and feet on one plane the rule is
    exact.
    """
    from wsp_mm.synthetic.truth import available, load_truth

    checked = 0
    for names in available(annotated):
        table = load_truth(annotated, *names)
        # Level the picture: project every person's ground point with neither pitch nor roll.
        depth = table['keypoints_cam'][:, WORLD.index('pelvis'), 2].astype(float)
        table['keypoints'][:, :, 1] = (1e6 / depth)[:, None]
        table['labelled'][:, [LEFT, RIGHT]] = 2
        pairs = find_pairs(table)
        assert (pairs.label == pairs.truth).all()
        checked += len(pairs.label)
    assert checked > 50


@pytest.fixture(scope='module')
def result(annotated):
    return label_noise(annotated)


def test_keys_are_stable_and_add_up(result):
    expected = {'all/all'} | {
        f'{axis}/{bin_name(low, high)}'
        for axis, edges in BINS.items()
        for low, high in itertools.pairwise(edges)
    }
    for what in ('person', 'joint', 'n', 'n_joint'):
        keys = {
            key.split('/', 1)[1]
            for key in result
            if key.startswith(what + '/') and '/posture/' not in key
        }
        assert keys == expected
    for axis in ('pitch', 'roll', 'gap', 'posture'):
        rows = rows_of(result, axis)
        assert sum(n for *_, n in rows) == result['n/all/all'] > 50
        share = sum(person * n for _, person, _, n in rows if n) / result['n/all/all']
        assert share == pytest.approx(result['person/all/all'])
    assert 0 <= result['person/all/all'] <= 100


def test_report_and_plot(result, tmp_path):
    text = markdown(result)
    assert (
        f'| all | {result["person/all/all"]:.1f} | {result["joint/all/all"]:.1f} | {result["n/all/all"]} |'
        in text
    )
    assert '| >= 20 |' in text and 'nan' not in text
    plot(result, tmp_path / 'noise.png')
    plot({**result, 'person/all/all': math.nan}, tmp_path / 'noise.png')
    assert (tmp_path / 'noise.png').read_bytes()[:8] == b'\x89PNG\r\n\x1a\n'


def test_no_world(tmp_path):
    with pytest.raises(WorldError, match=r'python tools/make_world\.py'):
        label_noise(tmp_path)
