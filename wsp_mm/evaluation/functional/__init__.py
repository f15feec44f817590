# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Scores of predictions: numpy in, plain numbers out; neither torch nor OpenMMLab is needed."""

from wsp_mm.evaluation.functional.bootstrap import bootstrap_interval, paired_difference
from wsp_mm.evaluation.functional.mpjpe import align_poses, mean_pose, mpjpe, per_axis_error
from wsp_mm.evaluation.functional.mupots import (
    mupots_3dpck,
    mupots_errors,
    mupots_matches,
    mupots_occlusion_pck,
)
from wsp_mm.evaluation.functional.pcdr import match_persons, mpckh, pcdr
from wsp_mm.evaluation.functional.pck import pair_pck
from wsp_mm.evaluation.functional.pose3d import pose3d_scores
from wsp_mm.evaluation.functional.relative_depth import relative_depth_scores

__all__ = [
    'align_poses', 'bootstrap_interval', 'match_persons', 'mean_pose', 'mpckh', 'mpjpe',
    'mupots_3dpck', 'mupots_errors', 'mupots_matches', 'mupots_occlusion_pck', 'pair_pck',
    'paired_difference', 'pcdr', 'per_axis_error', 'pose3d_scores', 'relative_depth_scores',
]  # fmt: skip
