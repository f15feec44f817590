# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Who is in the picture: ages and builds as people have them, and posed bodies standing on the
ground.

Posed bodies live in their *stand frame*: metres, z up from what they stand on, facing -y, pelvis
over the origin.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from wsp_mm.structures.keypoints import get_joint_set

from .actions import ACTIONS, sample_pose
from .body import PARTS, body_model
from .clothing import Outfit, dress, sample_outfit
from .joints import regress_joints
from .kinematics import PoseSolver
from .poses import LOWER, UPPER, Pose, column

_PELVIS = get_joint_set('world').index('pelvis')

# Everybody who can stand: children from 3 years on.
_BUILD = ('height', 'weight', 'muscle', 'proportions')
_AGES = ((3, 12, 0.12), (12, 18, 0.10), (18, 65, 0.64), (65, 88, 0.14))


@dataclass(frozen=True)
class Identity:
    """Who somebody is, whatever they do. ``phenotype`` (6,) as ``BodyModel.phenotypes``; ``age``
    years.
    """

    phenotype: np.ndarray
    age: float
    female: bool
    outfit: Outfit | None


@dataclass
class PosedBodies:
    """B bodies in their stand frames.

    Attributes:
        surface: (B, V, 3) m vertices with clothes and hair, what is rendered. normals: (B, V, 3) of
            the skin.
        joints: (B, J, 3) m, joint set ``world``.
        rotations: (B, N, 3, 3) of each bone relative to its parent, in the axes of the reference
            pose.
        lowest: (B,) m, height of the lowest vertex (0 unless airborne).
        height: (B,) m, stature. identities, poses: length B.
    """

    surface: np.ndarray
    normals: np.ndarray
    joints: np.ndarray
    rotations: np.ndarray
    lowest: np.ndarray
    height: np.ndarray
    identities: list[Identity]
    poses: list[Pose]

    def __len__(self) -> int:
        return len(self.joints)


@lru_cache(maxsize=1)
def _distribution() -> dict:
    """anny's calibrated distribution as plain tables: age in years to anny's age, and Beta
    parameters by anny's age.
    """
    model = body_model().model
    from anny.shape_distribution import SimpleShapeDistribution

    source = SimpleShapeDistribution(model)
    mapping = source.morphological_age_mapping
    tables: dict = {
        'age': (mapping.morphological_age_anchors.numpy(), mapping.anny_age_anchors.numpy())
    }
    for who in ('boys', 'girls'):
        for name in _BUILD:
            beta = getattr(source, f'{who}_conditional_{name}_distribution')
            tables[who, name] = [
                x.numpy() for x in (beta.age_anchors, beta.alpha_anchors, beta.beta_anchors)
            ]
    return tables


def sample_identity(rng: np.random.Generator, dressed: bool = True) -> Identity:
    """Somebody, by anny's distribution of builds given age and sex (calibrated on WHO growth
    data).
    """
    body = body_model()
    shares = np.array([share for _, _, share in _AGES])
    low, high, _ = _AGES[rng.choice(len(_AGES), p=shares / shares.sum())]
    age = float(rng.uniform(low, high))
    female = bool(rng.random() < 0.5)
    gender = rng.uniform(0.72, 1.0) if female else rng.uniform(0.0, 0.28)
    tables = _distribution()
    mapped = float(np.interp(age, *tables['age']))
    values = {'age': mapped, 'gender': gender}
    for name in _BUILD:
        anchors, alpha, beta = tables['girls' if female else 'boys', name]
        values[name] = rng.beta(np.interp(mapped, anchors, alpha), np.interp(mapped, anchors, beta))
    if age > 18:
        # The calibration knows means, the street knows more slender and heavier people than it
        # draws.
        values['weight'] = np.clip(values['weight'] + rng.normal(0, 0.08), 0, 1)
    phenotype = np.clip([values.get(name, 0.5) for name in body.phenotypes], 0, 1)
    return Identity(
        phenotype, age, female, sample_outfit(rng, body, age, female) if dressed else None
    )


