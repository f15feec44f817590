# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""What people wear: garments and hair on the canonical body (arms hanging, 1.65 m), as rows that
the renderer reads.

Garments end at heights of the canonical body, so that a short sleeve is a short sleeve in every
pose.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .body import PART_INDEX, PARTS, BodyModel
from .kinematics import PoseSolver
from .poses import REST, column
from .textures import TEXTURE_COLUMNS, cloth_color, hsv, sample_cloth, sample_plain

# Columns of a person's row; kernels.person_color reads them by number.
COLUMNS = (
    'first_texture', 'shoulder', 'wrist', 'hip', 'ankle', 'sleeve', 'leg', 'hem', 'neckline', 'neck_narrow',
    'shoe',
    'neck_depth', 'sock', 'sleeveless', 'head_y', 'head_z', 'hair', 'hairline', 'hair_end', 'seed', 'beard',
    'sole',
    'sole_tone', 'buttons', 'belt', 'eye_x', 'eye_z',
)  # fmt: skip
SLOTS = ('skin', 'hair', 'top', 'bottom', 'shoes', 'socks')

# Hair: none, short, shorter, long, very long, cap.
_HAIR_STYLES = (0, 1, 2, 3, 4, 5)


@dataclass(frozen=True)
class Canon:
    """The canonical body: ``points`` (V, 3) m, pelvis at the origin; ``axes`` (parts, 3): x, y of
    the limb's axis and the radius that turns an angle about it into metres of cloth; ``marks``:
    heights of landmarks."""

    points: np.ndarray
    axes: np.ndarray
    marks: dict[str, float]


_canon: dict[int, Canon] = {}


def canonical_body(body: BodyModel) -> Canon:
    """The canonical body of a body model, made once."""
    if id(body) not in _canon:
        _canon[id(body)] = _make_canon(body)
    return _canon[id(body)]


def _make_canon(body: BodyModel) -> Canon:
    pose = REST.copy()
    for side in ('left', 'right'):
        for name, value in dict(
            arm_elev=8, arm_azim=10, elbow=2, arm_twist=0, foot_yaw=5, curl=5
        ).items():
            pose[column(f'{side}_{name}')] = value
    pose[column('spine_flex')] = pose[column('neck_flex')] = 0
    shapes = body.shapes(np.array([[0.5, 0.7, 0.5, 0.5, 0.5, 0.5]]))
    points, heads = body.skin(shapes, PoseSolver(body, shapes, pose[None]).solve())
    points, heads = points[0], heads[0]
    at = {name: heads[i] for name, i in body.index.items()}
    axes = np.zeros((len(PARTS), 3))
    axes[:, 2] = 0.13
    bones = {
        'upper_arm': 'upperarm01',
        'forearm': 'lowerarm01',
        'hand': 'wrist',
        'thigh': 'upperleg01',
        'shin': 'lowerleg01',
        'foot': 'foot',
    }
    radius = {
        'upper_arm': 0.05,
        'forearm': 0.045,
        'hand': 0.04,
        'thigh': 0.085,
        'shin': 0.065,
        'foot': 0.06,
    }
    for side, tag in (('left', 'L'), ('right', 'R')):
        for part, bone in bones.items():
            x, y, _ = at[f'{bone}.{tag}']
            axes[PART_INDEX[f'{side}_{part}']] = x, y, radius[part]
    eye = at['eye.L']
    marks = {
        'shoulder': at['upperarm01.L'][2], 'wrist': at['wrist.L'][2], 'hip': at['upperleg01.L'][2],
        'ankle': at['foot.L'][2], 'neck': at['neck01'][2], 'waist': at['spine03'][2],
        'crotch': at['root'][2] - 0.09,
        'eye_x': eye[0], 'eye_y': eye[1], 'eye_z': eye[2], 'sole': points[:, 2].min(),
    }  # fmt: skip
    return Canon(points, axes, {k: float(v) for k, v in marks.items()})


