# Order of persons: the pair pre-training with EfficientNet-Lite0 on the photo world, in 45 minutes
# on one processor core.
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/datasets/mcpc.py',
    '../_base_/pipelines/pair_photo_160.py',
    '../_base_/models/wsp_lite0.py',
    '../_base_/schedules/zoo.py',
]
model = dict(
    head=dict(
        # COCO's layout labels neither upper neck (8) nor head top (9).
        pair_joints=(0, 1, 2, 3, 4, 5, 6, 7, 10, 11, 12, 13, 14, 15),
        decoder=_base_.codec,
    ),
)
optim_wrapper = dict(paramwise_cfg=dict(custom_keys={'depth_': dict(lr_mult=3.0)}))
_loader = dict(num_workers=0, persistent_workers=False)
train_dataloader = dict(
    **_loader,
    batch_size=32,
    dataset=dict(pipeline=_base_.train_pipeline),
)
val_dataloader = dict(**_loader, dataset=dict(pipeline=_base_.val_pipeline))
test_dataloader = val_dataloader
# Depthwise convolutions are faster so, also in float32.
default_hooks = dict(
    checkpoint=dict(by_epoch=False, interval=400), channels_last=dict(enabled=True)
)
log_processor = dict(by_epoch=False)
