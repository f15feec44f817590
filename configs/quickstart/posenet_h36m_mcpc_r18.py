# As posenet_h36m_r18.py, mixed half and half with MCPC (MTS): as many iterations, so half as many
# 3D samples.
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/datasets/h36m_mcpc.py',
    '../_base_/pipelines/pose3d_96.py',
    '../_base_/models/integral3d_r18_small.py',
    '../_base_/schedules/quickstart_560it.py',
]
model = dict(head=dict(decoder=_base_.codec))
# Loading in the training process: a worker would only take turns with the threads that compute.
_loader = dict(num_workers=0, persistent_workers=False)
train_dataloader = dict(
    **_loader,
    batch_size=16,
    dataset=dict(pipeline=_base_.train_pipeline),
)
val_dataloader = dict(**_loader, dataset=dict(pipeline=_base_.val_pipeline))
test_dataloader = val_dataloader
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=280))
log_processor = dict(by_epoch=False)
