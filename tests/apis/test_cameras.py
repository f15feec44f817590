# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import argparse
import json
import math

import numpy as np
import pytest

from wsp_mm.apis.cameras import Cameras, cameras_of, image_center
from wsp_mm.apis.images import InputError
from wsp_mm.structures.camera import PinholeCamera
from wsp_mm.utils.cli import add_camera_arguments


def test_without_a_word_there_is_none():
    cameras = Cameras()
    assert not cameras and not Cameras.of(None)
    assert cameras.for_image('a.jpg', (640, 480)) is None and cameras.describe() is None


def test_focal_length_and_principal_point():
    assert image_center(641, 481) == (320, 240)
    camera = Cameras(focal=1000).for_image('a.jpg', (641, 481))
    centre = dict(c=[320, 240], principal_point='image-center')
    assert camera == dict(centre, f=[1000, 1000], source='given')
    camera = Cameras([900, 910], (300, 200)).for_image('a.jpg', (640, 480))
    assert camera == dict(f=[900, 910], c=[300, 200], source='given', principal_point='given')
    camera = Cameras.of(PinholeCamera(f=np.array([5, 6]), c=np.array([7, 8])))
    found = camera.for_image('', (10, 10))
    assert (found['f'], found['c']) == ([5, 6], [7, 8])


@pytest.mark.parametrize('size', [(800, 600), (600, 800)])
def test_assumed_angle_spans_the_longer_side(size):
    camera = Cameras(fov_deg=90).for_image('a.jpg', size)
    assert camera['f'] == pytest.approx((400, 400))  # tan 45 degrees = 1
    assert (camera['source'], camera['fov_deg']) == ('assumed-fov', 90)
    # The image's edges, half a pixel beyond the outer pixels' centres, are 90 degrees apart.
    c = camera['c'][size[0] < size[1]]
    angles = [math.atan((edge - c) / camera['f'][0]) for edge in (-0.5, max(size) - 0.5)]
    assert math.degrees(angles[1] - angles[0]) == pytest.approx(90)


@pytest.mark.parametrize(
    'entry',
    [
        dict(f=[1100, 1200], c=[310, 250]),
        dict(K=[[1100, 0, 310], [0, 1200, 250], [0, 0, 1]]),
        dict(intrinsic=[1100, 1200, 310, 250]),
        dict(f=[1100, 1200], c=[310, 250], dist=None, k=[0, 0, 0]),
        dict(f=[1100, 1200], c=[310, 250], dist_coeffs=[[0, 0]], k1=0, image_size=[640, 480]),
    ],
)
def test_spellings_of_a_camera_file(entry, tmp_path):
    (tmp_path / 'c.json').write_text(json.dumps(entry))
    for cameras in (Cameras.of(tmp_path / 'c.json'), Cameras.of(entry)):
        camera = cameras.for_image('a.jpg', (640, 480))
        assert (camera['f'], camera['c'], camera['source']) == ([1100, 1200], [310, 250], 'file')


def test_a_camera_for_every_image(tmp_path):
    names = {'x/a.jpg': 11, 'b.jpg': 12, 'clip.mp4': 13}
    images = {name: dict(f=f, c=[4, 4]) for name, f in names.items()}
    (tmp_path / 'c.json').write_text(json.dumps(dict(images=images)))
    cameras = Cameras.read(tmp_path / 'c.json')
    for name, f in (('x/a.jpg', 11), ('y/b.jpg', 12), ('clip.mp4#12', 13)):
        assert cameras.for_image(name, (9, 9))['f'] == [f, f]
    with pytest.raises(InputError, match=r'a\.jpg'):
        cameras.for_image('a.jpg', (9, 9))


@pytest.mark.parametrize(
    'given',
    [dict(image_width=1920, image_height=1080), dict(image_size=[1920, 1080]), dict(width=1920),
     dict(width=1920, height=1080)],
)  # fmt: skip
def test_a_camera_of_other_images_is_not_used(given):
    cameras = Cameras.of(dict(f=1000, c=[300, 200], **given))
    assert cameras.for_image('a.jpg', (1920, 1080))['f'] == [1000, 1000]
    with pytest.raises(InputError, match=r'1920 x .* 640 x 480'):
        cameras.for_image('a.jpg', (640, 480))


DISTORTION = ('D', 'dist_coeffs', 'distortion_coefficients', 'k1', 'p', 'dist')


