# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Scores of predictions: numpy in, plain numbers out; neither torch nor OpenMMLab is needed."""

from wsp_mm.evaluation.functional.pck import normalized_distances, pair_pck
from wsp_mm.evaluation.functional.relative_depth import relative_depth_scores

__all__ = ['normalized_distances', 'pair_pck', 'relative_depth_scores']
