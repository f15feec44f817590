# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Inference records made by hand: stick persons of three joints, whose pixels are easily
computed.
"""

import numpy as np
import pytest

# a person is a pelvis, a head 700 mm above it and a foot 900 mm below
JOINTS = np.array([[0.0, 0, 0], [0, -700, 0], [0, 900, 0]])
INFO = dict(
    joint_set='sticks',
    joint_names=['Pelvis', 'Head_top', 'L_Ankle'],
    skeleton_links=[['Pelvis', 'Head_top'], ['Pelvis', 'L_Ankle']],
)
F, C = 1000.0, (320.0, 240.0)


@pytest.fixture
def info():
    return {**INFO}


@pytest.fixture
def person():
    """``person(7, x, y, z)``: one whose pelvis is at (x, y, z) mm, seen by f = 1000 px, c = (320,
    240) px.
    """

    def make(identity, x=0.0, y=0.0, z=4000.0, **changes):
        cam = JOINTS + np.array((x, y, z))
        pixels = cam[:, :2] / cam[:, 2:] * F + C
        low, high = pixels.min(axis=0) - 40, pixels.max(axis=0) + 40
        values = dict(
            id=identity,
            bbox=[*low.tolist(), *(high - low).tolist()],
            bbox_score=0.9,
            keypoints_img=pixels.tolist(),
            keypoint_scores=[1.0] * 3,
            keypoints_rel=[0.0] * 3,
            root_depth=z,
            keypoints_cam=cam.tolist(),
        )
        return {**values, **changes}

    return make


@pytest.fixture
def record():
    """``record(person, ...)``: a frame of 640 x 480 px with a camera."""

    def make(*persons, **changes):
        values = dict(
            frame=0,
            time=None,
            file_name='a.jpg',
            width=640,
            height=480,
            camera=dict(f=[F, F], c=list(C), source='given'),
            persons=list(persons),
        )
        return {**values, **changes}

    return make


@pytest.fixture
def without_camera():
    """The same frame as it is when nobody knows the camera."""

    def strip(frame):
        persons = [
            {**person, 'keypoints_cam': None, 'root_depth': None} for person in frame['persons']
        ]
        return {**frame, 'camera': None, 'persons': persons}

    return strip
