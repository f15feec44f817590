# MCPC (paper, section 3.2): pairs of persons; RD protocol 1 on its fixed test pairs.
data_mode = 'topdown'
data_root = '{{$WSP_DATA:data/}}'

train_dataloader = dict(
    batch_size=32,
    num_workers=4,
    persistent_workers=True,
    pin_memory=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='MCPCDataset',
        item='pair',
        data_root=data_root,
        ann_file='mcpc/mcpc_train.json',
        data_prefix=dict(
            coco='coco', mpii='mpii', posetrack18='posetrack18', crowdpose='crowdpose'
        ),
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
        type='MCPCDataset',
        item='pair',
        data_root=data_root,
        ann_file='mcpc/mcpc_test.json',
        data_prefix=dict(
            coco='coco', mpii='mpii', posetrack18='posetrack18', crowdpose='crowdpose'
        ),
        test_mode=True,
    ),
)
test_dataloader = val_dataloader

val_evaluator = [dict(type='RelativeDepthMetric'), dict(type='PairPCKMetric')]
test_evaluator = val_evaluator
