# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Inference records made by hand: stick persons of three joints, with pixels easy to compute."""

import shutil

import numpy as np
import pytest

from wsp_mm.structures.keypoints import JOINT_SETS, JointSet

# a person is a pelvis, a head 700 mm above it and a foot 900 mm below
JOINTS = np.array([[0.0, 0, 0], [0, -700, 0], [0, 900, 0]])
F, C = 1000.0, (320.0, 240.0)
NAMES = ('chromium', 'chromium-browser', 'google-chrome')
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)


@pytest.fixture
def info(monkeypatch):
    """Of a run whose joint set is the sticks'."""
    joints = ('pelvis', 'head_top', 'left_ankle')
    links = (('pelvis', 'head_top'), ('pelvis', 'left_ankle'))
    monkeypatch.setitem(JOINT_SETS, 'sticks', JointSet('sticks', joints, {}, links))
    return dict(task='pose3d', joint_set='sticks')


@pytest.fixture
def person():
    """``person(7, x, y, z)``: one whose pelvis is at (x, y, z) mm before the camera of
    ``record``.
    """

    def make(identity, x=0.0, y=0.0, z=4000.0, **changes):
        points = JOINTS + np.array((x, y, z))
        pixels = points[:, :2] / points[:, 2:] * F + C
        low, high = pixels.min(axis=0) - 40, pixels.max(axis=0) + 40
        values = dict(
            id=identity,
            bbox=[*low.tolist(), *(high - low).tolist()],
            bbox_score=0.9,
            keypoints_img=pixels.tolist(),
            keypoint_scores=[1.0] * 3,
            keypoints_rel=[0.0] * 3,
            root_depth=z,
            keypoints_cam=points.tolist(),
        )
        return values | changes

    return make


@pytest.fixture
def record():
    """``record(person, ...)``: a frame of 640 x 480 px with a camera."""

    def make(*persons, **changes):
        camera = dict(f=[F, F], c=list(C), source='given', principal_point='given')
        values = dict(frame=0, time=None, file_name='a.jpg', width=640, height=480, camera=camera)
        return values | dict(persons=list(persons)) | changes

    return make


@pytest.fixture
def without_camera():
    """The same frame as it is when nobody knows the camera."""

    def strip(frame):
        unknown = dict(keypoints_cam=None, root_depth=None)
        persons = [person | unknown for person in frame['persons']]
        return frame | dict(camera=None, persons=persons)

    return strip


@pytest.fixture
def find():
    """``find(image, color)``: where an image has a colour, (N, 2) x, y."""

    def where(image, color, slack=12):
        rows, columns = np.nonzero(np.abs(image.astype(int) - color).max(axis=2) <= slack)
        return np.stack([columns, rows], axis=1)

    return where


@pytest.fixture
def browser():
    if CHROMIUM is None:
        pytest.skip('no chromium, chromium-browser or google-chrome on this machine')
    sync_api = pytest.importorskip('playwright.sync_api', reason='playwright is not installed')
    # A machine without a GPU draws WebGL in software; a container has no sandbox.
    flags = ['--no-sandbox', '--use-angle=swiftshader', '--enable-unsafe-swiftshader']
    flags += ['--ignore-gpu-blocklist']
    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield browser
        browser.close()
