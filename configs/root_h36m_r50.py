# RootNet on Human3.6M alone (RootNet's own published figures add MPII's images for the 2D part).
_base_ = [
    './_base_/default_runtime.py',
    './_base_/datasets/h36m_image.py',
    './_base_/pipelines/root_256.py',
    './_base_/models/root_r50.py',
    './_base_/schedules/finetune_25e.py',
]
codec = dict(_base_.codec, joint_set='h36m18')
_encode = dict(type='GenerateTarget', encoder=codec)
train_pipeline = [*_base_.train_pipeline[:-2], _encode, _base_.train_pipeline[-1]]

model = dict(head=dict(decoder=codec))
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=_base_.val_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(_delete_=True, type='RootDepthMetric', joint_set='h36m18')
test_evaluator = val_evaluator
