# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import numpy as np
from mmpose.datasets.datasets.utils import parse_pose_metainfo

from wsp_mm.datasets.meta_keys import META_KEYS, SampleMeta
from wsp_mm.structures.keypoints import pose_metainfo


def test_every_sample_has_its_own():
    metainfo = parse_pose_metainfo(dict(pose_metainfo('h36m18'), dataset_name='x'))
    make = SampleMeta(metainfo)
    one, two = make(), make()
    assert set(one) == set(META_KEYS) and one['dataset_name'] == 'x'
    one['flip_indices'][0] = -1
    one['dataset_keypoint_weights'][0] = -1
    np.testing.assert_equal(two, {key: metainfo[key] for key in META_KEYS})