@lru_cache(maxsize=1)
def _body_zones() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Masks (V,) of arms with hands, of feet, and of everything else."""
    names = np.array(PARTS)[body_model().vertex_part]
    arms = np.char.endswith(names, 'arm') | np.char.endswith(names, 'hand')
    feet = np.char.endswith(names, 'foot')
    return arms, feet, ~arms & ~feet


def pose_bodies(identities: list[Identity], poses: list[Pose]) -> PosedBodies:
    """Posed, dressed bodies, put down on the ground.

    Raises:
        ValueError: the lists differ in length or are empty.
    """
    if not identities or len(identities) != len(poses):
        raise ValueError(
            f'need as many poses as identities and at least one, got {len(poses)} and {len(identities)}'
        )
    body = body_model()
    shapes = body.shapes(np.stack([identity.phenotype for identity in identities]))
    values = np.stack([pose.values for pose in poses])
    on_ground = np.array([pose.posture not in ('airborne', 'lying') for pose in poses])
    on_feet = on_ground & (values[:, [column('left_leg_fk'), column('right_leg_fk')]] < 0.5).all(
        axis=1
    )
    for _ in range(10):
        rotations = PoseSolver(body, shapes, values).solve()
        skin, heads = body.skin(shapes, rotations)
        height = np.where(body.on_surface, skin[..., 2], np.inf)
        arms, feet, rest = (height[:, which].min(axis=1) for which in _body_zones())
        # Hands that would go into the ground: bend the arms, and give up what they were to touch.
        reaching = on_ground & (arms < np.minimum(feet, rest) - 0.005)
        for side in ('left', 'right'):
            values[reaching, column(f'{side}_hand_target')] = 0
            values[reaching, column(f'{side}_elbow')] += 15
            values[reaching, column(f'{side}_arm_elev')] += 12
        # A bottom that would be lower than the feet, as of small children who crouch: come up.
        deep = on_feet & (rest < feet - 0.005)
        values[deep, column('hip_height')] += 0.06
        if not (reaching | deep).any():
            break
        values = np.clip(values, LOWER, UPPER)
    poses = [replace(pose, values=row) for pose, row in zip(poses, values, strict=True)]
    surface, normals = skin.copy(), np.zeros(skin.shape, dtype=np.float32)
    for i, identity in enumerate(identities):
        if identity.outfit is not None:
            surface[i], normals[i] = dress(identity.outfit, body, skin[i], shapes.height[i] / 1.7)
    joints = regress_joints(body, skin, heads)
    # Put the lowest point on the ground, or as far over it as the pose says.
    lowest = values[:, column('airborne')]
    shift = np.zeros((len(poses), 1, 3))
    shift[:, 0, 2] = lowest - surface[:, body.on_surface, 2].min(axis=1)
    shift[:, 0, :2] = -joints[:, _PELVIS, :2]
    return PosedBodies(
        surface + shift,
        normals,
        joints + shift,
        rotations,
        lowest,
        shapes.height,
        list(identities),
        list(poses),
    )


def sample_people(
    n: int, seed: int, actions: tuple[str, ...] | None = None, batch: int = 32
) -> dict[str, np.ndarray]:
    """Joints of n undressed people in random poses, without rendering; the bank for worlds of
    annotations only.

    Args:
        n: how many. seed: of everything. actions: to draw from (default: all). batch: bodies posed
            at a time.

    Returns:
        dict of ``joints`` (n, J, 3) mm in the stand frame (z over the ground, facing -y, pelvis
        over the origin), ``height`` (n,) mm, ``lowest`` (n,) mm, ``age`` (n,) years, ``action`` and
        ``posture`` (n,) str, ``radius`` (n,) mm, of the body's extent around the origin on the
        ground.

    Raises:
        ValueError: n is not positive.
    """
    if n < 1:
        raise ValueError(f'n must be positive, got {n}')
    rng = np.random.default_rng(seed)
    names = actions or tuple(ACTIONS)
    out: dict[str, list] = {
        k: [] for k in ('joints', 'height', 'lowest', 'age', 'action', 'posture', 'radius')
    }
    for start in range(0, n, batch):
        count = min(batch, n - start)
        identities = [sample_identity(rng, dressed=False) for _ in range(count)]
        poses = [sample_pose(names[rng.integers(len(names))], rng) for _ in range(count)]
        bodies = pose_bodies(identities, poses)
        out['joints'].append(bodies.joints * 1000)
        out['height'].append(bodies.height * 1000)
        out['lowest'].append(bodies.lowest * 1000)
        out['age'].append([identity.age for identity in identities])
        out['action'].append([pose.action for pose in poses])
        out['posture'].append([pose.posture for pose in poses])
        out['radius'].append(np.linalg.norm(bodies.surface[..., :2], axis=-1).max(axis=1) * 1000)
    return {k: np.concatenate(v) for k, v in out.items()}
