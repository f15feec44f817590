# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""What stands about in a scene: boxes like furniture, posts, walls and hedges (metres)."""

import numpy as np

from wsp_mm.structures.camera import PinholeCamera

from .placement import hull_gap, plan_hull
from .plan import SceneRequest, rng_of
from .render import Box, window_of
from .textures import sample_cloth, sample_wall

# Low and high sizes (x, y, z), and how often: chest or sofa, table or cart, post or trunk, low wall
# or hedge, cupboard or door, bag or crate.
_KINDS = (
    ((0.6, 0.5, 0.4), (2.2, 1.0, 1.0), 0.25),
    ((0.5, 0.5, 0.6), (1.6, 1.0, 0.9), 0.2),
    ((0.08, 0.08, 1.0), (0.4, 0.4, 4.0), 0.2),
    ((1.0, 0.15, 0.4), (4.0, 0.6, 1.3), 0.12),
    ((0.5, 0.3, 1.2), (1.6, 0.8, 2.4), 0.13),
    ((0.2, 0.15, 0.15), (0.6, 0.5, 0.5), 0.1),
)
#: Most of the image that one box may cover.
_MOST = 0.25


def sample_clutter(
    most: int, camera: PinholeCamera, request: SceneRequest, taken: list[np.ndarray], depth: float
) -> list[Box]:
    """Up to ``most`` boxes that touch nobody and leave most of the image free.

    Args:
        camera: mm. taken: hulls (n, 2) m, seen from above, of what is there already. depth: m along
            y up to which people stand.
    """
    rng, taken, boxes = rng_of(request, 'clutter', *request.clip), list(taken), []
    area, shares = request.width * request.height, np.array([share for *_, share in _KINDS])
    for _ in range(rng.integers(most + 1)):
        low, high, _ = _KINDS[rng.choice(len(_KINDS), p=shares / shares.sum())]
        size = rng.uniform(low, high)
        y = rng.uniform(1.2, depth + 2)
        x = rng.uniform(-0.6, 0.6) * request.width / camera.f[0] * y
        texture = sample_cloth(rng) if rng.random() < 0.3 else sample_wall(rng)
        box = Box(np.array([x, y]), size, rng.uniform(-np.pi, np.pi), texture)
        corners = box.corners()
        hull = plan_hull(corners)
        x0, y0, x1, y1 = np.clip(window_of(camera, corners), 0, [request.width, request.height] * 2)
        if (x1 - x0) * (y1 - y0) > _MOST * area or hull[:, 1].min() < 1.0:
            continue
        if all(hull_gap(hull, other) > 0.02 for other in taken):
            boxes.append(box)
            taken.append(hull)
    return boxes
