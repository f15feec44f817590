# RootNet with EfficientNet-Lite0, for short trainings.
_base_ = ['./lite0.py', './root_r50.py']
model = dict(
    data_preprocessor=_base_.lite0_preprocessor,
    backbone=dict(_delete_=True, **_base_.lite0),
    head=dict(
        in_channels=320,
        deconv_out_channels=(64, 64, 64),
        # As in integral3d_lite0.py: sharper logits get a short training going.
        logit_scale=10.0,
        loss=dict(depth_unit=50.0),  # else all steps go to the depth alone
    ),
)
