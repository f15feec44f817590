# One person at 160 x 160 px, 3D heatmaps of 32 x 40 x 40, from rendered images for photographs.
codec = dict(
    type='Integral3DLabel',
    input_size=(160, 160),
    heatmap_size=(40, 40, 32),
    depth_range=1000.0,
)
train_pipeline = [
    dict(type='PersonCenterScale', padding=1.25),
    dict(type='PersonRandomBBoxTransform', scale=0.2, rotation=20.0),
    dict(type='LoadCropImage'),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='TopdownAffine', input_size=codec['input_size']),
    # Against the textures of rendered images; before the patches.
    dict(type='RandomFilter', prob=0.5),
    dict(type='RandomPatches', prob=0.5),
    dict(type='RandomPhotoEffects'),
    dict(type='GenerateTarget', encoder=codec),
    dict(type='PackPose3DInputs'),
]
val_pipeline = [
    dict(type='PersonCenterScale', padding=1.25),
    dict(type='LoadCropImage'),
    dict(type='TopdownAffine', input_size=codec['input_size']),
    dict(type='PackPose3DInputs'),
]
