# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""People of all ages and builds, dressed, with their feet on the ground."""

import numpy as np
import pytest

from wsp_mm.synthetic.actions import ACTIONS, sample_pose
from wsp_mm.synthetic.body import PART_INDEX, body_model
from wsp_mm.synthetic.clothing import COLUMNS, SLOTS, canonical_body, sample_outfit, thickness_of
from wsp_mm.synthetic.joints import WORLD
from wsp_mm.synthetic.people import pose_bodies, sample_identity, sample_people
from wsp_mm.synthetic.poses import column


@pytest.fixture(scope='module')
def crowd():
    rng = np.random.default_rng(4)
    identities = [sample_identity(rng) for _ in range(42)]
    poses = [sample_pose(action, rng) for action in list(ACTIONS) * 2]
    return pose_bodies(identities, poses)


def test_bank():
    people = sample_people(90, seed=3)
    again = sample_people(90, seed=3)
    for key, value in people.items():
        assert len(value) == 90
        np.testing.assert_array_equal(value, again[key])
    assert people['joints'].shape == (90, 29, 3)
    height, age = people['height'], people['age']
    adults = height[(age > 20) & (age < 60)]
    assert 1550 < adults.mean() < 1800 and adults.std() > 40
    assert height[age < 8].mean() < 1350
    assert (people['joints'][..., 2] > -40).all()
    np.testing.assert_allclose(people['joints'][:, WORLD.index('pelvis'), :2], 0, atol=1e-6)
    assert (
        np.linalg.norm(people['joints'][..., :2], axis=-1).max(axis=1) <= people['radius'] + 40
    ).all()
    assert len(set(people['action'])) > 15 and {'standing', 'sitting'} <= set(people['posture'])


def test_bank_of_some_actions():
    assert set(sample_people(5, 0, actions=('Walking',))['action']) == {'Walking'}
    with pytest.raises(ValueError, match='positive'):
        sample_people(0, 0)


def test_everybody_touches_the_ground_or_flies_as_told(crowd):
    lowest = crowd.surface[:, body_model().on_surface, 2].min(axis=1)
    wanted = [pose.values[column('airborne')] for pose in crowd.poses]
    np.testing.assert_allclose(lowest, wanted, atol=1e-6)
    np.testing.assert_allclose(crowd.lowest, wanted)
    assert any(
        pose.posture == 'airborne' and low > 0.05
        for pose, low in zip(crowd.poses, lowest, strict=True)
    )


def test_both_feet_of_those_who_stand_are_down(crowd):
    part = body_model().vertex_part
    checked = 0
    for surface, pose in zip(crowd.surface, crowd.poses, strict=True):
        for side in ('left', 'right'):
            if pose.posture == 'standing' and pose.values[column(f'{side}_foot_z')] == 0:
                assert surface[part == PART_INDEX[f'{side}_foot'], 2].min() < 0.03, pose.action
                checked += 1
    assert checked > 20


def test_clothes_stand_off_the_skin_and_joints_stay(crowd):
    identity, pose = crowd.identities[0], crowd.poses[0]
    bare = pose_bodies(
        [type(identity)(identity.phenotype, identity.age, identity.female, None)], [pose]
    )
    off = np.linalg.norm(
        crowd.surface[0] - bare.surface[0] - (crowd.surface[0] - bare.surface[0]).min(axis=0),
        axis=1,
    )
    assert off.max() > 0.005
    # The clothed body may stand a sole higher, nothing else moves.
    shift = crowd.joints[0] - bare.joints[0]
    np.testing.assert_allclose(shift, np.broadcast_to(shift[0], shift.shape), atol=1e-5)
    assert np.abs(shift).max() < 0.03


def _crouch(age_of_annys, **values):
    """A deep crouch of somebody of that age (anny's measure) with the given numbers."""
    rng = np.random.default_rng(0)
    pose, identity = sample_pose('Crouching', rng), sample_identity(rng)
    row = pose.values.copy()
    for name, value in values.items():
        row[column(name)] = value
    phenotype = identity.phenotype.copy()
    phenotype[body_model().phenotypes.index('age')] = age_of_annys
    who = type(identity)(phenotype, 30, identity.female, identity.outfit)
    return pose_bodies([who], [type(pose)(pose.action, pose.posture, row)])


def _feet_height(bodies):
    part = body_model().vertex_part
    return bodies.surface[
        0, np.isin(part, [PART_INDEX['left_foot'], PART_INDEX['right_foot']]), 2
    ].min()


def test_hands_stay_out_of_the_ground():
    """A pose that would put the hands into the ground gets its arms bent; the feet stay where they
    are.
    """
    arm = dict(hand_target=0, arm_elev=85, arm_azim=90, elbow=3, arm_twist=0)
    both = {f'{side}_{name}': value for side in ('left', 'right') for name, value in arm.items()}
    bodies = _crouch(0.75, hip_height=0.4, root_pitch=25, spine_flex=60, **both)
    assert _feet_height(bodies) < 0.01
    assert bodies.poses[0].values[column('left_elbow')] > 10


def test_children_who_crouch_stay_on_their_feet():
    bodies = _crouch(0.2, hip_height=0.2, root_pitch=0, spine_flex=0)
    assert _feet_height(bodies) < 0.01
    assert bodies.poses[0].values[column('hip_height')] > 0.25


def test_sitters_sit_on_something_at_seat_height():
    rng = np.random.default_rng(0)
    bodies = pose_bodies(
        [sample_identity(rng) for _ in range(8)], [sample_pose('Sitting', rng) for _ in range(8)]
    )
    part = body_model().vertex_part
    seat = (
        np.array([surface[part == PART_INDEX['pelvis'], 2].min() for surface in bodies.surface])
        / bodies.height
    )
    assert ((seat > 0.12) & (seat < 0.38)).all()


def test_outfits_differ_and_are_complete():
    rng = np.random.default_rng(0)
    body = body_model()
    outfits = [sample_outfit(rng, body, age=30, female=i % 2 == 0) for i in range(40)]
    for outfit in outfits:
        assert outfit.row.shape == (len(COLUMNS),) and outfit.textures.shape[0] == len(SLOTS)
        assert np.isfinite(outfit.row).all() and np.isfinite(outfit.textures).all()
        assert (thickness_of(outfit, body) >= 0).all() and thickness_of(outfit, body).max() < 0.04
    tops = {tuple(np.round(outfit.textures[SLOTS.index('top')], 3)) for outfit in outfits}
    sleeves = {round(float(outfit.row[COLUMNS.index('sleeve')]), 2) for outfit in outfits}
    assert len(tops) == 40 and len(sleeves) > 10


def test_canonical_body_stands_with_hanging_arms():
    canon = canonical_body(body_model())
    m = canon.marks
    assert m['eye_z'] > m['neck'] > m['shoulder'] > m['waist'] > m['wrist'] > m['ankle'] > m['sole']


def test_bad_lists():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match='as many'):
        pose_bodies([sample_identity(rng, dressed=False)], [])
