# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import numpy as np
import pytest
from mmpose.registry import TRANSFORMS

import wsp_mm.datasets.transforms.root_depth_prior  # noqa: F401  (register)
from wsp_mm.datasets.transforms.person_crop import PersonCenterScale
from wsp_mm.structures.bbox import crop_box, k_value

BOX = np.array([[40.0, 50.0, 140.0, 250.0]])
F = np.array([1000.0, 900.0])


def results(**changes):
    return dict(dict(bbox=BOX, img_shape=(480, 640), camera_f=F), **changes)


def prior(sample, **kwargs):
    return TRANSFORMS.build(dict(type='RootDepthPrior', **kwargs))(sample)


def test_k_of_the_processed_box():
    sample = prior(PersonCenterScale()(results()))
    expected = k_value(crop_box(np.array([40.0, 50.0, 100.0, 200.0]), (640, 480)), F)
    assert sample['root_k'].shape == (1,) and sample['root_k'].dtype == np.float32
    np.testing.assert_allclose(sample['root_k'], expected, rtol=1e-6)
    half = prior(PersonCenterScale()(results()), area_mm2=1e6)
    np.testing.assert_allclose(half['root_k'], expected / 2, rtol=1e-6)


def test_an_extended_box_is_taken_as_it_is():
    sample = prior(PersonCenterScale()(results(bbox_extended=True)))
    np.testing.assert_allclose(sample['root_k'], np.sqrt(1000 * 900 * 4e6 / (100 * 200)), rtol=1e-6)


def test_without_a_camera_there_is_none():
    sample = results()
    del sample['camera_f']
    assert np.isnan(prior(PersonCenterScale()(sample))['root_k']).all()


def test_it_must_come_before_chance():
    with pytest.raises(ValueError, match='right after PersonCenterScale'):
        prior(results())
    with pytest.raises(ValueError, match='right after PersonCenterScale'):
        prior(dict(PersonCenterScale()(results()), bbox_rotation=np.zeros(1)))
    with pytest.raises(ValueError, match='area_mm2'):
        prior(results(), area_mm2=0)
