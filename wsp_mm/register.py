# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Everything that wsp_mm adds to MMPose's registries.

Configs name this module in ``custom_imports``; nothing else imports it.
"""

# isort: off
import wsp_mm.codecs.integral_3d
import wsp_mm.codecs.pair_heatmap
import wsp_mm.codecs.root_depth
import wsp_mm.datasets.h36m_image
import wsp_mm.datasets.mcpc
import wsp_mm.datasets.muco
import wsp_mm.datasets.mupots
import wsp_mm.datasets.samplers
import wsp_mm.datasets.seeding
import wsp_mm.datasets.transforms.channel_gain
import wsp_mm.datasets.transforms.convert_joints
import wsp_mm.datasets.transforms.formatting
import wsp_mm.datasets.transforms.grey_picture
import wsp_mm.datasets.transforms.pack_pose3d
import wsp_mm.datasets.transforms.pair_geometry
import wsp_mm.datasets.transforms.person_crop
import wsp_mm.datasets.transforms.random_occlusion
import wsp_mm.datasets.transforms.read_picture
import wsp_mm.datasets.transforms.remove_ankles
import wsp_mm.datasets.transforms.root_depth_prior
import wsp_mm.datasets.transforms.sample_person_pair
import wsp_mm.engine.deferred_log
import wsp_mm.engine.hooks
import wsp_mm.engine.precision
import wsp_mm.evaluation.metrics.dump_predictions
import wsp_mm.evaluation.metrics.mpjpe_metric_3d
import wsp_mm.evaluation.metrics.mupots_3dpck
import wsp_mm.evaluation.metrics.pair_pck_metric
import wsp_mm.evaluation.metrics.relative_depth_metric
import wsp_mm.evaluation.metrics.root_depth_metric
import wsp_mm.models.data_preprocessor
import wsp_mm.models.estimators.topdown_3d
import wsp_mm.models.estimators.topdown_root
import wsp_mm.models.heads.integral_3d_head
import wsp_mm.models.heads.relative_depth_head
import wsp_mm.models.heads.root_depth_head
import wsp_mm.models.losses.heatmap_l2_loss
import wsp_mm.models.losses.integral_3d_loss
import wsp_mm.models.losses.marginal_loss
import wsp_mm.models.losses.relative_depth_loss
import wsp_mm.models.losses.root_depth_loss
import wsp_mm.utils.checkpoint  # PretrainedParts
import wsp_mm.visualization.pair_visualizer  # noqa: F401
