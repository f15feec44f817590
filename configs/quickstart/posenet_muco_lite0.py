# PoseNet on MuCo and COCO, half and half, in three minutes on one processor core; tested on MuPoTS.
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/datasets/muco.py',
    '../_base_/pipelines/pose3d_96.py',
    '../_base_/models/integral3d_lite0_stride16.py',
    '../_base_/schedules/quickstart.py',
]
model = dict(head=dict(out_channels=21, decoder=_base_.codec))
# 3D is new to the backbone, also after a pre-training.
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=1.0))))
# Loading in the training process: a worker would only take turns with the threads that compute.
_loader = dict(num_workers=0, persistent_workers=False)
train_dataloader = dict(
    **_loader,
    batch_size=16,
    dataset=dict(pipeline=_base_.train_pipeline),
)
val_dataloader = dict(**_loader, dataset=dict(pipeline=_base_.val_pipeline))
test_dataloader = val_dataloader
# Depthwise convolutions are faster so, also in float32.
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=50), channels_last=dict(enabled=True))
log_processor = dict(by_epoch=False)
