# One person at 256 x 256 px, 3D heatmaps of 64 x 64 x 64, with PoseNet's augmentation
# (docs/paper.md).
codec = dict(
    type='Integral3DLabel',
    input_size=(256, 256),
    heatmap_size=(64, 64, 64),
    depth_range=1000.0,
)
train_pipeline = [
    dict(type='PersonCenterScale', padding=1.25),
    dict(type='PersonRandomBBoxTransform'),
    dict(type='LoadCropImage'),
    dict(type='RandomOcclusion', prob=0.5),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='TopdownAffine', input_size=codec['input_size']),
    dict(type='ChannelGain', gain=(0.8, 1.2)),
    dict(type='GenerateTarget', encoder=codec),
    dict(type='PackPose3DInputs'),
]
val_pipeline = [
    dict(type='PersonCenterScale', padding=1.25),
    dict(type='LoadCropImage'),
    dict(type='TopdownAffine', input_size=codec['input_size']),
    dict(type='PackPose3DInputs'),
]
