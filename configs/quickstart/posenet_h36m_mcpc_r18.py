# Mixed half and half with MCPC (MTS): the same iterations as posenet_h36m_r18.py, so half as many
# 3D samples.
_base_ = './posenet_h36m_r18.py'
train_dataloader = dict(
    sampler=dict(
        _delete_=True,
        type='HalfHalfSampler',
        batch_size=_base_.train_dataloader.batch_size,
        num_3d=1,
    ),
    dataset=dict(
        _delete_=True,
        type='SeededCombinedDataset',
        joint_set='h36m18',
        datasets=[
            dict(**_base_.h36m_train, pipeline=_base_.h36m_read),
            dict(
                type='MCPCDataset',
                item='person',
                data_root=_base_.data_root,
                ann_file='mcpc/mcpc_train.json',
                pipeline=[dict(type='ConvertJoints', source='mcpc16', target='h36m18')],
            ),
        ],
        pipeline=_base_.train_pipeline,
    ),
)
plain_options = dict(_delete_=True, action=['train_dataloader.dataset.datasets.0.actions'])
