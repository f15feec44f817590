# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""What people wear: garments and hair.

Garments end at heights of the *template body* (arms hanging, 1.65 m), so that a short sleeve is a
short sleeve in every pose. V vertices of the body model.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from .body import PART_INDEX, PARTS, body_model
from .kinematics import PoseSolver
from .motion import COLUMN, REST, SIDES
from .textures import Color, Texture, cloth_color, hsv, sample_cloth, sample_hsv, sample_plain

#: What a body is covered with; the order is that of surface_kernels.garment.
SLOTS = ('skin', 'hair', 'top', 'bottom', 'shoes', 'socks')
# Shares of none, short, shorter, long, very long hair, and a cap.
_HAIR_STYLES = {
    True: (0.02, 0.15, 0.1, 0.33, 0.34, 0.06), False: (0.12, 0.42, 0.28, 0.07, 0.02, 0.09),
}  # fmt: skip
# Part -> bone that it turns about, and the radius that turns an angle about it into metres of
# cloth.
_LIMBS = {
    'upper_arm': ('upperarm01', 0.05), 'forearm': ('lowerarm01', 0.045), 'hand': ('wrist', 0.04),
    'thigh': ('upperleg01', 0.085), 'shin': ('lowerleg01', 0.065), 'foot': ('foot', 0.06),
}  # fmt: skip


@dataclass(frozen=True)
class TemplateBody:
    """The template body, pelvis at the origin.

    Attributes:
        points: (V, 3) m. axes: (parts, 3) m: x, y of the limb's axis, and its radius.
        marks: heights of landmarks, and where the left eye is, m.
    """

    points: np.ndarray
    axes: np.ndarray
    marks: dict[str, float]


@lru_cache(maxsize=1)
def template_body() -> TemplateBody:
    """The template body of :func:`body_model`."""
    body, pose = body_model(), REST.copy()
    arm = dict(arm_elev=8, arm_azim=10, elbow=2, arm_twist=0, foot_yaw=5, curl=5)
    for side in SIDES:
        for name, value in arm.items():
            pose[COLUMN[f'{side}_{name}']] = value
    pose[[COLUMN['spine_flex'], COLUMN['neck_flex']]] = 0
    shapes = body.shapes(np.array([[0.5, 0.7, 0.5, 0.5, 0.5, 0.5]]))
    (points,), (heads,) = body.skin(shapes, PoseSolver(body, shapes, pose[None]).solve())
    at = {name: heads[i] for name, i in body.index.items()}
    axes = np.tile([0, 0, 0.13], (len(PARTS), 1))
    for side, tag in zip(SIDES, 'LR', strict=True):
        for part, (bone, radius) in _LIMBS.items():
            axes[PART_INDEX[f'{side}_{part}']] = *at[f'{bone}.{tag}'][:2], radius
    eye = at['eye.L']
    bones = {
        'shoulder': 'upperarm01.L', 'wrist': 'wrist.L', 'hip': 'upperleg01.L', 'ankle': 'foot.L',
        'neck': 'neck01', 'waist': 'spine03', 'crotch': 'root',
    }  # fmt: skip
    marks = {name: float(at[bone][2]) for name, bone in bones.items()}
    marks |= dict(eye_x=eye[0], eye_z=eye[2], head_y=eye[1] + 0.075, sole=points[:, 2].min())
    marks['crotch'] -= 0.09
    return TemplateBody(points, axes, marks)


@dataclass(frozen=True, eq=False)
class Outfit:
    """What one person wears.

    Attributes:
        fields: of ``surface_kernels.OutfitRow`` but ``first_texture``: heights on the template
            body; sleeves and legs as shares of the limb; flags 0 or 1; style of the hair.
        textures: one for each of :data:`SLOTS`.
        thickness: (len(SLOTS),) m that each stands off the skin.
    """

    fields: dict[str, float]
    textures: tuple[Texture, ...]
    thickness: np.ndarray


def _skin_color(rng: np.random.Generator) -> Color:
    tone = rng.beta(1.3, 1.3)
    light, dark = np.log([0.80, 0.52, 0.40]), np.log([0.13, 0.065, 0.04])
    color = np.exp(light * tone + dark * (1 - tone) + rng.normal(0, 0.05, 3))
    return tuple(np.clip(color, 0.02, 0.9).tolist())


