# HRNet-W32 keeps a quarter of the input's resolution, so its own output takes the place of the
# deconvs.
_base_ = ['./wsp_pretrain_r50.py', './_base_/models/hrnet-w32.py']
model = dict(
    backbone=dict(_base_.hrnet_w32, _delete_=True),
    head=dict(in_channels=32, deconv_out_channels=None, deconv_kernel_sizes=None),
)
