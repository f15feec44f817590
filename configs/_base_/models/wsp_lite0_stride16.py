# wsp_lite0.py cut off at stride 16, for small crops: at stride 32 those of 96 and 128 px are 3 x 3
# and 4 x 4 cells, in which the front and the back of a person are told apart late
# (docs/results.md). Faster on processors, too, and with depthwise filters as ImageNet left them
# faster still.
_base_ = './wsp_lite0.py'
model = dict(
    backbone=dict(out_indices=(3,), frozen_depthwise=True),
    head=dict(
        in_channels=112,
        deconv_out_channels=(96, 96),
        deconv_kernel_sizes=(4, 4),
        # One depth score a person: it learns the order sooner than concatenated features, so that
        # a smaller alpha leaves more to the keypoints (docs/results.md).
        pairwise='difference',
        alpha=4.0,
    ),
)