def _hair_color(rng: np.random.Generator, age: float) -> Color:
    if rng.random() < np.clip((age - 45) / 35, 0, 0.85):
        return hsv(0.1, 0.04, rng.uniform(0.5, 0.85))
    k = rng.random()
    if k < 0.5:
        return sample_hsv(rng, (0.2, 0.6), (0.08, 0.25), (0.03, 0.1))
    if k < 0.75:
        return sample_hsv(rng, (0.4, 0.7), (0.25, 0.5), (0.05, 0.09))
    if k < 0.92:
        return sample_hsv(rng, (0.3, 0.6), (0.6, 0.85), (0.09, 0.13))
    return hsv(0.03 if k < 0.97 else rng.random(), 0.7, 0.6)


def _sample_length(rng: np.random.Generator, *ranges: tuple[float, float, float]) -> float:
    """A number from one of some ranges (share, low, high)."""
    shares = np.array([share for share, _, _ in ranges])
    _, low, high = ranges[rng.choice(len(ranges), p=shares / shares.sum())]
    return rng.uniform(low, high)


def _sample_fields(rng: np.random.Generator, age: float, female: bool) -> dict[str, float]:
    """Shapes of clothes and hair, see :class:`Outfit`."""
    m = template_body().marks
    sleeves = ((0.45, 0.22, 0.42), (0.43, 0.9, 1.02), (0.05, 0.45, 0.85), (0.07, -1, -1))
    o = dict(
        seed=rng.integers(1, 9999), sleeve=_sample_length(rng, *sleeves),
        neckline=m['neck'] + rng.uniform(-0.035, 0.045), neck_narrow=rng.uniform(6, 14),
        neck_depth=rng.uniform(0.2, 0.55) + (rng.random() < 0.25) * rng.uniform(0.2, 0.7),
        hem=m['waist'] - rng.uniform(0.02, 0.20), buttons=rng.random() < 0.3,
        belt=rng.random() < 0.3,
        leg=_sample_length(rng, (0.66, 0.93, 1.05), (0.26, 0.3, 0.55), (0.08, 0.55, 0.85)),
        shoe=m['ankle'] + _sample_length(rng, (0.85, -0.015, 0.02), (0.15, 0.06, 0.22)),
        sock=m['ankle'] + _sample_length(rng, (0.5, 0.03, 0.16), (0.5, -0.1, -0.1)),
        sole=m['sole'] + rng.uniform(0.012, 0.03), sole_tone=rng.choice([0.02, 0.05, 0.75, 0.3]),
        hair=rng.choice(6, p=_HAIR_STYLES[female]), hairline=rng.uniform(0.052, 0.075),
        beard=not female and age > 20 and rng.random() < 0.3,
    )  # fmt: skip
    o['sleeveless'] = o['sleeve'] < 0
    if female and rng.random() < 0.22:  # a dress is a top that reaches down over the trousers
        o['hem'] = m['crotch'] - rng.uniform(0.08, 0.33)
        o['leg'] = _sample_length(rng, (0.35, 0.9, 1.05), (0.65, 0.2, 0.2))
    if rng.random() < 0.05:  # barefoot
        o['shoe'] = o['sock'] = o['sole'] = -9.0
    if not female:
        o['hairline'] += np.clip((age - 40) / 400, 0, 0.05) * rng.random()
    ends = {3: (-0.2, -0.1), 4: (-0.42, -0.25)}.get(int(o['hair']), (-0.1, -0.1))
    o['hair_end'] = rng.uniform(*ends)
    return {name: float(value) for name, value in o.items()}


def sample_outfit(rng: np.random.Generator, age: float, female: bool) -> Outfit:
    """Clothes, shoes and hair for somebody of that age (years)."""
    fields = _sample_fields(rng, age, female)
    hair = cloth_color(rng) if fields['hair'] == 5 else _hair_color(rng, age)
    top, bottom = sample_cloth(rng), sample_cloth(rng)
    if rng.random() < 0.62:  # trousers are plain more often than shirts
        bottom = sample_plain(rng, cloth_color(rng), rng.uniform(0.03, 0.12))
    if bottom.pattern == 'print':
        bottom = sample_plain(rng, bottom.a)
    if rng.random() < 0.06:  # overalls, tracksuits
        bottom = top
    socks = hsv(rng.random(), rng.uniform(0, 0.4), rng.choice([0.1, 0.5, 0.95]))
    textures = (
        sample_plain(rng, _skin_color(rng), 0.04), sample_plain(rng, hair, 0.35), top, bottom,
        sample_plain(rng, cloth_color(rng), 0.1), sample_plain(rng, socks, 0.05),
    )  # fmt: skip
    thickness = np.array([0, rng.uniform(0.012, 0.028), *rng.uniform(0.005, 0.02, 2), 0.006, 0.002])
    return Outfit(fields, textures, thickness)


