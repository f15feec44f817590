# MuCo-3DHP mixed half and half with COCO; tested on MuPoTS-3D (paper, section 4.1; Tables 6 and 7).
_base_ = './mupots.py'
data_root = _base_.data_root

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
        joint_set='muco21',
        datasets=[
            dict(type='MuCoDataset', data_root=data_root, pipeline=[dict(type='ReadPicture')]),
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
# `--cfg-options crop_cache=DIR`: MuCo's half from tools/dataset_converters/cache_crops.py.
plain_options = dict(crop_cache=['train_dataloader.dataset.datasets.0.pipeline.0.crop_cache'])
