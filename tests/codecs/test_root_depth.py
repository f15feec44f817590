# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import numpy as np
import pytest
from mmpose.registry import KEYPOINT_CODECS

import wsp_mm.codecs.root_depth  # noqa: F401  (register)
from wsp_mm.structures.keypoints import get_joint_set

ROOT = 14  # the pelvis of muco21


def build(**kwargs):
    return KEYPOINT_CODECS.build(
        dict(dict(type='RootDepthLabel', input_size=(96, 48), heatmap_size=(24, 24)), **kwargs)
    )


def person(x=50.0, y=20.0, joints=21, root=ROOT):
    keypoints = np.full((1, joints, 3), -999.0)  # nothing but the root is read
    keypoints[0, root] = (x, y, 0)
    return keypoints


KNOWN = dict(has_depth=np.ones(1), root_depth=np.array([4000.0]), root_k=np.array([5000.0]))


def test_by_hand():
    encoded = build().encode(person(), np.ones((1, 21)), **KNOWN)
    assert {key: value.tolist() for key, value in encoded.items()} == dict(
        root_cells=[[12.5, 10.0]],
        root_weights=[1],
        root_depths=[4000],
        root_priors=[5000],
        depth_weights=[1],
    )
    assert all(len(value) == 1 and value.dtype == np.float32 for value in encoded.values())
    assert set(encoded) == set(build().label_mapping_table)


def test_the_joint_set_says_which_is_the_root():
    codec = build(joint_set='h36m18')
    assert codec.root == get_joint_set('h36m18').index('pelvis') == 0
    encoded = codec.encode(person(joints=18, root=0), None, **KNOWN)
    assert encoded['root_cells'].tolist() == [[12.5, 10.0]]
    with pytest.raises(KeyError):
        build(joint_set='coco17')


def test_round_trip():
    places = np.random.default_rng(0).uniform((0, 0), (95.9, 47.9), (20, 2))
    codec = build()
    cells = np.concatenate(
        [codec.encode(person(*place), None, **KNOWN)['root_cells'] for place in places]
    )
    np.testing.assert_allclose(codec.decode(cells), places, rtol=1e-5)


@pytest.mark.parametrize('place', [(-0.1, 5), (96, 5), (5, -1), (5, 48)])
def test_outside_nothing_is_supervised(place):
    encoded = build().encode(person(*place), np.ones((1, 21)), **KNOWN)
    assert not any(value.any() for value in encoded.values())


def test_a_hidden_root_is_not_supervised():
    visible = np.ones((1, 21))
    visible[0, ROOT] = 0
    assert not any(value.any() for value in build().encode(person(), visible, **KNOWN).values())
    keypoints = person(np.nan, np.nan)
    assert not any(value.any() for value in build().encode(keypoints, visible, **KNOWN).values())


@pytest.mark.parametrize(
    'known',
    [
        dict(has_depth=np.zeros(1), root_depth=np.full(1, np.nan), root_k=np.full(1, np.nan)),  # 2D
        dict(has_depth=np.zeros(1)),
        dict(),
        dict(KNOWN, root_k=np.full(1, np.nan)),  # 3D, but the camera is not known
        dict(KNOWN, has_depth=np.zeros(1)),
    ],
)
def test_without_depth_the_place_alone(known):
    encoded = build().encode(person(), None, **known)
    assert encoded['root_weights'].tolist() == [1] and encoded['root_cells'].any()
    assert not any(encoded[key].any() for key in ('root_depths', 'root_priors', 'depth_weights'))


def test_what_is_refused():
    codec = build()
    with pytest.raises(ValueError, match='one person of muco21'):
        codec.encode(np.zeros((2, 21, 3)))
    with pytest.raises(ValueError, match='one person of muco21'):
        codec.encode(np.zeros((1, 18, 3)))
    with pytest.raises(ValueError, match='the root is labelled'):
        codec.encode(person(np.nan), None, **KNOWN)
    with pytest.raises(ValueError, match='must lie before the camera'):
        codec.encode(person(), None, **dict(KNOWN, root_depth=np.array([-1.0])))
    with pytest.raises(ValueError, match='RootDepthPrior'):
        codec.encode(person(), None, **dict(KNOWN, root_k=None))
    with pytest.raises(ValueError, match='no map'):
        build(heatmap_size=(24, 0))