def dress(outfit: Outfit, skin: np.ndarray, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Surface (V, 3) and normals (V, 3) of one body with its clothes, shoes and hair.

    Args:
        outfit: what it wears. skin: (V, 3) m. scale: stature / 1.7 m.
    """
    normals = body_model().vertex_normals(skin)
    surface = skin + normals * (thickness_of(outfit) * scale)[:, None]
    if outfit.fields['shoe'] > -1:
        # A shoe has no toes.
        for vertices, smooth, free in _foot_smoothing():
            foot = surface[vertices]
            even = smooth @ foot
            # Smoothing shrinks: the affine map that fits it best to the foot gives the size back.
            middle, spread = foot.mean(axis=0), even - even.mean(axis=0)
            grow = np.linalg.lstsq(spread, foot - middle, rcond=None)[0]
            surface[vertices] = (1 - free) * even + free * (spread @ grow + middle)
            flat = smooth @ normals[vertices]
            normals[vertices] = flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-9)
    return surface, normals


def thickness_of(outfit: Outfit) -> np.ndarray:
    """How far (V,) m the clothes and the hair stand off each vertex of the skin."""
    template, parts, o = template_body(), _vertex_masks(), outfit.fields
    m, (_, y, z) = template.marks, template.points.T
    arm_t = (m['shoulder'] - z) / (m['shoulder'] - m['wrist'])
    leg_t = (m['hip'] - z) / (m['hip'] - m['ankle'])
    trunk, lower = parts['trunk'], parts['lower']
    slot = np.zeros(len(z), dtype=int)
    slot[parts['arm'] & (arm_t < o['sleeve'])] = SLOTS.index('top')
    slot[lower & (leg_t < o['leg'])] = SLOTS.index('bottom')
    slot[(lower | trunk) & (z > o['hem'])] = SLOTS.index('top')
    slot[trunk & (z <= o['hem'])] = SLOTS.index('bottom')
    slot[trunk & (z > o['neckline'] - 0.02)] = SLOTS.index('skin')
    slot[parts['lower_leg'] & (z < o['shoe'])] = SLOTS.index('shoes')
    amount = outfit.thickness[slot]
    if o['hair']:
        up, back = z - m['eye_z'], y - m['head_y']
        over = up - o['hairline'] + 0.95 * np.maximum(back + 0.015, 0)
        hair = parts['head'] & (over > 0) & ~((up < 0) & (back < 0.02))
        # Thin at the hairline, so that it has no edge.
        amount = np.where(hair, outfit.thickness[1] * np.clip(over * 25 + 0.3, 0, 1), amount)
    return amount


@lru_cache(maxsize=1)
def _vertex_masks() -> dict[str, np.ndarray]:
    names = np.array(PARTS)[body_model().vertex_part]
    shin, foot, thigh, arm = (np.char.endswith(names, p) for p in ('shin', 'foot', 'thigh', 'arm'))
    return {
        'arm': arm, 'trunk': np.isin(names, ['torso', 'neck']), 'head': names == 'head',
        'lower': (names == 'pelvis') | thigh | shin, 'lower_leg': shin | foot,
    }  # fmt: skip


@lru_cache(maxsize=1)
def _foot_smoothing(steps: int = 14) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """For each foot its vertices (n,), the matrix (n, n) that evens them out, and how free (n, 1)
    each is to move: 0 at the ankle's rim, 1 from the fifth ring on.
    """
    body, feet = body_model(), []
    for side in SIDES:
        inside = (body.vertex_part == PART_INDEX[f'{side}_foot']) & body.on_surface
        edges = body.faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2)
        edges = np.concatenate([edges, edges[:, ::-1]])
        vertices = np.flatnonzero(inside)
        own = inside[edges]
        rim = np.isin(vertices, edges[own[:, 0] & ~own[:, 1], 0])
        links = np.zeros((len(vertices), len(vertices)))
        links[tuple(np.searchsorted(vertices, edges[own.all(axis=1)]).T)] = 1
        identity, count = np.eye(len(vertices)), np.maximum(links.sum(axis=1, keepdims=True), 1)
        step = np.where(rim[:, None], identity, 0.5 * identity + 0.5 * links / count)
        # How far from the rim each vertex is, in edges: the rim must not move, all else may.
        free = np.where(rim, 0.0, 5.0)
        for _ in range(5):
            free = np.minimum(free, np.where(links > 0, free, 5.0).min(axis=1) + 1)
        feet.append((vertices, np.linalg.matrix_power(step, steps), free[:, None] / 5))
    return feet
