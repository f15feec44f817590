# Pair pre-training network: ResNet-50, three deconvs, 2D heatmaps that mask the features, relative
# depth.
model = dict(
    type='TopdownEstimator',
    data_preprocessor=dict(
        type='BatchDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
    ),
    backbone=dict(
        type='ResNet',
        depth=50,
        init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet50'),
    ),
    head=dict(
        type='RelativeDepthHead',
        in_channels=2048,
        out_channels=16,
        deconv_out_channels=(256, 256, 256),
        deconv_kernel_sizes=(4, 4, 4),
        depth_hidden=256,
        num_sampled_joints=8,
        alpha=50.0,
        pooling='mean',
        # Prediction alone: beside P, its average with 1 - P of the swapped persons.
        symmetric=True,
        heatmap_loss=dict(type='HeatmapL2Loss', squared=False),
        depth_loss=dict(type='RelativeDepthLoss'),
    ),
    # Averages heatmaps; probabilities under names of their own (rd/averaged_*).
    test_cfg=dict(flip_test=True, shift_heatmap=True),
)
