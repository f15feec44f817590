# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Relative Human's files, read as its users read them and as our reader does."""

from pathlib import Path

import numpy as np
import pytest

from wsp_mm.datasets.relative_human_annotations import read_relative_human
from wsp_mm.structures.keypoints import get_joint_set
from wsp_mm.synthetic.layouts.labelling import is_seen
from wsp_mm.synthetic.layouts.relative_human import age_group, depth_layers, joint_set_of

PELVIS = get_joint_set('world').index('pelvis')


def test_layers_begin_after_gaps():
    # 2.0 and 2.25 m, 3.0 m, 3.5 m
    assert depth_layers([3000, 2000, 3500, 2250]).tolist() == [1, 0, 2, 0]
    assert depth_layers([2000, 2300, 2600]).tolist() == [0, 0, 0]
    assert depth_layers([]).tolist() == []


@pytest.mark.parametrize(
    ('years', 'group'), [(40, 0), (18, 0), (17.9, 1), (12, 1), (11, 2), (3, 2), (2.9, 3), (0, 3)]
)
def test_age_groups(years, group):
    assert age_group(years) == group


def test_names_say_whose_joints_there_are():
    names = {'100001.jpg': 'rh14', '000012.jpg': 'rh_ochuman19', '1234567.jpg': 'rh19'}
    assert {name: joint_set_of(name) for name in names} == names


@pytest.mark.parametrize('split', ['train', 'val', 'test'])
def test_layout_and_content(world, split):
    path = world.folder / f'relative_human/{split}_annots.npz'
    annots = np.load(path, allow_pickle=True)['annots'][()]
    scenes = [s for s in world.scenes['relative_human'] if s.request.split == split]
    assert list(annots) == [Path(scene.request.path).name for scene in scenes] and annots
    read, rows = read_relative_human(path), iter(read_relative_human(path).rows())
    for scene, (name, persons) in zip(scenes, annots.items(), strict=True):
        assert (world.folder / 'relative_human/images' / name).is_file()
        seen = [i for i, person in enumerate(scene.persons) if is_seen(person)]
        assert len(persons) == len(seen)
        depths = scene.joints_cam()[seen, PELVIS, 2]
        layers = np.array([person['depth_id'] for person in persons])
        for i, j in np.argwhere((layers[:, None] >= 0) & (layers >= 0)):
            if layers[i] < layers[j]:
                assert depths[i] + 300 < depths[j]
        for row, person, k in zip(next(rows), persons, seen, strict=True):
            true, size = scene.persons[k], {'rh14': 14}.get(joint_set_of(name), 19)
            x1, y1, x2, y2 = person['bbox']
            np.testing.assert_allclose((x1, y1, x2 - x1, y2 - y1), true.bbox, atol=0.51)
            np.testing.assert_array_equal(read.bbox[row], person['bbox'])
            assert (read.layer[row], read.age[row]) == (person['depth_id'], age_group(true.age))
            if person.get('kp2d') is None:
                assert not read.visible[row].any()
                continue
            flags = np.array(person['kp2d']).reshape(size, 3)[:, 2]
            assert flags.any() and set(flags) <= {0, 1, 2}
            # What was labelled lies where the joint is, made midpoints too (nobody's body is flat).
            error = np.linalg.norm(read.keypoints[row] - true.joints_px, axis=-1)
            assert error[read.visible[row]].max() < 0.15 * np.hypot(*true.bbox[2:]) + 2
