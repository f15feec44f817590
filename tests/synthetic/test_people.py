# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""People of all ages and builds, dressed, with their feet on the ground."""

from dataclasses import replace

import numpy as np
import pytest

from wsp_mm.synthetic.actions import ACTIONS, sample_pose
from wsp_mm.synthetic.body import PART_INDEX, body_model
from wsp_mm.synthetic.clothing import SLOTS, sample_outfit, template_body, thickness_of
from wsp_mm.synthetic.motion import COLUMN
from wsp_mm.synthetic.people import Identity, pose_bodies, sample_identity


@pytest.fixture(scope='module')
def crowd():
    """Everybody twice: 42 bodies, their identities and outfits."""
    rng = np.random.default_rng(4)
    identities = [sample_identity(rng) for _ in range(42)]
    outfits = [sample_outfit(rng, who.age, who.female) for who in identities]
    poses = [sample_pose(action, rng) for action in list(ACTIONS) * 2]
    return pose_bodies(identities, poses, outfits), identities, outfits


def feet_of(surface, *sides):
    part = body_model().vertex_part
    return surface[np.isin(part, [PART_INDEX[f'{side}_foot'] for side in sides]), 2].min()


def test_builds_are_those_of_people():
    rng = np.random.default_rng(3)
    people = [sample_identity(rng) for _ in range(90)]
    phenotypes = np.stack([who.phenotype for who in people])
    height, age = body_model().shapes(phenotypes).height, np.array([who.age for who in people])
    adults = height[(age > 20) & (age < 60)]
    assert 1.55 < adults.mean() < 1.80 and adults.std() > 0.04
    assert height[age < 8].mean() < 1.35
    assert people[0].height == pytest.approx(height[0], abs=1e-5)


def test_feet_are_on_the_ground(crowd):
    bodies, _, _ = crowd
    lowest = bodies.surface[:, body_model().on_surface, 2].min(axis=1)
    wanted = [pose.values[COLUMN['airborne']] for pose in bodies.poses]
    np.testing.assert_allclose(lowest, wanted, atol=1e-6)
    assert max(wanted) > 0.05
    checked = 0
    for surface, pose in zip(bodies.surface, bodies.poses, strict=True):
        for side in ('left', 'right'):
            if pose.posture == 'standing' and pose.values[COLUMN[f'{side}_foot_z']] == 0:
                assert feet_of(surface, side) < 0.03, pose.action
                checked += 1
    assert checked > 20


def test_clothes_stand_off_the_skin_and_joints_stay(crowd):
    bodies, identities, _ = crowd
    bare = pose_bodies(identities[:1], bodies.poses[:1])
    off = bodies.surface[0] - bare.surface[0]
    assert np.linalg.norm(off - off.min(axis=0), axis=1).max() > 0.005
    # The clothed body may stand a sole higher, nothing else moves.
    shift = bodies.joints[0] - bare.joints[0]
    np.testing.assert_allclose(shift, np.broadcast_to(shift[0], shift.shape), atol=1e-5)
    assert np.abs(shift).max() < 0.03


def _crouch(age_of_annys, **values):
    """A deep crouch of somebody of that age (anny's measure) with the given numbers."""
    rng = np.random.default_rng(0)
    pose, who = sample_pose('Crouching', rng), sample_identity(rng)
    row, phenotype = pose.values.copy(), who.phenotype.copy()
    for name, value in values.items():
        row[COLUMN[name]] = value
    phenotype[body_model().phenotypes.index('age')] = age_of_annys
    return pose_bodies([Identity(phenotype, 30, who.female)], [replace(pose, values=row)])


def test_nothing_but_feet_goes_into_the_ground():
    arm = dict(hand_target=0, arm_elev=85, arm_azim=90, elbow=3, arm_twist=0)
    both = {f'{side}_{name}': value for side in ('left', 'right') for name, value in arm.items()}
    bodies = _crouch(0.75, hip_height=0.4, root_pitch=25, spine_flex=60, **both)
    assert feet_of(bodies.surface[0], 'left', 'right') < 0.01
    assert bodies.poses[0].values[COLUMN['left_elbow']] > 10
    child = _crouch(0.2, hip_height=0.2, root_pitch=0, spine_flex=0)
    assert feet_of(child.surface[0], 'left', 'right') < 0.01
    assert child.poses[0].values[COLUMN['hip_height']] > 0.25


def test_sitters_sit_at_seat_height():
    rng = np.random.default_rng(0)
    poses = [sample_pose('Sitting', rng) for _ in range(60)]
    bodies = pose_bodies([sample_identity(rng) for _ in poses], poses)
    pelvis = bodies.surface[:, body_model().vertex_part == PART_INDEX['pelvis'], 2]
    seat = pelvis.min(axis=1) / bodies.height
    assert 0.2 < np.median(seat) < 0.27 and ((seat > 0) & (seat < 0.38)).all()


def test_outfits_differ_and_are_complete(crowd):
    _, _, outfits = crowd
    for outfit in outfits:
        assert len(outfit.textures) == len(outfit.thickness) == len(SLOTS)
        assert np.isfinite(list(outfit.fields.values())).all()
        thickness = thickness_of(outfit)
        assert (thickness >= 0).all() and 0.004 < thickness.max() < 0.04
    assert len({outfit.textures[SLOTS.index('top')] for outfit in outfits}) == len(outfits)
    assert len({round(outfit.fields['sleeve'], 2) for outfit in outfits}) > 10
    m = template_body().marks
    assert m['eye_z'] > m['neck'] > m['shoulder'] > m['waist'] > m['wrist'] > m['ankle'] > m['sole']
