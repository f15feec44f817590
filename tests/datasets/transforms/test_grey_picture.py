# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import numpy as np
import pytest

from wsp_mm.datasets.transforms.grey_picture import GreyPicture


def test_nothing_is_left_of_the_picture():
    img = np.random.default_rng(0).integers(0, 256, (8, 9, 3), dtype=np.uint8)
    before = img.copy()
    boxes = np.arange(8.0).reshape(1, 2, 4)
    out = GreyPicture().transform(dict(img=img, input_size=(9, 8), pair_bboxes_input=boxes))
    assert (
        out['img'].shape == (8, 9, 3) and out['img'].dtype == np.uint8 and (out['img'] == 116).all()
    )
    np.testing.assert_array_equal(img, before)
    assert out['pair_bboxes_input'] is boxes
    assert (GreyPicture(value=3).transform(dict(img=img, input_size=(9, 8)))['img'] == 3).all()


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match='after PairTopdownAffine'):
        GreyPicture().transform(dict(img=np.zeros((4, 4, 3), np.uint8)))
    with pytest.raises(ValueError, match='0 to 255'):
        GreyPicture(value=256)
    assert repr(GreyPicture()) == 'GreyPicture(value=116)'
