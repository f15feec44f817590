# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Everything that wsp_mm adds to MMPose's registries.

Configs name this module in ``custom_imports``; nothing else imports it.
"""

# isort: off
import wsp_mm.codecs.integral_3d
import wsp_mm.codecs.pair_heatmap
import wsp_mm.codecs.root_depth
import wsp_mm.datasets.coco
import wsp_mm.datasets.h36m
import wsp_mm.datasets.mcpc
import wsp_mm.datasets.muco
import wsp_mm.datasets.mupots
import wsp_mm.datasets.relative_human
import wsp_mm.datasets.sampling
import wsp_mm.datasets.transforms.load_image
import wsp_mm.datasets.transforms.pair
import wsp_mm.datasets.transforms.person
import wsp_mm.datasets.transforms.photo
import wsp_mm.engine.hooks
import wsp_mm.engine.optim
import wsp_mm.evaluation.metrics.dump_predictions
import wsp_mm.evaluation.metrics.mpjpe_metric_3d
import wsp_mm.evaluation.metrics.mupots_3dpck
import wsp_mm.evaluation.metrics.pair_pck_metric
import wsp_mm.evaluation.metrics.pcdr
import wsp_mm.evaluation.metrics.relative_depth_metric
import wsp_mm.evaluation.metrics.root_depth_metric
import wsp_mm.models.data_preprocessor
import wsp_mm.models.estimators
import wsp_mm.models.integral_3d_head
import wsp_mm.models.losses
import wsp_mm.models.relative_depth_head
import wsp_mm.models.root_depth_head
import wsp_mm.models.timm_backbone
import wsp_mm.utils.checkpoint  # PretrainedParts
import wsp_mm.visualization.visualizer  # noqa: F401
