# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Who is in the image: ages and builds as people have them, and posed bodies standing on the
ground.

Posed bodies live in their *stand frame*: metres, z up from what they stand on, facing -y, pelvis
over the origin.
"""

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from wsp_mm.structures.keypoints import get_joint_set

from .body import PARTS, body_model
from .clothing import Outfit, dress
from .joints import regress_joints
from .kinematics import PoseSolver
from .motion import COLUMN, LOWER, SIDES, UPPER, Pose

_PELVIS = get_joint_set('world').index('pelvis')
_BUILD = ('height', 'weight', 'muscle', 'proportions')
# From, to (years) and share: everybody who can stand, children from 3 years on.
_AGES = ((3, 12, 0.12), (12, 18, 0.10), (18, 65, 0.64), (65, 88, 0.14))


@dataclass(frozen=True, eq=False)
class Identity:
    """Somebody's body. ``phenotype`` (6,) as ``BodyModel.phenotypes``; ``age`` years."""

    phenotype: np.ndarray
    age: float
    female: bool

    @property
    def height(self) -> float:
        """Stature in m."""
        return float(body_model().shapes(self.phenotype[None]).height[0])


@dataclass
class PosedBodies:
    """B bodies in their stand frames.

    Attributes:
        surface: (B, V, 3) m vertices with clothes and hair, what is rendered. normals: (B, V, 3).
        joints: (B, J, 3) m, joint set ``world``.
        rotations: (B, N, 3, 3) of each bone relative to its parent, in the axes of the reference
            pose.
        height: (B,) m, stature. poses: length B, as they were solved.
    """

    surface: np.ndarray
    normals: np.ndarray
    joints: np.ndarray
    rotations: np.ndarray
    height: np.ndarray
    poses: list[Pose]

    def __len__(self) -> int:
        return len(self.joints)


@lru_cache(maxsize=1)
def _build_tables() -> dict:
    """anny's calibrated distribution of builds as plain tables.

    'age': age in years to anny's age; (sex, build): Beta parameters by anny's age.
    """
    from anny.shape_distribution import SimpleShapeDistribution

    source = SimpleShapeDistribution(body_model().model)
    mapping = source.morphological_age_mapping
    ages = mapping.morphological_age_anchors.numpy(), mapping.anny_age_anchors.numpy()
    tables: dict = {'age': ages}
    for sex in ('boys', 'girls'):
        for name in _BUILD:
            beta = getattr(source, f'{sex}_conditional_{name}_distribution')
            anchors = (beta.age_anchors, beta.alpha_anchors, beta.beta_anchors)
            tables[sex, name] = [anchor.numpy() for anchor in anchors]
    return tables


def sample_identity(rng: np.random.Generator) -> Identity:
    """Somebody, by anny's distribution of builds given age and sex (calibrated on WHO growth
    data).
    """
    shares = np.array([share for _, _, share in _AGES])
    low, high, _ = _AGES[rng.choice(len(_AGES), p=shares / shares.sum())]
    age = float(rng.uniform(low, high))
    female = bool(rng.random() < 0.5)
    tables = _build_tables()
    mapped = float(np.interp(age, *tables['age']))
    gender = rng.uniform(0.72, 1.0) if female else rng.uniform(0.0, 0.28)
    values = {'age': mapped, 'gender': gender}
    for name in _BUILD:
        anchors, alpha, beta = tables['girls' if female else 'boys', name]
        values[name] = rng.beta(np.interp(mapped, anchors, alpha), np.interp(mapped, anchors, beta))
    if age > 18:
        # The calibration knows means; there are more slender and heavier people than it samples.
        values['weight'] += rng.normal(0, 0.08)
    phenotype = np.clip([values.get(name, 0.5) for name in body_model().phenotypes], 0, 1)
    return Identity(phenotype, age, female)


@lru_cache(maxsize=1)
def _body_zones() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Masks (V,) of arms with hands, of feet, and of everything else."""
    names = np.array(PARTS)[body_model().vertex_part]
    arms = np.char.endswith(names, 'arm') | np.char.endswith(names, 'hand')
    feet = np.char.endswith(names, 'foot')
    return arms, feet, ~arms & ~feet


def pose_bodies(
    identities: list[Identity], poses: list[Pose], outfits: list[Outfit] | None = None
) -> PosedBodies:
    """Posed bodies, put down on the ground; undressed (and without normals) without outfits."""
    body = body_model()
    shapes = body.shapes(np.stack([identity.phenotype for identity in identities]))
    values, skin, heads, rotations = _solve(shapes, poses)
    poses = [replace(pose, values=row) for pose, row in zip(poses, values, strict=True)]
    surface, normals = skin.copy(), np.zeros(skin.shape, dtype=np.float32)
    for i, outfit in enumerate(outfits or ()):
        surface[i], normals[i] = dress(outfit, skin[i], shapes.height[i] / 1.7)
    joints = regress_joints(body, skin, heads)
    # Put the lowest point on the ground, or as far over it as the pose says.
    shift = -joints[:, _PELVIS]
    lowest = surface[:, body.on_surface, 2].min(axis=1)
    shift[:, 2] = values[:, COLUMN['airborne']] - lowest
    shift = shift[:, None]
    return PosedBodies(surface + shift, normals, joints + shift, rotations, shapes.height, poses)


def _solve(shapes, poses: list[Pose]) -> tuple[np.ndarray, ...]:
    """Solve poses, with arms and hips moved where a body would go into the ground.

    Returns:
        the changed values, skin (B, V, 3), bone heads (B, N, 3) and rotations (B, N, 3, 3).
    """
    body, values = body_model(), np.stack([pose.values for pose in poses])
    on_ground = np.array([pose.posture not in ('airborne', 'lying') for pose in poses])
    free = values[:, [COLUMN[f'{side}_leg_fk'] for side in SIDES]] > 0.5
    on_feet = on_ground & ~free.any(axis=1)
    for _ in range(10):
        rotations = PoseSolver(body, shapes, values).solve()
        skin, heads = body.skin(shapes, rotations)
        z = np.where(body.on_surface, skin[..., 2], np.inf)
        arms, feet, rest = (z[:, zone].min(axis=1) for zone in _body_zones())
        # Hands that would go into the ground: bend the arms, and give up what they were to touch.
        reaching = on_ground & (arms < np.minimum(feet, rest) - 0.005)
        for side in SIDES:
            values[reaching, COLUMN[f'{side}_hand_target']] = 0
            values[reaching, COLUMN[f'{side}_elbow']] += 15
            values[reaching, COLUMN[f'{side}_arm_elev']] += 12
        # A bottom that would be lower than the feet, as of small children who crouch: come up.
        deep = on_feet & (rest < feet - 0.005)
        values[deep, COLUMN['hip_height']] += 0.06
        if not (reaching | deep).any():
            break
        values = np.clip(values, LOWER, UPPER)
    return values, skin, heads, rotations
