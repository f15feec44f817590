# MCPC (paper, section 3.2), pairs of persons at 256 x 256 -> 64 x 64; RD protocol 1 on its fixed
# test pairs.
#
# Another size is five lines in a config that inherits this one (see wsp_pretrain_r50.py for the
# last of them):
#   codec = dict(_base_.codec, input_size=(128, 128), heatmap_size=(32, 32))
#   changes = dict(PairTopdownAffine=dict(input_size=codec['input_size']), GenerateTarget=dict(encoder=codec))
#   train_pipeline = [dict(step, **changes.get(step['type'], {})) for step in _base_.train_pipeline]
#   val_pipeline = [dict(step, **changes.get(step['type'], {})) for step in _base_.val_pipeline]
#   train_dataloader = dict(dataset=dict(pipeline=train_pipeline))   # and so for val and test
#   model = dict(head=dict(decoder=codec))
dataset_type = 'MCPCDataset'
data_mode = 'topdown'
data_root = 'data/synthetic/'

codec = dict(
    type='PairHeatmapLabel',
    input_size=(256, 256),
    heatmap_size=(64, 64),
    sigma=2.0,
    person_channels=False,
    on_device=True,
)

train_pipeline = [
    dict(type='ReadPicture'),
    dict(type='SamplePersonPair', padding=1.25, random_order=True, min_gap_px=0.0),
    dict(type='PairRandomFlip', prob=0.5),
    # The paper names no augmentation; without some jitter the boxes' places are learned by heart.
    # rotate_factor=180 would hide where "down" is.
    dict(
        type='PairRandomBBoxTransform',
        shift_factor=0.05,
        scale_factor=(0.8, 1.1),
        rotate_factor=0.0,
    ),
    dict(type='PairTopdownAffine', input_size=codec['input_size']),
    dict(type='GenerateTarget', encoder=codec),
    dict(type='PackPairInputs'),
]
val_pipeline = [
    dict(type='ReadPicture'),
    dict(type='SamplePersonPair', padding=1.25, random_order=False, min_gap_px=0.0),
    dict(type='PairTopdownAffine', input_size=codec['input_size']),
    dict(type='PackPairInputs'),
]

train_dataloader = dict(
    batch_size=32,
    num_workers=4,
    persistent_workers=True,
    pin_memory=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type=dataset_type,
        item='pair',
        data_root=data_root,
        ann_file='mcpc/mcpc_train.json',
        data_prefix=dict(
            coco='coco', mpii='mpii', posetrack18='posetrack18', crowdpose='crowdpose'
        ),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=32,
    num_workers=4,
    persistent_workers=True,
    pin_memory=True,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
    dataset=dict(
        type=dataset_type,
        item='pair',
        data_root=data_root,
        ann_file='mcpc/mcpc_test.json',
        data_prefix=dict(
            coco='coco', mpii='mpii', posetrack18='posetrack18', crowdpose='crowdpose'
        ),
        test_mode=True,
        pipeline=val_pipeline,
    ),
)
test_dataloader = val_dataloader

val_evaluator = [dict(type='RelativeDepthMetric'), dict(type='PairPCKMetric')]
test_evaluator = val_evaluator