@dataclass(frozen=True)
class Outfit:
    """What one person wears.

    Attributes:
        row: (len(COLUMNS),) as :data:`COLUMNS`; ``first_texture`` is filled in by the renderer.
        textures: (len(SLOTS), TEXTURE_COLUMNS), one row for each of :data:`SLOTS`.
        thickness: (len(SLOTS),) m that each stands off the skin.
    """

    row: np.ndarray
    textures: np.ndarray
    thickness: np.ndarray


def _skin(rng: np.random.Generator) -> tuple[float, float, float]:
    tone = rng.beta(1.3, 1.3)
    light, dark = np.array([0.80, 0.52, 0.40]), np.array([0.13, 0.065, 0.04])
    color = np.exp(np.log(light) * tone + np.log(dark) * (1 - tone)) * np.exp(
        rng.normal(0, 0.05, 3)
    )
    return tuple(float(x) for x in np.clip(color, 0.02, 0.9))


def _hair_color(rng: np.random.Generator, age: float) -> tuple[float, float, float]:
    if rng.random() < np.clip((age - 45) / 35, 0, 0.85):
        return hsv(0.1, 0.04, rng.uniform(0.5, 0.85))
    k = rng.random()
    if k < 0.5:
        return hsv(rng.uniform(0.03, 0.1), rng.uniform(0.2, 0.6), rng.uniform(0.08, 0.25))
    if k < 0.75:
        return hsv(rng.uniform(0.05, 0.09), rng.uniform(0.4, 0.7), rng.uniform(0.25, 0.5))
    if k < 0.92:
        return hsv(rng.uniform(0.09, 0.13), rng.uniform(0.3, 0.6), rng.uniform(0.6, 0.85))
    if k < 0.97:
        return hsv(0.03, 0.75, 0.6)
    return hsv(rng.random(), 0.6, 0.6)


