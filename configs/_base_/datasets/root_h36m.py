# Human3.6M for the root joint: its place in the crop, and its depth by the box's prior k
# (docs/paper.md).
_base_ = './h36m_image.py'
_codec = dict(
    type='RootDepthLabel', joint_set='h36m18', input_size=(256, 256), heatmap_size=(64, 64)
)
codec = dict(_delete_=True, **_codec)
_prior = dict(type='RootDepthPrior')

# RootNet's augmentation: no synthetic occlusion, and no scaling, which would change what a box says
# of depth.
train_pipeline = [
    dict(type='ReadPicture'),
    dict(type='PersonCenterScale', padding=1.25),
    _prior,
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='PersonRandomBBoxTransform', scale=0.0),
    dict(type='PersonTopdownAffine', input_size=_codec['input_size']),
    dict(type='ChannelGain', gain=(0.8, 1.2)),
    dict(type='GenerateTarget', encoder=_codec),
    dict(type='PackPose3DInputs'),
]
val_pipeline = [*_base_.val_pipeline[:2], _prior, *_base_.val_pipeline[2:]]

train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(_delete_=True, type='RootDepthMetric', joint_set='h36m18')
test_evaluator = val_evaluator
