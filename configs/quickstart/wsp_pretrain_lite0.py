# The pair pre-training in three minutes on one processor core: EfficientNet-Lite0 from ImageNet,
# smaller images and schedule, the same code.
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/datasets/mcpc.py',
    '../_base_/pipelines/pair_128.py',
    '../_base_/models/wsp_lite0_stride16.py',
    '../_base_/schedules/quickstart.py',
]
model = dict(head=dict(decoder=_base_.codec))
# More than the finetunings have: here the keypoints are learned.
max_iters = 600
train_cfg = dict(max_iters=max_iters, val_interval=max_iters + 1)
param_scheduler = [
    _base_.param_scheduler[0],
    dict(_base_.param_scheduler[1], end=max_iters, T_max=max_iters),
]
# The mean over a box of features times a narrow peak is small, so the layers that read it need
# larger steps to learn in so few.
optim_wrapper = dict(paramwise_cfg=dict(custom_keys={'depth_': dict(lr_mult=3.0)}))
# Loading in the training process: a worker would only take turns with the threads that compute.
_loader = dict(num_workers=0, persistent_workers=False)
train_dataloader = dict(**_loader, batch_size=16, dataset=dict(pipeline=_base_.train_pipeline))
val_dataloader = dict(**_loader, dataset=dict(pipeline=_base_.val_pipeline))
test_dataloader = val_dataloader
# Depthwise convolutions are faster so, also in float32.
default_hooks = dict(
    checkpoint=dict(by_epoch=False, interval=50),
    channels_last=dict(enabled=True),
    logger=dict(interval=20),
)
log_processor = dict(by_epoch=False)
