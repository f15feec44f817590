# The root joint at 256 x 256 px: its place in the crop, and its depth by the box's prior k
# (docs/paper.md). RootNet's augmentation: no synthetic occlusion, and no scaling, which would
# change what a box says of depth.
codec = dict(
    type='RootDepthLabel', joint_set='muco21', input_size=(256, 256), heatmap_size=(64, 64)
)
train_pipeline = [
    dict(type='PersonCenterScale', padding=1.25),
    dict(type='RootDepthPrior'),
    dict(type='PersonRandomBBoxTransform', scale=0.0),
    dict(type='LoadCropImage'),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='TopdownAffine', input_size=codec['input_size']),
    dict(type='ChannelGain', gain=(0.8, 1.2)),
    dict(type='GenerateTarget', encoder=codec),
    dict(type='PackPose3DInputs'),
]
val_pipeline = [
    dict(type='PersonCenterScale', padding=1.25),
    dict(type='RootDepthPrior'),
    dict(type='LoadCropImage'),
    dict(type='TopdownAffine', input_size=codec['input_size']),
    dict(type='PackPose3DInputs'),
]
