# MuCo-3DHP mixed half and half with COCO (paper, section 4.1; Tables 6 and 7).
_base_ = './h36m_image.py'
data_root = _base_.data_root

train_dataloader = dict(
    sampler=dict(
        _delete_=True, type='HalfHalfSampler', batch_size=_base_.train_dataloader.batch_size, num_3d=1
    ),
    dataset=dict(
        _delete_=True,
        type='SeededCombinedDataset',
        joint_set='muco21',
        datasets=[
            dict(type='MuCoDataset', data_root=data_root, pipeline=[]),
            dict(
                type='CocoDataset',
                data_root=data_root,
                data_mode='topdown',
                ann_file='coco/annotations/person_keypoints_train2017.json',
                data_prefix=dict(img='coco/train2017/'),
                pipeline=[dict(type='ConvertJoints', source='coco17', target='muco21')],
            ),
        ],
        pipeline=_base_.train_pipeline,
    ),
)
# The training's own people: this says that the network has learned, not what it can do on others.
val_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='MuCoDataset',
        data_root=data_root,
        test_mode=True,
        pipeline=_base_.val_pipeline,
    )
)
test_dataloader = val_dataloader
val_evaluator = dict(type='MPJPEMetric3D', joint_set='muco21')
test_evaluator = val_evaluator
plain_options = dict(_delete_=True)
