# PoseNet for minutes on processor cores: EfficientNet-Lite0 and small volumes.
_base_ = './lite0.py'
model = dict(
    type='TopdownPoseEstimator3D',
    data_preprocessor=dict(
        type='BatchDataPreprocessor', bgr_to_rgb=True, **_base_.lite0_preprocessor
    ),
    backbone=_base_.lite0,
    head=dict(
        type='Integral3DHead',
        in_channels=320,
        out_channels=18,
        deconv_out_channels=(96, 96, 96),
        deconv_kernel_sizes=(4, 4, 4),
        loss=dict(type='Integral3DLoss', average='all', loss_weight=1.0),
        # A softmax over a whole volume starts uniform, and its gradients are tiny: sharper logits
        # and a loss of the marginals get it going.
        logit_scale=10.0,
        marginal_loss=dict(type='MarginalLoss'),
    ),
    test_cfg=dict(flip_test=True, flip_mode='exact'),
)