def sample_outfit(rng: np.random.Generator, body: BodyModel, age: float, female: bool) -> Outfit:
    """Clothes, shoes and hair for somebody of that age (years)."""
    canon = canonical_body(body)
    m = canon.marks
    row = dict.fromkeys(COLUMNS, 0.0)
    row |= {name: m[name] for name in ('shoulder', 'wrist', 'hip', 'ankle', 'eye_x', 'eye_z')}
    row |= dict(head_y=m['eye_y'] + 0.075, head_z=m['eye_z'], seed=rng.integers(1, 9999))

    # Top: sleeves, hem, neckline.
    k = rng.random()
    row['sleeve'] = (
        rng.uniform(0.22, 0.42)
        if k < 0.45
        else (rng.uniform(0.9, 1.02) if k < 0.88 else rng.uniform(0.45, 0.85))
    )
    if k > 0.93:
        row['sleeve'], row['sleeveless'] = -1.0, 1.0
    row['hem'] = m['waist'] - rng.uniform(0.02, 0.20)
    row['neckline'] = m['neck'] + rng.uniform(-0.035, 0.045)
    row['neck_narrow'] = rng.uniform(6, 14)
    row['neck_depth'] = rng.uniform(0.2, 0.55) + (rng.random() < 0.25) * rng.uniform(0.2, 0.7)
    row['buttons'] = float(rng.random() < 0.3)
    row['belt'] = float(rng.random() < 0.3)

    # Bottom: trousers, shorts; a dress is a top that reaches down over short or no trousers.
    k = rng.random()
    row['leg'] = (
        rng.uniform(0.93, 1.05)
        if k < 0.66
        else (rng.uniform(0.3, 0.55) if k < 0.92 else rng.uniform(0.55, 0.85))
    )
    dress = female and rng.random() < 0.22
    if dress:
        row['hem'] = m['crotch'] - rng.uniform(0.08, 0.33)
        row['leg'] = rng.uniform(0.9, 1.05) if rng.random() < 0.35 else 0.2

    # Feet.
    boots = rng.random() < 0.15
    row['shoe'] = m['ankle'] + (rng.uniform(0.06, 0.22) if boots else rng.uniform(-0.015, 0.02))
    row['sock'] = m['ankle'] + (rng.uniform(0.03, 0.16) if rng.random() < 0.5 else -0.1)
    row['sole'] = m['sole'] + rng.uniform(0.012, 0.03)
    row['sole_tone'] = float(rng.choice([0.02, 0.05, 0.75, 0.3]))
    if rng.random() < 0.05:  # barefoot
        row['shoe'] = row['sock'] = -9.0
        row['sole'] = -9.0

    # Hair.
    weights = (
        np.array([0.02, 0.15, 0.1, 0.33, 0.34, 0.06])
        if female
        else np.array([0.12, 0.42, 0.28, 0.07, 0.02, 0.09])
    )
    row['hair'] = float(rng.choice(_HAIR_STYLES, p=weights / weights.sum()))
    row['hairline'] = rng.uniform(0.052, 0.075) + (
        0 if female else np.clip((age - 40) / 400, 0, 0.05) * rng.random()
    )
    row['hair_end'] = {3: rng.uniform(-0.2, -0.1), 4: rng.uniform(-0.42, -0.25)}.get(
        int(row['hair']), -0.1
    )
    row['beard'] = float(not female and age > 20 and rng.random() < 0.3)

    skin, hair = _skin(rng), _hair_color(rng, age)
    if row['hair'] == 5:
        hair = cloth_color(rng)
    top, bottom = sample_cloth(rng), sample_cloth(rng)
    if rng.random() < 0.62:  # trousers are plain more often than shirts
        bottom = sample_plain(rng, cloth_color(rng), rng.uniform(0.03, 0.12))
    if bottom.pattern == 'print':
        bottom = sample_plain(rng, bottom.a)
    if rng.random() < 0.06:  # overalls, tracksuits
        bottom = top
    shoes = sample_plain(rng, cloth_color(rng), 0.1)
    socks = sample_plain(
        rng, hsv(rng.random(), rng.uniform(0, 0.4), rng.choice([0.1, 0.5, 0.95])), 0.05
    )
    textures = [
        sample_plain(rng, skin, 0.04),
        sample_plain(rng, hair, 0.35),
        top,
        bottom,
        shoes,
        socks,
    ]
    loose = rng.uniform(0.005, 0.02, 2)
    thick = 0.012 + 0.016 * rng.random()
    thickness = np.array(
        [
            0,
            thick if row['hair'] else 0,
            loose[0],
            loose[1],
            0.006 if row['shoe'] > -1 else 0,
            0.002,
        ]
    )
    encoded = np.stack([texture.encode() for texture in textures])
    assert encoded.shape == (len(SLOTS), TEXTURE_COLUMNS)
    return Outfit(np.array([row[name] for name in COLUMNS], np.float32), encoded, thickness)


def dress(
    outfit: Outfit, body: BodyModel, skin: np.ndarray, scale: float
) -> tuple[np.ndarray, np.ndarray]:
    """Surface (V, 3) and normals (V, 3) of one body with its clothes, shoes and hair.

    Args:
        outfit: what it wears. body: the model. skin: (V, 3) m. scale: stature / 1.7 m.
    """
    normals = body.vertex_normals(skin)
    surface = skin + normals * (thickness_of(outfit, body) * scale)[:, None]
    if outfit.row[COLUMNS.index('shoe')] > -1:
        # A shoe has no toes.
        for vertices, smooth, free in _foot_smoothing(body):
            foot, middle = surface[vertices], surface[vertices].mean(axis=0)
            even = smooth @ foot
            # Smoothing shrinks: the affine map that fits it best to the foot gives the size back.
            grow = np.linalg.lstsq(even - even.mean(axis=0), foot - middle, rcond=None)[0]
            surface[vertices] = (1 - free) * even + free * (
                (even - even.mean(axis=0)) @ grow + middle
            )
            flat = smooth @ normals[vertices]
            normals[vertices] = flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-9)
    return surface, normals


