# Human3.6M mixed half and half with MCPC, which gives 2D supervision (the paper's MTS, section
# 4.4).
_base_ = './h36m_image.py'
data_root = _base_.data_root
datasets_2d = [
    dict(
        type='MCPCDataset',
        item='person',
        data_root=data_root,
        ann_file='mcpc/mcpc_train.json',
        pipeline=[dict(type='ConvertJoints', source='mcpc16', target='h36m18')],
    ),
]
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
        datasets=[dict(**_base_.h36m_train, pipeline=_base_.h36m_read), *datasets_2d],
        pipeline=_base_.train_pipeline,
    ),
)
plain_options = dict(
    _delete_=True,
    action=['train_dataloader.dataset.datasets.0.actions'],
    crop_cache=['train_dataloader.dataset.datasets.0.pipeline.0.crop_cache'],
)
