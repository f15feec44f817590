# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import json
import math

import numpy as np
import pytest

from wsp_mm.apis.inference.camera import CameraChoice, CameraError
from wsp_mm.structures.camera import PinholeCamera


def test_none_is_none():
    choice = CameraChoice()
    assert not choice
    assert choice.for_picture('a.jpg', 640, 480) is None
    assert choice.describe() is None


def test_focal_length_alone_takes_the_middle_and_says_so():
    camera = CameraChoice(focal=1000).for_picture('a.jpg', 641, 481)
    assert camera.to_dict() == dict(
        f=[1000.0, 1000.0], c=[320.0, 240.0], source='given', principal_point='picture-centre'
    )


def test_focal_lengths_and_principal_point():
    camera = CameraChoice([900, 910], (300, 200)).for_picture('a.jpg', 640, 480)
    assert (camera.f, camera.c, camera.source, camera.principal_point) == (
        (900.0, 910.0), (300.0, 200.0), 'given', 'given',
    )  # fmt: skip


@pytest.mark.parametrize(('width', 'height'), [(800, 600), (600, 800)])
def test_assumed_angle_spans_the_longer_side(width, height):
    camera = CameraChoice(fov_deg=90).for_picture('a.jpg', width, height)
    assert camera.f == pytest.approx((400, 400))  # tan 45 degrees = 1
    assert (camera.source, camera.fov_deg) == ('assumed-fov', 90)
    # the picture's edges, half a pixel beyond the outer pixels' centres, are 90 degrees apart
    edges = [
        (edge - camera.c[width < height]) / camera.f[0] for edge in (-0.5, max(width, height) - 0.5)
    ]
    assert math.degrees(math.atan(edges[1]) - math.atan(edges[0])) == pytest.approx(90)


@pytest.mark.parametrize(
    'entry',
    [
        dict(f=[1100, 1200], c=[310, 250]),
        dict(K=[[1100, 0, 310], [0, 1200, 250], [0, 0, 1]]),
        dict(intrinsic=[1100, 1200, 310, 250]),
        dict(f=[1100, 1200], c=[310, 250], dist=None, k=[0, 0, 0]),
    ],
)
def test_spellings_of_a_camera_file(entry, tmp_path):
    (tmp_path / 'c.json').write_text(
        json.dumps(entry), encoding='utf-8-sig'
    )  # as Windows writes it
    for choice in (CameraChoice.read(tmp_path / 'c.json'), CameraChoice.of(entry)):
        camera = choice.for_picture('a.jpg', 640, 480)
        assert (camera.f, camera.c, camera.source) == ((1100, 1200), (310, 250), 'file')


def test_a_camera_for_every_picture(tmp_path):
    images = {
        'x/a.jpg': dict(f=1, c=[1, 1]),
        'b.jpg': dict(f=2, c=[2, 2]),
        'clip.mp4': dict(f=3, c=[3, 3]),
    }
    (tmp_path / 'c.json').write_text(json.dumps(dict(images=images)))
    choice = CameraChoice.read(tmp_path / 'c.json')
    found = {
        name: choice.for_picture(name, 9, 9).f[0] for name in ('x/a.jpg', 'y/b.jpg', 'clip.mp4#12')
    }
    assert found == {'x/a.jpg': 1, 'y/b.jpg': 2, 'clip.mp4#12': 3}
    with pytest.raises(CameraError, match=r'no camera for a\.jpg'):
        choice.for_picture('a.jpg', 9, 9)


def test_a_camera_of_other_pictures_is_not_used():
    choice = CameraChoice.of(dict(f=1000, c=[960, 540], width=1920, height=1080))
    assert choice.for_picture('a.jpg', 1920, 1080).f == (1000, 1000)
    with pytest.raises(CameraError, match='1920 x 1080 px pictures, and this one has 640 x 480'):
        choice.for_picture('a.jpg', 640, 480)


def test_pinhole_camera():
    camera = CameraChoice.of(PinholeCamera(f=np.array([5, 6]), c=np.array([7, 8]))).for_picture(
        '', 10, 10
    )
    assert (camera.f, camera.c) == ((5, 6), (7, 8))


@pytest.mark.parametrize(
    'options',
    [
        dict(focal=0),
        dict(focal=[1, 2, 3]),
        dict(focal=math.nan),
        dict(principal=(1, 2)),
        dict(fov_deg=180),
        dict(fov_deg=0),
        dict(focal=1, fov_deg=60),
        dict(table={'': dict(f=[1, 1])}),
        dict(table={'': dict(f=[1, -1], c=[0, 0])}),
        dict(table={'': dict(K=[[1, 5, 0], [0, 1, 0], [0, 0, 1]])}),
        dict(table={'': dict(f=1, c=[0, 0], distortion=[0.1, 0, 0, 0, 0])}),
        dict(table={'': 'wide'}),
    ],
)
def test_what_is_no_camera(options):
    with pytest.raises(CameraError):
        CameraChoice(**options)


@pytest.mark.parametrize(
    ('text', 'match'),
    [
        ('[1]', 'a camera is'),
        ('{', 'no json'),
        (None, 'No such file'),
        ('{"f": 9, "c": [1, 1], "width": 1e999}', 'a camera is'),
        ('{"f": 9, "c": [1, 1], "dist": {}}', 'a camera is'),
        ('{"f": 9, "c": [1, 1], "dist": "none"}', 'a camera is'),
    ],
)
def test_bad_camera_files_are_named(text, match, tmp_path):
    path = tmp_path / 'c.json'
    if text is not None:
        path.write_text(text)
    with pytest.raises(CameraError, match=match) as error:
        CameraChoice.read(path)
    assert str(path) in str(error.value)


def test_unknown_words_of_a_dict():
    with pytest.raises(CameraError, match='fov'):
        CameraChoice.of(dict(fov=60))
