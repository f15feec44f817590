# Human3.6M from pictures, Subject Protocol 1 (paper, section 4.2): train S1, 5, 6, 7, 8, test S9,
# S11. (Not named h36m.py: run from this folder, MMPose would take it for the joint names of its own
# Human36mDataset.)
data_mode = 'topdown'
data_root = 'data/synthetic/'

codec = dict(
    type='Integral3DLabel',
    input_size=(256, 256),
    heatmap_size=(64, 64, 64),
    depth_range=1000.0,
)

# PoseNet's augmentation (docs/paper.md).
train_pipeline = [
    dict(type='ReadPicture'),
    dict(type='PersonCenterScale', padding=1.25),
    dict(type='RandomOcclusion', prob=0.5),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='PersonRandomBBoxTransform'),
    dict(type='PersonTopdownAffine', input_size=codec['input_size']),
    dict(type='ChannelGain', gain=(0.8, 1.2)),
    dict(type='GenerateTarget', encoder=codec),
    dict(type='PackPose3DInputs'),
]
val_pipeline = [
    dict(type='ReadPicture'),
    dict(type='PersonCenterScale', padding=1.25),
    dict(type='PersonTopdownAffine', input_size=codec['input_size']),
    dict(type='PackPose3DInputs'),
]

# `layout`: '3dmppe' (json), 'mmpose' (npz and cameras.pkl) or 'index' (tools/dataset_converters/index_h36m.py).
h36m_train = dict(
    type='H36MImageDataset',
    data_root=data_root,
    layout='3dmppe',
    protocol=1,
    actions=None,
)
# In a mixture it reads its frames by itself, so that `crop_cache=DIR` is for them alone.
h36m_read = [dict(type='ReadPicture')]
train_dataloader = dict(
    batch_size=32,
    num_workers=4,
    persistent_workers=True,
    pin_memory=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(**h36m_train, pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=32,
    num_workers=4,
    persistent_workers=True,
    pin_memory=True,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
    dataset=dict(
        type='H36MImageDataset',
        data_root=data_root,
        layout='3dmppe',
        protocol=1,
        test_mode=True,
        pipeline=val_pipeline,
    ),
)
test_dataloader = val_dataloader

val_evaluator = dict(type='MPJPEMetric3D')
test_evaluator = val_evaluator

# `--cfg-options action=Walking`: train on one action, test on all (Cross Action Protocol, Table 8).
# `crop_cache=DIR`: train on crops that tools/dataset_converters/cache_crops.py cut out of the frames.
plain_options = dict(
    action=['train_dataloader.dataset.actions'],
    crop_cache=['train_dataloader.dataset.pipeline.0.crop_cache'],
)
