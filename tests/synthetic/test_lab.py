# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import numpy as np
import pytest

from wsp_mm.synthetic import lab
from wsp_mm.synthetic.lab import (
    LabRecord,
    generate_moment,
    lab_cameras,
    make_lab_setting,
    subject_identity,
)
from wsp_mm.synthetic.lab_plan import SUBJECTS, Moment
from wsp_mm.synthetic.render import project_m


def moment(action=2, frame=5, subject=1, side=96, **more):
    return Moment(**{**dict(scene_id=0, subaction=1, seed=0), **more}, subject=subject, action=action,
                  frame=frame, side=side)  # fmt: skip


def test_cameras_surround_the_room_and_differ_a_little_between_days():
    rigs = [lab_cameras(0, subject, 1000) for subject in SUBJECTS]
    for rig in rigs:
        places = np.array([camera.position for camera in rig]) / 1000
        assert {(x > 0, y > 0) for x, y, _ in places} == {
            (True, True),
            (True, False),
            (False, True),
            (False, False),
        }
        assert ((places[:, 2] > 1.3) & (places[:, 2] < 1.8)).all()
        for camera in rig:
            assert camera.f == pytest.approx(np.full(2, 1147), abs=8)
            # The middle of the room is in the middle of the picture.
            u, v, depth = project_m(camera, np.array([0, 0, 0.9]))
            assert abs(u - 500) < 60 and abs(v - 500) < 60 and 4 < depth < 6
            # Upright: a head is over its feet.
            top, bottom = project_m(camera, np.array([[0, 0, 1.7], [0, 0, 0]]))
            assert top[1] < bottom[1] - 300 and abs(top[0] - bottom[0]) < 25
    first, second = rigs[:2]
    for a, b in zip(first, second, strict=True):
        assert a.f.tolist() == b.f.tolist() and a.c.tolist() == b.c.tolist()
        assert 5 < np.linalg.norm(a.position - b.position) < 450


def test_a_camera_scales_with_its_picture():
    for small, large in zip(lab_cameras(3, 5, 100), lab_cameras(3, 5, 1000), strict=True):
        assert large.f == pytest.approx(10 * small.f) and large.c == pytest.approx(10 * small.c)
        assert (small.R == large.R).all() and (small.t == large.t).all()


def test_subjects_keep_their_bodies_and_clothes():
    people = {subject: subject_identity(0, subject) for subject in SUBJECTS}
    assert {subject for subject, person in people.items() if person.female} == {1, 5, 7}
    assert all(20 <= person.age <= 50 for person in people.values())
    assert len({person.outfit.textures.tobytes() for person in people.values()}) == len(SUBJECTS)
    lab.subject_identity.cache_clear()
    for subject, person in people.items():
        again = subject_identity(0, subject)
        assert (again.phenotype == person.phenotype).all()
        assert (again.outfit.textures == person.outfit.textures).all()
    assert (subject_identity(1, 9).phenotype != people[9].phenotype).any()


def test_one_piece_is_one_movement_and_the_next_another():
    first, later, next_piece = (make_lab_setting(moment(frame=frame)) for frame in (0, 3, 64))
    step = np.linalg.norm(first.joints - later.joints, axis=2)
    assert 0 < step.max() < 0.25
    assert np.linalg.norm(first.places - next_piece.places) > 0.05
    assert abs(first.yaws - next_piece.yaws) > 0.05


def test_walkers_walk_where_they_look():
    a, b = (make_lab_setting(moment(action=14, frame=frame)) for frame in (10, 11))
    way = (b.places - a.places)[0] * 50
    forward = np.array([np.sin(a.yaws[0]), -np.cos(a.yaws[0])])
    assert 0.3 < np.linalg.norm(way) < 2.5
    assert way @ forward / np.linalg.norm(way) > 0.99


def test_everybody_is_in_the_picture_and_turned_anywhere():
    turns, inside = [], []
    for action in range(2, 17):
        asked = moment(action=action, frame=70, subject=9, side=256, subaction=2)
        setting = make_lab_setting(asked)
        turns.append(setting.yaws[0])
        for camera in lab_cameras(0, 9, 256):
            px = project_m(camera, setting.joints[0])[:, :2]
            inside.append(((px > 0) & (px < 256)).all(axis=1).mean())
    assert np.mean(inside) > 0.98
    assert np.ptp(turns) > 4


def test_pictures_show_the_person_where_the_record_says(monkeypatch):
    asked = moment(action=9, frame=5, subject=5, side=128, seed=2)
    images, record = generate_moment(asked)
    assert len(images) == 4 and all(image.shape == (128, 128, 3) for image in images)
    assert record.subject == 5 and record.joints_world.shape == (29, 3)
    for image, empty, camera in zip(
        images, lab._empty_room(2, 5, 128), lab_cameras(2, 5, 128), strict=True
    ):
        u, v = np.rint(project_m(camera, record.joints_world / 1000).mean(axis=0)[:2]).astype(int)
        differs = np.abs(image.astype(int) - empty).max(axis=2) > 15
        assert differs[v - 3 : v + 4, u - 3 : u + 4].mean() > 0.5
        assert differs.mean() < 0.15
    # Rendering only the part of the room with the person in it makes no difference outside it.
    window = lab._window
    monkeypatch.setattr(lab, '_window', lambda *args: (0, 0, 128, 128))
    whole, _ = generate_moment(asked)
    for part, image, camera in zip(images, whole, lab_cameras(2, 5, 128), strict=True):
        x0, y0, x1, y1 = window(make_lab_setting(asked), camera, 128)
        assert 0 < (x1 - x0) * (y1 - y0) < 0.6 * 128 * 128
        off = np.abs(part.astype(int) - image)
        assert off[y0:y1, x0:x1].mean() < 2
        off[y0:y1, x0:x1] = 0
        assert off.max() <= 1


def test_pictures_are_a_function_of_the_moment():
    asked = moment(subject=11, frame=192)
    first = generate_moment(asked)
    for cache in (
        lab._empty_room,
        lab.lab_cameras,
        lab.subject_identity,
        lab._lens,
        lab.lab_scenery,
    ):
        cache.cache_clear()
    generate_moment(moment(subject=6, frame=5))
    second = generate_moment(asked)
    assert all((a == b).all() for a, b in zip(first[0], second[0], strict=True))
    assert first[1].to_dict() == second[1].to_dict()


def test_a_record_survives_its_json():
    record = LabRecord(3, 9, 2, 1, 64, np.arange(87.0).reshape(29, 3) / 7, 'standing', 1700.0)
    again = LabRecord.from_dict(record.to_dict())
    assert np.abs(again.joints_world - record.joints_world).max() < 0.001
    assert again.to_dict() == record.to_dict()
    with pytest.raises(ValueError, match='shape'):
        LabRecord.from_dict({**record.to_dict(), 'joints_world': [[0, 0, 0]]})
