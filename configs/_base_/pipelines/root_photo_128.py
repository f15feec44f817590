# The root joint at 128 x 128 px, from rendered images for photographs; no scaling, as in
# root_256.py.
codec = dict(type='RootDepthLabel', joint_set='muco21', input_size=(128, 128), heatmap_size=(4, 4))
train_pipeline = [
    dict(type='PersonCenterScale', padding=1.25),
    dict(type='RootDepthPrior'),
    dict(type='PersonRandomBBoxTransform', scale=0.0, rotation=20.0),
    dict(type='LoadCropImage'),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='TopdownAffine', input_size=codec['input_size']),
    dict(type='RandomPatches', prob=0.3),
    dict(type='RandomPhotoEffects'),
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
