# MuCo-3DHP for the root joint, mixed half and half with COCO, whose pictures teach its place alone;
# tested on MuPoTS-3D.
_base_ = './muco.py'
_codec = dict(
    type='RootDepthLabel', joint_set='muco21', input_size=(256, 256), heatmap_size=(64, 64)
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

# RootNet's choice of persons.
_muco, *_others = _base_.train_dataloader.dataset.datasets
muco_train = dict(_muco, use_visibility=True, root_range_mm=(1500.0, 7500.0))
train_dataloader = dict(dataset=dict(datasets=[muco_train, *_others], pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = val_dataloader
# AP_root of all of MuPoTS-3D; with its labelled boxes, which are the default, also MRPE. Detected
# boxes:
# `--cfg-options boxes=FILE`.
val_evaluator = dict(
    _delete_=True,
    type='RootDepthMetric',
    joint_set='muco21',
    data_root=_base_.data_root,
    ann_file='mupots/MuPoTS-3D.json',
    sequences_dir='mupots/MultiPersonTestSet',
)
test_evaluator = val_evaluator
