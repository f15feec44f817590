# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Transforms of one person with 3D joints: choose the crop as PoseNet does, augment, pack.

K joints.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from mmcv.transforms.utils import cache_randomness
from mmpose.datasets.transforms import RandomBBoxTransform
from mmpose.registry import TRANSFORMS

from wsp_mm.datasets.transforms.base import PackInstance, Transform, to_image_frame
from wsp_mm.datasets.transforms.load_image import image_shape
from wsp_mm.structures.bbox import AREA_MM2, PADDING, crop_box, k_value, to_sides
from wsp_mm.structures.keypoints import convert_joints, get_joint_set

POSE3D_META_KEYS = (
    'id', 'img_id', 'img_path', 'ori_shape', 'img_shape', 'input_size', 'input_center',
    'input_scale', 'flip',
    'flip_direction', 'flip_indices', 'dataset_name', 'sample_idx', 'camera_f', 'camera_c',
    'subject', 'action',
    'subaction', 'camera_id', 'sequence', 'frame', 'frame_key', 'det_idx', 'root_k',
)  # fmt: skip


@TRANSFORMS.register_module()
class ConvertJoints(Transform):
    """Convert a 2D sample to the joint set of a 3D data set, with a depth that is not supervised.

    Joints are matched by the alias table of ``structures/keypoints.py``; those that the source
    lacks have visibility 0. Put it into the pipeline of the 2D data set, before the data sets are
    combined. 3D data sets convert on their own.

    Required Keys: keypoints (1, K_source, 2) px, keypoints_visible (1, K_source).

    Modified Keys: keypoints (1, K, 3): px, px and 0; keypoints_visible (1, K) 0 or 1; flip_indices,
    flip_pairs, dataset_keypoint_weights (those of the target).

    Added Keys: has_depth (1,) = 0, root_depth (1,) = nan, bbox_extended = False.

    Args:
        source: joint set of the data set.
        target: joint set of the network.

    Raises:
        KeyError: an unknown joint set.
        ValueError: the two share no joint; at run time, keypoints that are not of the source set or
            have depth.
    """

    def __init__(self, source: str, target: str) -> None:
        joints, size = get_joint_set(target), len(get_joint_set(source))
        if not convert_joints(np.ones((size, 1)), np.ones(size), source, target)[1].any():
            raise ValueError(f'ConvertJoints: {source} and {target} share no joint')
        self.source, self.target = source, target
        self._flip = dict(
            flip_indices=list(joints.flip_indices),
            flip_pairs=[list(pair) for pair in joints.flip_pairs],
        )
        self._num_joints = len(joints)

    def transform(self, results: dict) -> dict:
        """Convert."""
        keypoints = results['keypoints']
        if keypoints.ndim != 3 or keypoints.shape[0] != 1 or keypoints.shape[2] != 2:
            raise ValueError(
                'ConvertJoints: keypoints must be one person in 2D, (1, K, 2), got '
                f'{keypoints.shape} '
                f'({results.get("img_path")}); 3D data sets convert on their own (joint_set=...)'
            )
        visible = (np.asarray(results['keypoints_visible']) > 0).astype(np.float32)
        points, visible = convert_joints(
            keypoints.astype(np.float32), visible, self.source, self.target
        )
        results.update(
            self._flip,
            keypoints=np.concatenate([points, np.zeros_like(points[..., :1])], axis=-1),
            keypoints_visible=visible,
            has_depth=np.zeros(1, dtype=np.float32),
            root_depth=np.full(1, np.nan, dtype=np.float32),
            bbox_extended=False,
            dataset_keypoint_weights=np.ones(self._num_joints, dtype=np.float32),
        )
        return results


