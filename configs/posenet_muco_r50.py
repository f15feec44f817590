# PoseNet, the baseline: ResNet-50 with ImageNet weights, MuCo-3DHP mixed half and half with COCO.
# Tables 6 and 7.
_base_ = [
    './_base_/default_runtime.py',
    './_base_/datasets/muco.py',
    './_base_/pipelines/pose3d_256.py',
    './_base_/models/integral3d_r50.py',
    './_base_/schedules/finetune_25e.py',
]
model = dict(head=dict(out_channels=21, decoder=_base_.codec))
train_dataloader = dict(dataset=dict(pipeline=_base_.train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=_base_.val_pipeline))
test_dataloader = val_dataloader
