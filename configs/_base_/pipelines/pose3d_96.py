# One person at 96 x 96 px, 3D heatmaps of 24 x 24 x 24. Nine thousand samples do not repay strong
# augmentation: flips and a little scaling alone.
codec = dict(
    type='Integral3DLabel',
    input_size=(96, 96),
    heatmap_size=(24, 24, 24),
    depth_range=1000.0,
)
train_pipeline = [
    dict(type='PersonCenterScale', padding=1.25),
    dict(type='PersonRandomBBoxTransform', scale=0.1, rotate_prob=0.0),
    dict(type='LoadCropImage'),
    dict(type='RandomOcclusion', prob=0.0),
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
