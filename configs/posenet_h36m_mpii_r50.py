# PoseNet, the baseline: ResNet-50 with ImageNet weights, Human3.6M mixed half and half with MPII.
# Table 5 and its family, Subject Protocol 1.
_base_ = [
    './_base_/default_runtime.py',
    './_base_/datasets/h36m_mpii.py',
    './_base_/pipelines/pose3d_256.py',
    './_base_/models/integral3d_r50.py',
    './_base_/schedules/finetune_25e.py',
]
model = dict(head=dict(decoder=_base_.codec))
train_dataloader = dict(dataset=dict(pipeline=_base_.train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=_base_.val_pipeline))
test_dataloader = val_dataloader
