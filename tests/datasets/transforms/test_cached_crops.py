# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Crops from a cache against crops from the frame: the same place, the same pixels up to the
cache's JPEG.
"""

import cv2
import numpy as np
import pytest
from mmcv.transforms import Compose
from mmengine.registry import init_default_scope
from mmpose.datasets.transforms import RandomFlip

from wsp_mm.datasets.crop_cache import CropCache, CropCacheError
from wsp_mm.datasets.crop_cache_writer import Cutter, write_cache
from wsp_mm.datasets.crop_reach import Reach
from wsp_mm.datasets.seeding import item_randomness
from wsp_mm.datasets.transforms.person_crop import PersonCenterScale, PersonRandomBBoxTransform
from wsp_mm.datasets.transforms.random_occlusion import RandomOcclusion
from wsp_mm.datasets.transforms.read_picture import PersonTopdownAffine, ReadPicture

SIZE = (400, 402)
# Boxes x1, y1, x2, y2: in the middle, at each edge, in a corner, nearly the whole frame.
BOXES = [
    (150, 130, 220, 260),
    (0, 100, 60, 220),
    (350, 20, 399, 160),
    (10, 330, 110, 401),
    (20, 10, 380, 390),
]
KEYS = ('transformed_keypoints', 'bbox_center', 'bbox_scale', 'input_center', 'input_scale')


class Frames:
    """A data set of some boxes in one frame."""

    def __init__(self, path, boxes=BOXES):
        self.path, self.boxes = str(path), boxes

    def __len__(self):
        return len(self.boxes)

    def get_data_info(self, i):
        return dict(
            img_path=self.path,
            id=i,
            bbox=np.array([self.boxes[i]], dtype=np.float32),
            keypoints=np.array([[[30.0, 40.0], [70.0, 50.0]]], dtype=np.float32),
            keypoints_visible=np.ones((1, 2), dtype=np.float32),
            flip_indices=[1, 0],
        )


@pytest.fixture(autouse=True)
def _scope():
    init_default_scope('mmpose')


@pytest.fixture(scope='module')
def frame(tmp_path_factory):
    """Soft, so that means over pixels and single pixels agree, with colours that tell places
    apart.
    """
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
    file = tmp_path_factory.mktemp('frames') / 'one.png'
    cv2.imwrite(str(file), cv2.resize(coarse, SIZE, interpolation=cv2.INTER_CUBIC))
    return file


def steps(read, side, occlusion=0.0, scale=0.25, rotation=30.0):
    return [
        read,
        PersonCenterScale(),
        RandomOcclusion(prob=occlusion),
        RandomFlip(prob=0.5, direction='horizontal'),
        PersonRandomBBoxTransform(scale=scale, rotation=rotation),
        PersonTopdownAffine(input_size=side),
    ]


def cache_of(folder, dataset, side, quality=100, **more):
    cutter = Cutter(steps(ReadPicture(), side, **more), quality)
    write_cache(folder, dataset, cutter, dict(type='Frames'), [], workers=0)
    return folder


def pairs(frame, folder, side, seeds, boxes=BOXES, **more):
    """(sample from the frame, sample from the cache, number of the box) of each seed and box."""
    dataset = Frames(frame, boxes)
    ways = [Compose(steps(ReadPicture(crop_cache=cache), side, **more)) for cache in (None, folder)]
    for seed in seeds:
        for i in range(len(dataset)):
            out = []
            for way in ways:
                with item_randomness(seed, i):
                    out.append(way(dataset.get_data_info(i)))
            yield *out, i


def grey_levels(a, b):
    return np.abs(a['img'].astype(int) - b['img']).mean()


def within(sample, side, margin=12):
    """Pixels of a crop that are not at the frame's edge: there a reduced picture fades to black
    within a pixel of its own, not of the frame."""
    mask = np.zeros(SIZE[::-1], dtype=np.uint8)
    mask[margin:-margin, margin:-margin] = 255
    return cv2.warpAffine(mask, PersonTopdownAffine(input_size=side).warp(sample), side) == 255


# 64 px: all but the two smallest boxes are reduced. 240 x 180: none, and another aspect.
@pytest.mark.parametrize('side', [(64, 64), (240, 180), (48, 64)])
def test_crops_and_coordinates_are_those_of_the_frame(frame, tmp_path, side):
    folder = cache_of(tmp_path / 'cache', Frames(frame), side)
    flipped, every = set(), []
    for plain, cached, _ in pairs(frame, folder, side, range(12)):
        for key in KEYS:
            np.testing.assert_array_equal(plain[key], cached[key])
        assert cached['img_shape'] == cached['ori_shape'] == plain['img_shape'] == SIZE[::-1]
        assert cached['img'].shape == plain['img'].shape and cached['img'].dtype == np.uint8
        inside = within(plain, side)
        assert inside.any()
        difference = np.abs(plain['img'].astype(int) - cached['img'])[inside].mean()
        assert difference < 1.5
        every.append(difference)
        # A pixel of the cache aside would show.
        aside = np.abs(plain['img'][:, 1:].astype(int) - plain['img'][:, :-1])[inside[:, 1:]].mean()
        assert difference < aside / 2 + 0.3
        assert grey_levels(plain, cached) < 4
        flipped.add(plain['flip'])
    assert flipped == {True, False} and np.mean(every) < 0.7


def test_without_reduction_only_the_jpeg_differs(frame, tmp_path):
    folder = cache_of(tmp_path / 'cache', Frames(frame), (400, 400))
    cache = CropCache(folder)
    for i in range(len(BOXES)):
        picture = cache.picture(Frames(frame).get_data_info(i))
        left, top, right, bottom = picture.part
        assert picture.stored.size == (right - left, bottom - top)
    for plain, cached, _ in pairs(frame, folder, (400, 400), range(3)):
        assert grey_levels(plain, cached) < 1


@pytest.mark.parametrize('side', [(64, 64), (300, 300)])
def test_occlusion_lies_in_its_place(frame, tmp_path, side):
    folder = cache_of(tmp_path / 'cache', Frames(frame), side, occlusion=1.0)
    seen = 0
    for plain, cached, _ in pairs(frame, folder, side, range(8), occlusion=1.0):
        # Noise differs by some 85 grey levels from other noise, and from anything but itself.
        assert grey_levels(plain, cached) < 2.5
        seen += np.abs(np.diff(plain['img'].astype(int), axis=1)).mean() > 6
    assert seen > 10


def test_no_crop_leaves_the_part(frame, tmp_path):
    """Many draws at the ends: cut normal numbers pile up there. A part that is too small is an
    error.
    """
    rng = np.random.default_rng(3)
    corners = rng.uniform(0, 340, (25, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(6, 250, (25, 2))], axis=1).tolist()
    more = dict(scale=0.4, rotation=25.0)
    folder = cache_of(tmp_path / 'cache', Frames(frame, boxes), (32, 24), **more)
    assert len([0 for _ in pairs(frame, folder, (32, 24), range(6), boxes, **more)]) == 150
    with pytest.raises(
        CropCacheError, match=r'takes left, top, right, bottom .* are cached: the cache was made'
    ):
        list(pairs(frame, folder, (32, 24), range(6), boxes, scale=0.9, rotation=25.0))


def test_the_smallest_crop_has_a_pixel_for_each_of_the_input(frame, tmp_path):
    side, more = (64, 48), dict(scale=0.25, rotation=10.0)
    folder = cache_of(tmp_path / 'cache', Frames(frame), side, **more)
    reach, factors = Reach.of(steps(ReadPicture(), side, **more)), []
    assert reach.scale == (0.75, 1.25) and reach.turn == 20 and reach.input_size == side
    for i in range(len(BOXES)):
        sample = ReadPicture(crop_cache=folder)(Frames(frame).get_data_info(i))
        grid = sample['picture'].grid()
        width, height = reach.side(PersonCenterScale()(sample)['bbox_scale'][0])
        assert width / height == pytest.approx(4 / 3)
        smallest = 0.75 * width / side[0]
        factors.append(grid[0, 0])
        assert 1 <= grid[0, 0] <= max(1, smallest) and 1 <= grid[1, 1] <= max(1, smallest)
        if smallest > 1:
            assert grid[0, 0] > 0.9 * smallest, 'reduced as far as it may'
    assert max(factors) > 3 and sorted(factors) != factors


def test_a_grid_holds_the_centres_of_pixels(frame, tmp_path):
    folder = cache_of(tmp_path / 'cache', Frames(frame), (64, 64))
    picture = CropCache(folder).picture(Frames(frame).get_data_info(4))
    width, height = picture.stored.size
    left, top, right, bottom = picture.part
    grid, mirror = picture.grid(), picture.grid(mirrored=True)
    # The outer edges of the first and the last pixel are those of the part.
    edges = grid @ np.array([[-0.5, width - 0.5], [-0.5, height - 0.5], [1, 1]])
    np.testing.assert_allclose(edges[:2], [[left - 0.5, right - 0.5], [top - 0.5, bottom - 0.5]])
    point = grid @ [3, 5, 1]
    mirrored = mirror @ [width - 1 - 3, 5, 1]
    np.testing.assert_allclose(mirrored[:2], [SIZE[0] - 1 - point[0], point[1]])


def test_a_picture_that_was_read_before_stays(frame):
    sample = ReadPicture()(Frames(frame).get_data_info(0))
    picture = sample['picture']
    assert ReadPicture()(sample)['picture'] is picture
