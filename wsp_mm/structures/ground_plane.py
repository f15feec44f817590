# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Order of persons in depth from perspective: the plane that the feet of an image stand on, and how
large the persons appear.

The perspective rule (:mod:`wsp_mm.structures.relative_depth`) compares one ankle of each person.
Here all persons of an image share a ground plane. The apparent size of a person, the height in px
that it would have upright, is linear in the height of its foot over the horizon,

    s_i = H_i / h_cam * (y_i - horizon(x_i)),    horizon(x) = y0 + tan(roll) * (x - cx),

with the body height H_i and the height h_cam of the camera over the ankles. Nothing of this is
known, but much is likely: bodies are about 1.7 m tall, the horizon is near the middle of the image,
cameras are held level, at the height of a person. Horizon, roll and camera height are marginalised
over a grid. Given them, a person's depth follows from its foot and from its size; the two are
combined by their variances. Feet may be off the plane (a jump, a step, a hidden ankle) and bodies
small (children): both are mixtures, so that one such person does not move the plane of the others.

N persons of one image, K joints. Image y points down. Depths are natural logarithms of depth along
the optical axis, up to an additive constant of the image (its focal length).
"""

from typing import NamedTuple

import numpy as np

from wsp_mm.structures.keypoints import get_joint_set
from wsp_mm.structures.relative_depth import MIN_LENGTH_PX

#: Segments of the body whose lengths survive posture: both ends (concepts), and length / body
#: height, medians of the embedded world's bodies.
SEGMENTS = (
    *((f'{side}_knee', f'{side}_ankle', 0.231) for side in ('left', 'right')),
    *((f'{side}_hip', f'{side}_knee', 0.225) for side in ('left', 'right')),
    *((f'{side}_shoulder', f'{side}_elbow', 0.155) for side in ('left', 'right')),
    *((f'{side}_elbow', f'{side}_wrist', 0.138) for side in ('left', 'right')),
    ('pelvis', 'thorax', 0.288),
    ('upper_neck', 'head_top', 0.132),
    ('left_shoulder', 'right_shoulder', 0.191),
)

# The constants below were chosen on the training split of an embedded world (wild, 1000 images of
# 320 px, seed 1): shares and standard deviations as measured there, then changed one by one at
# random, for four minutes, wherever the likelihood of the true order of the pelvises grew, and
# rounded. HORIZON and FOOT_DEPTH_STD were widened afterwards for 700 training images of the photo
# world, whose cameras and distances vary more. `tools/analysis_tools/label_quality.py` measures
# the result.

#: Upper quantile of the sizes that the segments give, and the logarithm by which it is too large.
SIZE_QUANTILE, SIZE_BIAS = 0.9, 0.008
#: Standard deviation of the logarithm of a size from one segment; it falls with the root of their
#: number.
SIZE_STD = 0.15
#: Body heights: share, mean and standard deviation of log(H / 1.7 m): adults, children.
BODIES = ((0.8, -0.03, 0.055), (0.2, -0.22, 0.15))
#: Height of the lower labelled ankle over where it would be below the pelvis, in body heights:
#: share where the leg is straight, share where it is not, mean, standard deviation.
FEET = ((0.93, 0.39, 0.0, 0.016), (0.05, 0.47, -0.01, 0.035), (0.02, 0.14, 0.15, 0.1))
#: A leg is straight where the lower ankle is so far below the pelvis, in apparent sizes.
STRAIGHT_LEG = 0.39
#: Distance in depth between ankle and pelvis, relative to the depth, per apparent size / longer
#: side of the image.
FOOT_DEPTH_STD = 0.065
#: Horizon minus middle of the image, in image heights, and tangent of the roll: mean and standard
#: deviation; logarithm of the camera's height / 1.7 m.
HORIZON = (-0.15, 0.3)
ROLL = (0.0, 0.052)
CAMERA = (-0.15, 0.4)

# Points of the grid along horizon, roll and camera height. It is laid once over the priors, and
# once more over the part that has any weight.
_GRID = (19, 5, 11)
_REACH = (3.0, 2.5, 2.5)
#: Parameters of less weight than this share of the best are left out.
_NEGLIGIBLE = 3e-3
# A foot on the horizon or above it is at no finite depth: the least height over the horizon, in
# apparent sizes.
_LEAST_HEIGHT = 0.05


class PlaneOrder(NamedTuple):
    """Depths of the persons of one image.

    Attributes:
        log_depth: (N,) natural logarithm of the pelvis' depth, up to a constant of the image;
            larger is farther. nan where neither size nor foot is known.
        log_depth_std: (N,) its standard deviation; inf where it is not known.
        nearer: (N, N) P(row is nearer than column); 0.5 on the diagonal and where one of the two is
            not known. ``nearer + nearer.T`` is 1.
    """

    log_depth: np.ndarray
    log_depth_std: np.ndarray
    nearer: np.ndarray


def segment_lengths(
    keypoints: np.ndarray, visible: np.ndarray, joint_set: str = 'mcpc16'
) -> np.ndarray:
    """Return the lengths (N, S) px of :data:`SEGMENTS` in the image, nan where not labelled.

    Args:
        keypoints: (N, K, 2) px. visible: (N, K), positive where labelled. joint_set: their order.
    """
    keypoints, visible = np.asarray(keypoints, dtype=np.float64), np.asarray(visible) > 0
    joints = get_joint_set(joint_set)
    a, b = np.array([[joints.index(end) for end in segment[:2]] for segment in SEGMENTS]).T
    length = np.linalg.norm(keypoints[:, a] - keypoints[:, b], axis=-1)
    return np.where(visible[:, a] & visible[:, b], length, np.nan)


def apparent_size(
    keypoints: np.ndarray, visible: np.ndarray, joint_set: str = 'mcpc16'
) -> tuple[np.ndarray, np.ndarray]:
    """Estimate the height in px that persons would have upright at their depth.

    Each segment's length over its share of the body height is such a height, and too small where
    the segment points towards the camera: an upper quantile of them is taken.

    Args:
        keypoints, visible, joint_set: see :func:`segment_lengths`.

    Returns:
        (N,) px, nan where nothing can be measured, and (N,) standard deviation of its logarithm.
    """
    length = segment_lengths(keypoints, visible, joint_set)
    size = np.where(length >= MIN_LENGTH_PX, length, np.nan) / [share for *_, share in SEGMENTS]
    count = np.isfinite(size).sum(axis=1)
    upper = np.full(len(size), np.nan)
    if count.any():
        upper[count > 0] = np.nanquantile(size[count > 0], SIZE_QUANTILE, axis=1)
    return upper * np.exp(-SIZE_BIAS), SIZE_STD / np.sqrt(np.maximum(count, 1))


def segment_depths(
    keypoints: np.ndarray, visible: np.ndarray, size: np.ndarray, joint_set: str = 'mcpc16'
) -> np.ndarray:
    """How far apart in depth the ends of the segments are: what foreshortening says, sign unknown.

    Args:
        keypoints, visible, joint_set: see :func:`segment_lengths`. size: (N,) px, of
            :func:`apparent_size`.

    Returns:
        (N, S) body heights, for :data:`SEGMENTS`; 0 where a segment is not shortened, nan where it
        is not labelled.
    """
    share = np.array([share for *_, share in SEGMENTS])
    shown = segment_lengths(keypoints, visible, joint_set) / np.asarray(size)[:, None]
    return np.sqrt(np.maximum(share**2 - shown**2, 0))


def plane_order(
    keypoints: np.ndarray,
    visible: np.ndarray,
    width: float | None = None,
    height: float | None = None,
    joint_set: str = 'mcpc16',
    evidence: str = 'both',
) -> PlaneOrder:
    """Order the persons of one image by depth.

    Args:
        keypoints: (N, K, 2) px. visible: (N, K), positive where labelled.
        width, height: of the image, px. Where they are not known, the extent of the joints takes
            their place, and the prior of the horizon is twice as wide.
        joint_set: name of the joints' set, with every joint of :data:`SEGMENTS`.
        evidence: of a person's depth: ``'both'``; ``'ground'``, the foot alone on a plane that is
            fitted to the sizes; ``'size'`` alone, without a plane.

    Raises:
        ValueError: unknown ``evidence``.
    """
    from scipy.special import ndtr  # only where there is something to order: scipy loads slowly

    if evidence not in ('both', 'ground', 'size'):
        raise ValueError(f"evidence must be 'both', 'ground' or 'size', got {evidence!r}")
    keypoints, visible = np.asarray(keypoints, dtype=np.float64), np.asarray(visible) > 0
    count = len(keypoints)
    if not visible.any():
        nothing = np.full(count, np.nan), np.full(count, np.inf), np.full((count, count), 0.5)
        return PlaneOrder(*nothing)
    persons = _Persons(keypoints, visible, width, height, joint_set, evidence == 'size')
    axes = [
        np.linspace(mean - reach * std, mean + reach * std, points)
        for (mean, std), reach, points in zip(persons.priors, _REACH, _GRID, strict=True)
    ]
    weight, _ = persons.weigh(axes)
    weight, responsibility = persons.weigh(_zoom(axes, weight.reshape(_GRID)))
    mean, variance = persons.depths(weight, responsibility, evidence)
    weight = weight[weight > 0]
    a, b = np.triu_indices(count, 1)
    std = np.sqrt(variance[:, a] + variance[:, b])
    nearer = np.full((count, count), 0.5)
    nearer[a, b] = np.minimum(weight @ ndtr((mean[:, b] - mean[:, a]) / std), 1)
    known = persons.has_size | persons.has_foot if evidence == 'both' else (
        persons.has_foot if evidence == 'ground' else persons.has_size
    )  # fmt: skip
    nearer[~(known[:, None] & known)] = 0.5
    nearer[b, a] = 1 - nearer[a, b]
    # What moves all persons alike is the image's constant, and no uncertainty of its persons.
    relative = mean - mean[:, known].mean(axis=1, keepdims=True) if known.any() else mean
    spread = weight @ np.square(relative - weight @ relative)
    log_depth = np.where(known, weight @ mean, np.nan)
    return PlaneOrder(
        log_depth, np.where(known, np.sqrt(weight @ variance + spread), np.inf), nearer
    )


def _zoom(axes: list[np.ndarray], weight: np.ndarray) -> list[np.ndarray]:
    """Lay the same number of points over that part of each axis where there is weight."""
    finer = []
    for k, axis in enumerate(axes):
        along = weight.sum(axis=tuple(i for i in range(weight.ndim) if i != k))
        there = np.flatnonzero(along > 1e-3 * along.max())
        low, high = max(there[0] - 1, 0), min(there[-1] + 1, len(axis) - 1)
        finer.append(np.linspace(axis[low], axis[high], len(axis)))
    return finer


class _Persons:
    """Evidence of one image's persons. T parameters, C combinations of body and foot."""

    def __init__(
        self, keypoints: np.ndarray, visible: np.ndarray, width: float | None,
        height: float | None, joint_set: str, without_feet: bool,
    ) -> None:  # fmt: skip
        joints = get_joint_set(joint_set)
        labelled = keypoints[visible]
        low, high = labelled.min(axis=0), labelled.max(axis=0)
        known = width is not None and height is not None
        extent = (
            np.array([width, height]) if known else np.maximum(high - low, (high - low).max() / 2)
        )
        center = (extent - 1) / 2 if known else (low + high) / 2
        size, self.size_std = apparent_size(keypoints, visible, joint_set)
        self.has_size = np.isfinite(size)
        usual = np.median(size[self.has_size]) if self.has_size.any() else extent.max() / 4
        self.size = np.where(self.has_size, size, usual)

        ankles = list(joints.ankles)
        y = np.where(visible[:, ankles], keypoints[:, ankles, 1], -np.inf)
        lower = np.array(ankles)[y.argmax(axis=1)]
        self.has_foot = np.isfinite(y).any(axis=1) & (not without_feet)
        foot = keypoints[np.arange(len(keypoints)), lower]
        self.x, self.y = (np.where(self.has_foot[:, None], foot, center) - center).T
        pelvis = joints.index('pelvis')
        with np.errstate(invalid='ignore'):
            leg = (foot[:, 1] - keypoints[:, pelvis, 1]) / self.size
            straight = visible[:, pelvis] & (leg >= STRAIGHT_LEG)
        self.foot_depth_var = np.square(FOOT_DEPTH_STD * self.size / extent.max())

        horizon = np.array(HORIZON) * extent[1] * (1, 1 if known else 2)
        self.priors = (horizon, ROLL, CAMERA)
        # (N, C) log share; (C,) body: mean; (N, C) variance of body and size; (C,) foot: mean, var
        feet = np.array(FEET)
        share = np.where(straight[:, None], feet[:, 0], feet[:, 1])
        body = np.array(BODIES)
        self.log_share = np.log(share[:, :, None] * body[:, 0]).reshape(len(size), -1)
        self.body, body_std = np.tile(body[:, 1:].T, len(feet))
        self.lift, lift_std = np.repeat(feet[:, 2:].T, len(body), axis=1)
        self.lift_var = np.square(lift_std)
        self.size_var = np.square(body_std) + np.square(self.size_std)[:, None]

    def weigh(self, axes: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Return the weight (T,) of all parameters, 0 where it is negligible, and for the others
        the responsibility (T', N, C) of each combination for each person.
        """
        grid = np.stack(np.meshgrid(*axes, indexing='ij'), axis=-1).reshape(-1, 3)
        self.horizon, self.roll, camera = grid.T
        self.camera = np.exp(camera)
        log_weight = -0.5 * sum(
            np.square((values - mean) / std)
            for values, (mean, std) in zip(grid.T, self.priors, strict=True)
        )
        height = self.height_over_horizon(slice(None))
        # h_cam / H_i, and what the size says that it is
        ratio = self.camera[:, None, None] * np.exp(-self.body)
        measured = (height / self.size)[:, :, None]
        variance = self.lift_var + ratio**2 * (self.size_var + self.foot_depth_var[:, None])
        log_likelihood = -0.5 * (
            np.square(measured - ratio + self.lift) / variance + np.log(variance)
        )
        both = (self.has_size & self.has_foot)[:, None]
        log_likelihood = self.log_share + np.where(both, log_likelihood, 0)
        largest = log_likelihood.max(axis=-1, keepdims=True)
        evidence = np.log(np.exp(log_likelihood - largest).sum(axis=-1, keepdims=True)) + largest
        # A person without a size says only that its foot is below the horizon.
        below = np.where(self.has_foot & ~self.has_size & (height <= 0), -10.0, 0.0)
        log_weight += (evidence[..., 0] + below).sum(axis=1)
        weight = np.exp(log_weight - log_weight.max())
        weight = np.where(weight > _NEGLIGIBLE, weight, 0)
        kept = weight > 0
        return weight / weight.sum(), np.exp(log_likelihood[kept] - evidence[kept])

    def height_over_horizon(self, chosen: slice | np.ndarray) -> np.ndarray:
        """(T, N) px, of the feet."""
        return self.y - self.horizon[chosen, None] - self.roll[chosen, None] * self.x

    def depths(
        self, weight: np.ndarray, responsibility: np.ndarray, evidence: str
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and variance (T', N) of the logarithm of depth, for the parameters that have
        weight.
        """
        kept = weight > 0
        camera = self.camera[kept, None, None]
        height = np.maximum(self.height_over_horizon(kept), _LEAST_HEIGHT * self.size)
        # of the camera over the foot, in units of 1.7 m
        over_foot = np.maximum(camera - self.lift * np.exp(self.body), _LEAST_HEIGHT * camera)
        from_ground = np.log(over_foot) - np.log(height)[:, :, None]
        ground_var = self.lift_var * np.square(np.exp(self.body) / over_foot)
        ground_var = ground_var + self.foot_depth_var[:, None]
        from_size = self.body - np.log(self.size)[:, None]
        ground = np.where(self.has_foot[:, None], 1 / ground_var, 0) * (evidence != 'size')
        size = np.where(self.has_size[:, None], 1 / self.size_var, 0) * (evidence != 'ground')
        precision = np.maximum(ground + size, 1e-6)
        mean = (ground * from_ground + size * from_size) / precision
        overall = (responsibility * mean).sum(axis=-1)
        square = (responsibility * (1 / precision + np.square(mean))).sum(axis=-1)
        return overall, square - np.square(overall)
