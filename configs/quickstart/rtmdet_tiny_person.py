# A person detector for the embedded world, from scratch in minutes on two processor cores: RTMDet
# at 256 px.
_base_ = '../detectors/rtmdet_tiny_person.py'

data_root = 'data/synthetic/'
_size = (256, 256)
_pad = dict(type='Pad', size=_size, pad_val=dict(img=(114, 114, 114)))
_bn = dict(type='BN')
model = dict(
    # Persons are tall in these pictures: no level of stride 8, which would be three quarters of the
    # cost.
    backbone=dict(widen_factor=0.25, out_indices=(3, 4), norm_cfg=_bn, init_cfg=None),
    neck=dict(in_channels=[128, 256], out_channels=64, norm_cfg=_bn),
    bbox_head=dict(
        in_channels=64,
        feat_channels=64,
        norm_cfg=_bn,
        anchor_generator=dict(type='MlvlPointGenerator', offset=0, strides=[16, 32]),
    ),
)
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='RandomResize', scale=_size, ratio_range=(0.75, 1.5), keep_ratio=True),
    dict(type='RandomCrop', crop_size=_size),
    dict(type='YOLOXHSVRandomAug'),
    dict(type='RandomFlip', prob=0.5),
    _pad,
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=_size, keep_ratio=True),
    _pad,
    dict(type='LoadAnnotations', with_bbox=True),
    dict(
        type='PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor', 'instances'),
    ),
]

# Loading in the training process: a worker would only take turns with the threads that compute.
_loader = dict(batch_size=16, num_workers=0, persistent_workers=False, pin_memory=False)
train_dataloader = dict(
    **_loader,
    dataset=dict(
        data_root=data_root,
        ann_file='coco/annotations/person_keypoints_train2017.json',
        data_prefix=dict(img='coco/train2017/'),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    **_loader,
    dataset=dict(
        data_root=data_root,
        ann_file='coco/annotations/person_keypoints_val2017.json',
        data_prefix=dict(img='coco/val2017/'),
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
# The truth comes with the samples ('instances'), so that `data_root=` alone moves everything.
val_evaluator = dict(ann_file=None)
test_evaluator = val_evaluator

train_cfg = dict(max_epochs=24, val_interval=8, dynamic_intervals=None)
optim_wrapper = dict(
    type='mmpose.BFloat16OptimWrapper', optimizer=dict(lr=2e-3), clip_grad=dict(max_norm=35.0)
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=80),
    dict(
        type='CosineAnnealingLR',
        eta_min=2e-5,
        begin=0,
        end=24,
        T_max=24,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
]
default_hooks = dict(checkpoint=dict(interval=4, max_keep_ckpts=2), logger=dict(interval=20))
custom_hooks = [
    # The mean over about the last hundred iterations.
    dict(
        type='EMAHook',
        ema_type='ExpMomentumEMA',
        momentum=0.01,
        gamma=50,
        update_buffers=True,
        priority=49,
    ),
    dict(type='mmpose.ChannelsLastHook'),
    *[hook for hook in _base_.custom_hooks if hook['type'].startswith('mmpose.')],
]
randomness = dict(seed=0)
