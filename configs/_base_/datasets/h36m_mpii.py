# Human3.6M mixed half and half with MPII, which gives 2D supervision (Table 5's family).
_base_ = './h36m_image.py'
data_root = _base_.data_root
datasets_2d = [
    dict(
        type='MpiiDataset',
        data_root=data_root,
        data_mode='topdown',
        ann_file='mpii/annotations/mpii_train.json',
        data_prefix=dict(img='mpii/images/'),
        pipeline=[dict(type='ConvertJoints', source='mpii16', target='h36m18')],
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
