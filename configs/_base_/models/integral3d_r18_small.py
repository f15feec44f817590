# PoseNet for minutes on two processor cores: ResNet-18 and volumes of 24 x 24 x 24.
model = dict(
    type='TopdownPoseEstimator3D',
    data_preprocessor=dict(
        type='BatchDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
    ),
    backbone=dict(type='ResNet', depth=18),
    head=dict(
        type='Integral3DHead',
        in_channels=512,
        out_channels=18,
        deconv_out_channels=(128, 128, 128),
        deconv_kernel_sizes=(4, 4, 4),
        loss=dict(type='Integral3DLoss', average='all', loss_weight=1.0),
        # A softmax over a whole volume starts uniform, and its gradients are tiny: sharper logits
        # and a loss of the marginals get it going.
        logit_scale=10.0,
        marginal_loss=dict(type='MarginalLoss'),
    ),
    test_cfg=dict(flip_test=True, flip_mode='exact'),
)
