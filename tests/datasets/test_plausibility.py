# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import pytest

from wsp_mm.datasets.plausibility import camera_view


@pytest.mark.parametrize(('f', 'c', 'size'), [
    ((1145, 1143), (512, 515), (1000, 1002)),  # Human3.6M
    ((1500, 1500), (1024, 1024), (2048, 2048)),
    ((600, 600), (0, 400), (1280, 720)),  # cut out of a larger image
    ((500, 500), (959, 539), (1920, 1080)),  # wide: 125 degrees
    ((10000, 10000), (959, 539), (1920, 1080)),  # long lens: 11 degrees
    ((30, 30), (-0.5, 9.5), (10, 10)),
])  # fmt: skip
def test_cameras_of_images(f, c, size):
    assert camera_view([f], [c], [size]).bad.tolist() == [False]


@pytest.mark.parametrize(('f', 'c', 'size', 'hint'), [
    ((26, 26), (959, 539), (1920, 1080), 'mm'),
    ((1500, 26), (959, 539), (1920, 1080), 'mm'),
    ((0.8, 1.4), (959, 539), (1920, 1080), 'divided by the image size'),
    ((90000, 90000), (959, 539), (1920, 1080), 'larger image'),
    ((1500, 1500), (959, 539), (640, 480), '959.*640 x 480.*another image size'),
    ((1500, 1500), (-30, 539), (1920, 1080), 'outside'),
    ((1500, 1500), (0.5, 0.5), (1920, 1080), 'divided by the image size'),
    ((1500, 1500), (0, 0), (1920, 1080), 'relative to its centre'),
])  # fmt: skip
def test_cameras_of_other_images(f, c, size, hint):
    verdict = camera_view([(1500, 1500), f], [(319, 239), c], [(640, 480), size])
    assert verdict.bad.tolist() == [False, True]
    with pytest.raises(ValueError, match=hint):
        raise ValueError(verdict.what(1))
