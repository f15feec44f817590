# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Nothing ever loads empty: a data set without a sample is an error that says what was looked
for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmpose.registry import DATASETS

# What MMPose's data sets look for; a file that lacks it loads as an empty data set without a word.
_LOOKED_FOR = {
    'MpiiDataset': "records with 'image', 'center', 'scale', 'joints' and 'joints_vis'",
}
_COCO_STYLE = (
    "annotations with 'bbox' and 'keypoints' that are no crowd and have a labelled joint and a box with an "
    "area, of images in 'images'"
)


def build_nonempty(cfg: Mapping) -> Any:
    """Build a data set that holds something.

    Raises:
        ValueError: it is empty; the message names its file and what was looked for in it.
    """
    try:
        dataset = DATASETS.build(cfg)
        size = len(dataset)
    except ValueError as error:
        # MMEngine joins the serialised samples of a data set, and NumPy cannot join none.
        if 'at least one array to concatenate' not in str(error):
            raise
        size = 0
    if size == 0:
        kind = str(cfg['type']).rpartition('.')[2]
        root, file = cfg.get('data_root') or '', cfg.get('ann_file') or ''
        more = {
            key: cfg[key] for key in ('filter_cfg', 'indices', 'sample_interval') if cfg.get(key)
        }
        raise ValueError(
            f'{kind} loaded nothing from {file!r} (data_root {root!r}): it looks for '
            f'{_LOOKED_FOR.get(kind, _COCO_STYLE)}' + (f', selected by {more}' if more else '')
        )
    return dataset
