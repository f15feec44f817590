# 3D pose: the paper's 3D network with EfficientNet-Lite0 on the photo world, half with 3D (MuCo's
# layout), half with 2D (COCO's), in 40 minutes on one processor core; tested on MuPoTS.
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/datasets/muco.py',
    '../_base_/pipelines/pose3d_photo_160.py',
    '../_base_/models/integral3d_lite0_stride16.py',
    '../_base_/schedules/zoo.py',
]
model = dict(head=dict(out_channels=21, decoder=_base_.codec))
_loader = dict(num_workers=0, persistent_workers=False)
muco_train = dict(_base_.muco_train, data_prefix=dict(img=''))
train_dataloader = dict(
    **_loader,
    batch_size=32,
    dataset=dict(datasets=[muco_train, _base_.train_2d], pipeline=_base_.train_pipeline),
)
max_iters = 2200
train_cfg = dict(max_iters=max_iters, val_interval=max_iters + 1)
param_scheduler = [
    _base_.param_scheduler[0],
    dict(_base_.param_scheduler[1], end=max_iters, T_max=max_iters),
]
val_cfg = None
val_dataloader = None
val_evaluator = None
test_dataloader = dict(**_loader, dataset=dict(pipeline=_base_.val_pipeline))
# Depthwise convolutions are faster so, also in float32.
default_hooks = dict(
    checkpoint=dict(by_epoch=False, interval=400), channels_last=dict(enabled=True)
)
log_processor = dict(by_epoch=False)
