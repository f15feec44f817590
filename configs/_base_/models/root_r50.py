# RootNet: ResNet-50, three deconvs and one map for the root's place, pooled features for its depth.
model = dict(
    type='TopdownRootEstimator',
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
        type='RootDepthHead',
        in_channels=2048,
        deconv_out_channels=(256, 256, 256),
        deconv_kernel_sizes=(4, 4, 4),
        loss=dict(type='RootDepthLoss', depth_unit=1.0, loss_weight=1.0),
    ),
    test_cfg=dict(flip_test=False),  # RootNet has none
)
