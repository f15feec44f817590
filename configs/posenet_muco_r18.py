# As posenet_muco_r50.py, with ResNet-18.
_base_ = './posenet_muco_r50.py'
model = dict(
    backbone=dict(depth=18, init_cfg=dict(checkpoint='torchvision://resnet18')),
    head=dict(in_channels=512),
)