def thickness_of(outfit: Outfit, body: BodyModel) -> np.ndarray:
    """How far (V,) m the clothes and the hair stand off each vertex of the skin."""
    canon = canonical_body(body)
    row = dict(zip(COLUMNS, outfit.row.tolist(), strict=True))
    parts = _vertex_masks(body)
    y, z = canon.points[:, 1], canon.points[:, 2]
    slot = np.zeros(len(z), dtype=int)
    arm_t = (row['shoulder'] - z) / (row['shoulder'] - row['wrist'])
    leg_t = (row['hip'] - z) / (row['hip'] - row['ankle'])
    slot[parts['arm'] & (arm_t < row['sleeve'])] = 2
    lower = parts['lower']
    slot[lower & (leg_t < row['leg'])] = 3
    slot[(lower | parts['trunk']) & (z > row['hem'])] = 2
    slot[parts['trunk'] & (z <= row['hem'])] = 3
    slot[parts['trunk'] & (z > row['neckline'] - 0.02)] = 0
    slot[parts['lower_leg'] & (z < row['shoe'])] = 4
    up = z - row['head_z']
    back = y - row['head_y']
    amount = outfit.thickness[slot]
    if row['hair']:
        over = up - row['hairline'] + 0.95 * np.maximum(back + 0.015, 0)
        hair = parts['head'] & (over > 0) & ~((up < 0) & (back < 0.02))
        # Thin at the hairline, so that it has no edge.
        amount = np.where(hair, outfit.thickness[1] * np.clip(over * 25 + 0.3, 0, 1), amount)
    return amount


_masks: dict[int, dict[str, np.ndarray]] = {}
_feet: dict[int, list[tuple[np.ndarray, np.ndarray, np.ndarray]]] = {}


def _vertex_masks(body: BodyModel) -> dict[str, np.ndarray]:
    if id(body) not in _masks:
        names = np.array(PARTS)[body.vertex_part]
        shin = np.char.endswith(names, 'shin')
        _masks[id(body)] = {
            'arm': np.char.endswith(names, 'arm'),
            'trunk': np.isin(names, ['torso', 'neck']),
            'lower': (names == 'pelvis') | np.char.endswith(names, 'thigh') | shin,
            'lower_leg': shin | np.char.endswith(names, 'foot'),
            'head': names == 'head',
        }
    return _masks[id(body)]


def _foot_smoothing(
    body: BodyModel, steps: int = 14
) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """For each foot its vertices (n,), the matrix (n, n) that evens them out, and how free (n, 1)
    each is to move: 0 at the ankle's rim, 1 from the fifth ring on.
    """
    if id(body) not in _feet:
        _feet[id(body)] = []
        for part in ('left_foot', 'right_foot'):
            vertices = np.flatnonzero((body.vertex_part == PART_INDEX[part]) & body.on_surface)
            local = np.full(body.num_vertices, -1)
            local[vertices] = np.arange(len(vertices))
            links = np.zeros((len(vertices), len(vertices)))
            rim = np.zeros(len(vertices), dtype=bool)
            for k in range(3):
                a, b = local[body.faces[:, k]], local[body.faces[:, (k + 1) % 3]]
                inside = (a >= 0) & (b >= 0)
                links[a[inside], b[inside]] = links[b[inside], a[inside]] = 1
                rim[a[(a >= 0) & (b < 0)]] = True
                rim[b[(b >= 0) & (a < 0)]] = True
            step = 0.5 * np.eye(len(vertices)) + 0.5 * links / np.maximum(
                links.sum(axis=1, keepdims=True), 1
            )
            step[rim] = np.eye(len(vertices))[rim]
            # How far from the rim each vertex is, in edges: the rim must not move, all else may.
            free = np.where(rim, 0.0, 5.0)
            for _ in range(5):
                free = np.minimum(free, np.where(links > 0, free[None], 5.0).min(axis=1) + 1)
            _feet[id(body)].append(
                (vertices, np.linalg.matrix_power(step, steps), free[:, None] / 5)
            )
    return _feet[id(body)]
