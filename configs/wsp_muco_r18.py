# As wsp_muco_r50.py, with ResNet-18. The checkpoint:
# --cfg-options model.init_cfg.checkpoint=work_dirs/wsp_pretrain_r18/epoch_50.pth
_base_ = './wsp_muco_r50.py'
model = dict(
    backbone=dict(depth=18, init_cfg=dict(checkpoint='torchvision://resnet18')),
    head=dict(in_channels=512),
)