@pytest.mark.parametrize(
    ('content', 'hint'),
    [
        (dict(f=1000, c=[300, 200], focus=3), 'focus.*intrinsic.*image_size'),
        (dict(images={'a.jpg': dict(f=1000, c=[300, 200], focus=3)}), r'a\.jpg.*focus'),
        (dict(images={'a.jpg': dict(f=1000, c=[300, 200])}, D=[1]), 'D'),
        *(({'f': 1000, 'c': [300, 200], key: [0.1, 0]}, f'{key}.*undistort') for key in DISTORTION),
        (dict(K=[[1000, 0, 0], [0, 1000, 0], [300, 200, 1]]), 'MATLAB'),
        (dict(K=[[2000, 0, 600], [0, 2000, 400], [0, 0, 2]]), 'divide K by 2'),
        (dict(K=[[0.8, 0, 0.5], [0, 1.4, 0.5], [0, 0, 1]]), 'divided by the image size'),
        (dict(intrinsic=[0.8, 1.4, 0.5, 0.5]), 'divided by the image size'),
        (dict(K=[[1000, 0, 300], [0, -1000, 200], [0, 0, 1]]), 'OpenGL'),
    ],
)
def test_what_a_wrong_camera_file_looks_like(content, hint, tmp_path):
    path = tmp_path / 'c.json'
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=rf'c\.json: .*{hint}'):
        Cameras.read(path)


def test_a_field_of_view_that_no_camera_has():
    with pytest.raises(InputError, match='mm'):
        Cameras(focal=26).for_image('a.jpg', (1920, 1080))
    with pytest.raises(InputError, match='radians'):
        Cameras(fov_deg=1.05)
    for fov_deg in (5, 150):
        assert Cameras(fov_deg=fov_deg).for_image('a.jpg', (1920, 1080))['fov_deg'] == fov_deg
    with pytest.raises(InputError, match='another image size'):
        Cameras(1500, (959, 539)).for_image('a.jpg', (640, 480))


def test_a_camera_is_scaled_where_the_user_asks():
    table = {'': dict(f=[1000, 1100], c=[959.5, 539.5], width=1920, height=1080)}
    camera = Cameras(table=table, scale=True).for_image('a.jpg', (960, 540))
    assert (camera['f'], camera['c']) == ([500, 550], [479.5, 269.5])  # the centre stays it
    for scale, size in ((True, (640, 480)), (False, (960, 540))):
        with pytest.raises(InputError, match=f'{size[0]} x {size[1]}'):
            Cameras(table=table, scale=scale).for_image('a.jpg', size)


@pytest.mark.parametrize(
    'options',
    [
        dict(focal=0),
        dict(focal=[1, 2, 3]),
        dict(focal=math.nan),
        dict(principal_point=(1, 2)),
        dict(focal=1, principal_point=(1, 2, 3)),
        dict(fov_deg=180),
        dict(fov_deg=4),
        dict(fov_deg=math.nan),
        dict(focal=1, fov_deg=60),
        dict(fov=60),
        dict(f=[1, 1]),
        dict(f=[1, -1], c=[0, 0]),
        dict(K=[[1, 5, 0], [0, 1, 0], [0, 0, 1]]),
        dict(f=1, c=[0, 0], distortion=[0.1, 0, 0, 0, 0]),
        dict(f=1, c=[0, 0], dist='none'),
        dict(f=9, c=[1, 1], width=float('inf')),
        5,
    ],
)
def test_what_is_not_a_camera(options):
    with pytest.raises(InputError):
        Cameras.of(options)


@pytest.mark.parametrize('text', ['[1]', '{', None, '{"f": 9}', '{"images": {"a.jpg": 3}}'])
def test_bad_camera_files_are_named(text, tmp_path):
    path = tmp_path / 'c.json'
    if text is not None:
        path.write_text(text)
    with pytest.raises(ValueError, match=r'c\.json'):
        Cameras.read(path)


def test_command_line(tmp_path):
    parser = argparse.ArgumentParser()
    add_camera_arguments(parser)

    def parse(*words):
        return cameras_of(parser.parse_args([str(word) for word in words]))

    assert not parse()
    given = parse('--focal', 500, 510, '--principal-point', 3, 4).describe()
    assert given == dict(source='given', f=[500, 510], c=[3, 4])
    assert parse('--assume-fov', 60).describe()['source'] == 'assumed-fov'
    (tmp_path / 'c.json').write_text('{"f": 90, "c": [1, 1]}')
    assert parse('--camera', tmp_path / 'c.json').describe()['source'] == 'file'
    for words in (['--principal-point', 3, 4], ['--focal', 1, 2, 3], ['--scale-camera'],
                  ['--camera', tmp_path / 'c.json', '--principal-point', 3, 4]):  # fmt: skip
        with pytest.raises(InputError):
            parse(*words)
    with pytest.raises(SystemExit):
        parse('--focal', 1, '--assume-fov', 60)
