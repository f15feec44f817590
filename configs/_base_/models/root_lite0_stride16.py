# root_lite0.py cut off at stride 16, as wsp_lite0_stride16.py is, whose backbone it takes.
_base_ = './root_lite0.py'
model = dict(
    backbone=dict(out_indices=(3,), frozen_depthwise=True),
    head=dict(in_channels=112, deconv_out_channels=(64, 64), deconv_kernel_sizes=(4, 4)),
)
