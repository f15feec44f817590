# RootNet in two minutes on two processor cores: smaller images, maps, network and schedule. MuCo
# alone: images of COCO say nothing of depth, and half of so few samples is too many.
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/datasets/muco.py',
    '../_base_/pipelines/root_96.py',
    '../_base_/models/root_lite0_stride16.py',
    '../_base_/schedules/quickstart.py',
]
model = dict(head=dict(decoder=_base_.codec))
# Loading in the training process: a worker would only take turns with the threads that compute.
_loader = dict(num_workers=0, persistent_workers=False)
train_dataloader = dict(
    _delete_=True,
    **_loader,
    batch_size=16,
    sampler=dict(type='DefaultSampler', shuffle=True),
    # RootNet's choice of persons.
    dataset=dict(
        _base_.muco_train,
        use_visibility=True,
        root_range_mm=(1500.0, 7500.0),
        pipeline=_base_.train_pipeline,
    ),
)
val_dataloader = dict(**_loader, dataset=dict(pipeline=_base_.val_pipeline))
test_dataloader = val_dataloader
# AP_root of all of MuPoTS-3D; with its labelled boxes, which are the default, also MRPE.
val_evaluator = dict(type='RootDepthMetric')
test_evaluator = val_evaluator
# Depthwise convolutions are faster so, also in float32.
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=50), channels_last=dict(enabled=True))
log_processor = dict(by_epoch=False)
