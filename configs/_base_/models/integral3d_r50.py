# PoseNet: ResNet-50, three deconvs, a 3D heatmap a joint and its expectation (paper, section 3.5).
model = dict(
    type='TopdownPoseEstimator3D',
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
        type='Integral3DHead',
        in_channels=2048,
        out_channels=18,
        deconv_out_channels=(256, 256, 256),
        deconv_kernel_sizes=(4, 4, 4),
        loss=dict(type='Integral3DLoss', average='all', loss_weight=1.0),
    ),
    test_cfg=dict(flip_test=True, flip_mode='exact'),
)
