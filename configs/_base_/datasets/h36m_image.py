# Human3.6M from images, Subject Protocol 1 (paper, section 4.2): train S1, 5, 6, 7, 8, test S9,
# S11. One action to train on (Cross Action Protocol, Table 8):
# `--cfg-options train_dataloader.dataset.actions="[Walking]"`. (This file is not named h36m.py: run
# from this folder, MMPose would take it for the joint names of its own Human36mDataset.)
data_mode = 'topdown'
data_root = '{{$WSP_DATA:data/}}'

# The annotations are those that tools/dataset_converters/convert_h36m.py writes.
train_dataloader = dict(
    batch_size=32,
    num_workers=4,
    persistent_workers=True,
    pin_memory=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(type='H36MImageDataset', data_root=data_root, protocol=1),
)
val_dataloader = dict(
    batch_size=32,
    num_workers=4,
    persistent_workers=True,
    pin_memory=True,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
    dataset=dict(type='H36MImageDataset', data_root=data_root, protocol=1, test_mode=True),
)
test_dataloader = val_dataloader

val_evaluator = dict(type='MPJPEMetric3D')
test_evaluator = val_evaluator