@TRANSFORMS.register_module()
class PersonCenterScale(Transform):
    """Set centre and sides of the crop from the labelled box: clip it to the image, grow it to the
    input's aspect, pad it.

    A box that is extended already (RootNet's) is used as it is. The transform also checks that the
    image has the size of its annotation, where that gives one: otherwise boxes and joints are not
    px of the image.

    Required Keys: bbox (1, 4) xyxy px; img_shape, img or img_path; bbox_extended, image_size (w,
    h), image_size_slack px (optional).

    Added Keys: bbox_center (1, 2) px, bbox_scale (1, 2) px, replacing those of the data set
    (MMPose's MPII has them); img_shape, ori_shape.

    Args:
        padding: share by which both sides grow.
        aspect: width over height of the network's input.
        skip_bad: leave a sample with a bad box out (training draws another one) instead of raising.

    Raises:
        ValueError: an image of another size than annotated, or a box without area in the image.
    """

    def __init__(
        self, padding: float = PADDING, aspect: float = 1.0, skip_bad: bool = False
    ) -> None:
        if not padding > 0 or not aspect > 0:
            raise ValueError(
                f'PersonCenterScale: padding and aspect must be positive, got {padding}, {aspect}'
            )
        self.padding, self.aspect, self.skip_bad = float(padding), float(aspect), skip_bad

    def transform(self, results: dict) -> dict | None:
        """Add centre and sides; return None for a bad box with ``skip_bad``."""
        height, width = image_shape(results)[:2]
        annotated = results.get('image_size') or (width, height)
        slack = results.get('image_size_slack', 0)
        if max(abs(annotated[0] - width), abs(annotated[1] - height)) > slack:
            raise ValueError(
                f'{results.get("img_path")} is {width} x {height} px, but its annotation (image '
                f'{results.get("img_id")}) says {annotated[0]} x {annotated[1]}: images and '
                'annotations are not of the same release, or the images were resized'
            )
        box = to_sides(np.asarray(results['bbox'][0], dtype=np.float64))
        crop = box
        if not results.get('bbox_extended'):
            crop = crop_box(box, (width, height), self.aspect, self.padding)
        if crop is None or not (crop[2:] > 0).all():
            if self.skip_bad:
                return None
            raise ValueError(
                f'{results.get("img_path")}: annotation {results.get("id")}: the box '
                f'{box.tolist()} '
                f'(x, y, w, h) has no area within its image of {width} x {height} px; fix the '
                'annotation, or set skip_bad=True of PersonCenterScale to leave such samples out'
            )
        results['bbox_center'] = (crop[:2] + crop[2:] / 2)[None].astype(np.float32)
        results['bbox_scale'] = crop[None, 2:].astype(np.float32)
        return results


@TRANSFORMS.register_module()
class RootDepthPrior(Transform):
    """Add k, the root's depth by the size of the box that is cropped.

    See :func:`wsp_mm.structures.bbox.k_value`. Put it right after ``PersonCenterScale``: k belongs
    to the box before it is scaled or rotated at random. A sample without a camera (of a 2D data
    set) has no k: nan.

    Required Keys: bbox_center (1, 2) px, bbox_scale (1, 2) px; camera_f (2,) px (optional).

    Added Keys: root_k (1,) mm.

    Args:
        area_mm2: what a box is assumed to cover, mm^2.

    Raises:
        ValueError: ``area_mm2`` is not positive; at run time, no box or one that was augmented.
    """

    def __init__(self, area_mm2: float = AREA_MM2) -> None:
        if not area_mm2 > 0:
            raise ValueError(f'RootDepthPrior: area_mm2 must be positive, got {area_mm2}')
        self.area_mm2 = float(area_mm2)

    def transform(self, results: dict) -> dict:
        """Add k."""
        if 'bbox_scale' not in results or 'bbox_rotation' in results:
            raise ValueError(
                f'RootDepthPrior ({results.get("img_path")}): put it right after '
                'PersonCenterScale, before the box is changed at random'
            )
        prior, f = np.full(1, np.nan), results.get('camera_f')
        if f is not None:
            box = np.concatenate([results['bbox_center'], results['bbox_scale']], axis=-1)
            prior = k_value(box, np.reshape(f, 2), self.area_mm2)
        results['root_k'] = prior.astype(np.float32)
        return results


