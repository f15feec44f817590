# Human3.6M mixed half and half with MCPC, which gives 2D supervision (the paper's MTS, section
# 4.4); tested on Human3.6M. See h36m_image.py.
data_mode = 'topdown'
data_root = '{{$WSP_DATA:data/}}'

# The annotations are those that tools/dataset_converters/convert_h36m.py writes.
h36m_train = dict(type='H36MImageDataset', data_root=data_root, protocol=1)
train_2d = dict(
    type='MCPCDataset',
    item='person',
    data_root=data_root,
    ann_file='mcpc/mcpc_train.json',
    pipeline=[dict(type='ConvertJoints', source='mcpc16', target='h36m18')],
)
train_dataloader = dict(
    batch_size=32,
    num_workers=4,
    persistent_workers=True,
    pin_memory=True,
    sampler=dict(type='HalfHalfSampler', num_3d=1),
    dataset=dict(type='SeededCombinedDataset', joint_set='h36m18', datasets=[h36m_train, train_2d]),
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
