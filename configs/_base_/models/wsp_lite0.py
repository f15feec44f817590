# The pair pre-training network with EfficientNet-Lite0, for short trainings.
_base_ = ['./lite0.py', './wsp_r50.py']
model = dict(
    data_preprocessor=_base_.lite0_preprocessor,
    backbone=dict(_delete_=True, **_base_.lite0),
    head=dict(
        in_channels=320,
        deconv_out_channels=(96, 96, 96),
        num_sampled_joints=None,  # all joints of a pair: the iterations are few
        alpha=1.0,  # with 50 the heatmaps stay unlearned for long (docs/results.md)
    ),
)
