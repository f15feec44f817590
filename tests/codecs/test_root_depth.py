# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import numpy as np
import pytest

from wsp_mm.codecs.root_depth import RootDepthLabel
from wsp_mm.structures.keypoints import get_joint_set

ROOT = 14  # the pelvis of muco21
CODEC = RootDepthLabel(input_size=(96, 48), heatmap_size=(24, 24))
KNOWN = dict(has_depth=np.ones(1), root_depth=np.array([4000.0]), root_k=np.array([5000.0]))
DEPTH = ('root_depths', 'root_priors', 'depth_weights')


def person(x=50.0, y=20.0, joints=21, root=ROOT):
    keypoints = np.full((1, joints, 3), -999.0)  # nothing but the root is read
    keypoints[0, root] = (x, y, 0)
    return keypoints


def test_by_hand():
    encoded = CODEC.encode(person(), np.ones((1, 21)), **KNOWN)
    assert {key: value.tolist() for key, value in encoded.items()} == dict(
        keypoint_labels=[[[12.5, 10.0]]], keypoint_weights=[[1]],
        root_depths=[[4000]], root_priors=[[5000]], depth_weights=[[1]],
    )  # fmt: skip
    assert all(value.dtype == np.float32 for value in encoded.values())
    assert set(encoded) == set(CODEC.label_mapping_table)


def test_the_joint_set_names_the_root():
    codec = RootDepthLabel('h36m18', (96, 48), (24, 24))
    assert codec.root == get_joint_set('h36m18').index('pelvis') == 0
    encoded = codec.encode(person(joints=18, root=0), None, **KNOWN)
    assert encoded['keypoint_labels'].tolist() == [[[12.5, 10.0]]]
    with pytest.raises(KeyError):
        RootDepthLabel('coco17')


def test_round_trip():
    places = np.random.default_rng(0).uniform((0, 0), (95.9, 47.9), (20, 2))
    labels = [CODEC.encode(person(*place), None, **KNOWN)['keypoint_labels'] for place in places]
    keypoints, scores = CODEC.decode(np.concatenate(labels))
    np.testing.assert_allclose(keypoints, places[:, None], rtol=1e-5)
    assert keypoints.dtype == np.float32 and scores.tolist() == [[1]] * 20


@pytest.mark.parametrize(
    ('place', 'visible'),
    [((-0.1, 5), 1), ((96, 5), 1), ((5, -1), 1), ((5, 48), 1), ((5, 5), 0), ((np.nan, 5), 0)],
)
def test_a_root_outside_or_hidden_is_not_supervised(place, visible):
    labelled = np.ones((1, 21))
    labelled[0, ROOT] = visible
    encoded = CODEC.encode(person(*place), labelled, **KNOWN)
    assert not any(value.any() for value in encoded.values())


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
    encoded = CODEC.encode(person(), None, **known)
    assert encoded['keypoint_weights'].tolist() == [[1]] and encoded['keypoint_labels'].any()
    assert not any(encoded[key].any() for key in DEPTH)


@pytest.mark.parametrize(
    ('keypoints', 'known', 'what'),
    [
        (np.zeros((2, 21, 3)), {}, 'muco21'),
        (np.zeros((1, 18, 3)), {}, 'muco21'),
        (person(np.nan), {}, 'labelled'),
        (person(), dict(root_depth=np.array([-1.0])), 'root_depth'),
        (person(), dict(root_k=None), 'RootDepthPrior'),
    ],
)
def test_bad_input_is_refused(keypoints, known, what):
    with pytest.raises(ValueError, match=what):
        CODEC.encode(keypoints, None, **{**KNOWN, **known})


def test_sizes_that_make_no_map():
    with pytest.raises(ValueError, match='heatmap_size'):
        RootDepthLabel(heatmap_size=(24, 0))