@TRANSFORMS.register_module()
class PersonRandomBBoxTransform(RandomBBoxTransform):
    """Scale and rotate the crop at random with PoseNet's draws.

    The scale is 1 + ``scale`` x a standard normal number clipped to +-1, always drawn. The rotation
    is ``rotation`` x a standard normal number clipped to +-2, with probability ``rotate_prob``.
    Clipped numbers pile up at the ends (MMPose's own transform draws again instead). The depth of a
    joint is neither scaled nor rotated.

    Required Keys: bbox_center, bbox_scale. Modified Keys: the same. Added Keys: bbox_rotation (1,)
    degrees, bbox_unscaled (1, 2) px, the sides before.

    Args:
        scale: as above, 0 to less than 1.
        rotation: degrees, 0 to 90.
        rotate_prob: 0 to 1.

    Raises:
        ValueError: an argument out of its range.
    """

    def __init__(
        self, scale: float = 0.25, rotation: float = 30.0, rotate_prob: float = 0.6
    ) -> None:
        if not 0 <= scale < 1 or not 0 <= rotation <= 90 or not 0 <= rotate_prob <= 1:
            raise ValueError(
                'PersonRandomBBoxTransform: scale must lie in 0 to 1, rotation in 0 to 90 degrees, '
                f'rotate_prob in 0 to 1, got {scale}, {rotation}, {rotate_prob}'
            )
        super().__init__(0.0, 0.0, (1 - scale, 1 + scale), 1.0, rotation, rotate_prob)
        self.scale = scale

    def transform(self, results: dict) -> dict:
        results['bbox_unscaled'] = results['bbox_scale']
        return super().transform(results)

    @cache_randomness
    def _get_transform_params(self, num_bboxes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """No shift (n, 2), scale (n, 1), rotation (n,) degrees."""
        scale = 1 + self.scale * np.clip(np.random.randn(num_bboxes, 1), -1, 1)
        rotation = self.rotate_factor * np.clip(np.random.randn(num_bboxes), -2, 2)
        rotated = np.random.rand(num_bboxes) < self.rotate_prob
        return np.zeros((num_bboxes, 2), np.float32), scale, np.where(rotated, rotation, 0.0)


@TRANSFORMS.register_module()
class RandomOcclusion(Transform):
    """Hide a part of the person behind a rectangle of uniform noise, before the image is flipped or
    cropped.

    As in PoseNet: the rectangle's area is a uniform share of the crop's area before the crop was
    scaled at random, its height over width is uniform, and its place in that crop is uniform. A
    rectangle that is not wholly inside the image is drawn again; PoseNet does so without an end,
    here the image stays as it is after ``max_tries``. Labels stay: hidden joints are learned.

    Required Keys: img (H, W, 3) uint8, bbox_center (1, 2), bbox_scale (1, 2); bbox_unscaled (1, 2),
    and of ``LoadCropImage`` img_offset, ori_shape (optional). Modified Keys: img.

    Args:
        prob: probability, 0 to 1.
        area: smallest and largest share of the crop's area.
        aspect: smallest and largest height over width.
        max_tries: at most this many rectangles are drawn.

    Raises:
        ValueError: an argument out of its range; at run time, an image that is cropped already.
    """

    def __init__(
        self,
        prob: float = 0.5,
        area: tuple[float, float] = (0.0, 0.7),
        aspect: tuple[float, float] = (0.3, 1 / 0.3),
        max_tries: int = 50,
    ) -> None:
        ordered = 0 <= area[0] <= area[1] and 0 < aspect[0] <= aspect[1]
        if not 0 <= prob <= 1 or not ordered or max_tries < 1:
            raise ValueError(
                'RandomOcclusion: prob must lie in 0 to 1, area and aspect be (smallest, largest) '
                f'and max_tries be positive, got {prob}, {area}, {aspect}, {max_tries}'
            )
        self.prob, self.area, self.aspect = prob, tuple(area), tuple(aspect)
        self.max_tries = max_tries

    def transform(self, results: dict) -> dict:
        """Hide or not."""
        if 'input_size' in results:
            raise ValueError('RandomOcclusion must come before TopdownAffine')
        left, top = results.get('img_offset', (0, 0))
        shape = results['ori_shape'] if 'img_offset' in results else results['img'].shape[:2]
        side = results.get('bbox_unscaled', results['bbox_scale'])[0]
        found = self._rectangle(results['bbox_center'][0] + (left, top), side, shape)
        if found is not None:
            x, y, w, h = found
            noise = self._noise(h, w)
            x, y = x - left, y - top  # px of the part that was loaded
            results['img'] = img = results['img'].copy()
            part = img[max(y, 0) : max(y + h, 0), max(x, 0) : max(x + w, 0)]
            part[...] = noise[max(-y, 0) :, max(-x, 0) :][: part.shape[0], : part.shape[1]]
        return results

    @cache_randomness
    def _rectangle(
        self, centre: np.ndarray, side: np.ndarray, shape: tuple[int, int]
    ) -> tuple[int, int, int, int] | None:
        """x, y, w, h px of the image; None for no occlusion.

        Args:
            centre, side: of the crop, px of the image.
            shape: (H, W) of the image.
        """
        if np.random.rand() >= self.prob:
            return None
        (cx, cy), (width, height) = centre.tolist(), side.tolist()
        for _ in range(self.max_tries):
            area = np.random.uniform(*self.area) * width * height
            aspect = np.random.uniform(*self.aspect)
            h, w = np.sqrt(area * aspect), np.sqrt(area / aspect)
            x = cx - width / 2 + np.random.rand() * (width - w - 1)
            y = cy - height / 2 + np.random.rand() * (height - h - 1)
            if x >= 0 and y >= 0 and x + w < shape[1] and y + h < shape[0]:
                return int(x), int(y), int(w), int(h)
        return None

    @cache_randomness
    def _noise(self, h: int, w: int) -> np.ndarray:
        return np.random.randint(0, 256, (h, w, 3), dtype=np.uint8)


@TRANSFORMS.register_module()
class ChannelGain(Transform):
    """Multiply each colour channel by a number of its own, uniform in ``gain``, round and clip to 0
    to 255.

    PoseNet's only change of colour.

    Required Keys: img (H, W, 3) uint8. Modified Keys: img.

    Args:
        gain: smallest and largest factor.

    Raises:
        ValueError: factors that are negative or not in order; at run time, an image that is not
            uint8.
    """

    def __init__(self, gain: tuple[float, float] = (0.8, 1.2)) -> None:
        if not 0 <= gain[0] <= gain[1]:
            raise ValueError(f'ChannelGain: gain must be (smallest, largest), got {gain}')
        self.gain = float(gain[0]), float(gain[1])

    @cache_randomness
    def _factors(self) -> np.ndarray:
        return np.random.uniform(*self.gain, 3)

    def transform(self, results: dict) -> dict:
        """Multiply."""
        if results['img'].dtype != np.uint8:
            raise ValueError(f'ChannelGain needs an image of uint8, got {results["img"].dtype}')
        table = np.clip(np.rint(np.arange(256)[:, None] * self._factors()), 0, 255).astype(np.uint8)
        results['img'] = cv2.LUT(results['img'], table[None])
        return results


@TRANSFORMS.register_module()
class GrayImage(Transform):
    """Control for shortcuts: fill the whole input with one flat gray; boxes and labels stay.

    It comes after the crop, whose black margins would tell where the image ends. What a model still
    answers correctly comes from the boxes.

    Required Keys: img. Modified Keys: img.

    Args:
        value: the gray, 0 to 255. The default is near the mean colour that the preprocessor
            subtracts.
    """

    def __init__(self, value: int = 116) -> None:
        if not 0 <= value <= 255:
            raise ValueError(f'GrayImage: value must lie in 0 to 255, got {value}')
        self.value = value

    def transform(self, results: dict) -> dict:
        """Fill.

        Raises:
            ValueError: the image is not cropped yet.
        """
        if 'input_size' not in results:
            raise ValueError('GrayImage must come after the crop')
        results['img'] = np.full_like(results['img'], self.value)
        return results


@TRANSFORMS.register_module()
class PackPose3DInputs(PackInstance):
    """Pack one person.

    - gt_instances (numpy): bboxes (1, 4) xyxy px, bbox_scores (1,), bbox_scales (1, 2) px,
      keypoints (1, K, 3): px, px, mm relative to the root; keypoints_visible (1, K), has_depth
      (1,), and of 3D samples keypoints_cam (1, K, 3) mm and root_depth (1,) mm. Boxes and keypoints
      are px of the image, flipped where ``flip``. keypoints_cam is always the ground truth of the
      image on disk, never flipped: it is for tests, which do not flip. Of a detected person there
      are boxes and no keypoints.
    - gt_instance_labels (tensors): what the codec made.
    - metainfo: what ``meta_keys`` names and is there, and root_depth as a float (mm) where it is
      known.

    Args:
        meta_keys: what goes to the sample's metainfo, where it is there.
    """

    instance_mapping_table = dict(
        bbox='bboxes',
        bbox_score='bbox_scores',
        bbox_scale='bbox_scales',
        keypoints='keypoints',
        keypoints_visible='keypoints_visible',
        keypoints_cam='keypoints_cam',
        root_depth='root_depth',
        has_depth='has_depth',
    )

    def __init__(self, meta_keys: Sequence[str] = POSE3D_META_KEYS) -> None:
        super().__init__(meta_keys)

    def transform(self, results: dict) -> dict:
        """Return inputs (3, H, W) uint8 BGR and data_samples.

        Raises:
            ValueError: keypoints that are not one person's in 3D, or not of the data set's joint
                set; a packed field that is not one instance long.
        """
        packed = dict(to_image_frame(results))
        shape, joints = np.shape(packed.get('keypoints')), len(packed.get('flip_indices', ()))
        if not shape:  # a detected person; TopdownAffine invents a joint that is visible
            packed.pop('keypoints_visible', None)
        elif len(shape) != 3 or shape[2] != 3 or (joints and shape[1] != joints):
            raise ValueError(
                f'PackPose3DInputs: keypoints must be (1, {joints or "K"}, 3), are {shape} '
                f'({packed.get("dataset_name")}, {packed.get("img_path")}); a 2D data set needs '
                'ConvertJoints in its own pipeline, a 3D one the joint_set that the others have'
            )
        depth = float(np.reshape(packed.pop('root_depth', np.nan), -1)[0])
        if np.isfinite(depth):
            packed['root_depth'] = np.array([depth], dtype=np.float32)
        out = super().transform(packed)
        if np.isfinite(depth):
            out['data_samples'].set_metainfo(dict(root_depth=depth))
        return out
