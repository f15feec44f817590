# Person detector: RTMDet with EfficientNet-Lite0 on the photo world, in 20 minutes on one processor
# core.
_base_ = ['../detectors/rtmdet_tiny_person.py', '../_base_/models/lite0.py']

_bn = dict(type='BN')
model = dict(
    test_cfg=dict(nms=dict(type='nms', iou_threshold=0.5)),
    data_preprocessor=dict(
        **_base_.lite0_preprocessor, bgr_to_rgb=True, batch_augments=None, _delete_=True,
        type='DetDataPreprocessor', pad_size_divisor=32,
    ),
    backbone=dict(
        _delete_=True,
        **{**_base_.lite0, 'type': 'mmpose.TimmBackbone', 'out_indices': (3, 4)},
        frozen_depthwise=True,
    ),
    # No level of stride 8: three quarters of the cost. Small persons are found in larger images.
    neck=dict(in_channels=[112, 320], out_channels=64, norm_cfg=_bn),
    bbox_head=dict(
        in_channels=64,
        feat_channels=64,
        norm_cfg=_bn,
        anchor_generator=dict(type='MlvlPointGenerator', offset=0, strides=[16, 32]),
    ),
)  # fmt: skip
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='RandomResize', scale=(384, 384), ratio_range=(0.4, 1.7), keep_ratio=True),
    dict(type='RandomCrop', crop_size=(320, 320), allow_negative_crop=True),
    dict(type='RandomFlip', prob=0.5),
    # Against the textures of rendered images.
    dict(type='mmpose.RandomFilter', prob=0.3),
    dict(type='mmpose.RandomPhotoEffects'),
    dict(type='Pad', size=(320, 320), pad_val=dict(img=(114, 114, 114))),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(448, 448), keep_ratio=True),
    dict(type='Pad', size_divisor=32, pad_val=dict(img=(114, 114, 114))),
    dict(type='LoadAnnotations', with_bbox=True),
    # The ground truth comes with the samples ('instances'), and is not read from a second place.
    dict(
        type='PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor', 'instances'),
    ),
]
_loader = dict(num_workers=0, persistent_workers=False, pin_memory=False)
_data = dict(data_root='{{$WSP_DATA:data/}}')
train_dataloader = dict(
    **_loader,
    batch_size=16,
    sampler=dict(_delete_=True, type='InfiniteSampler', shuffle=True),
    dataset=dict(
        **_data,
        ann_file='coco/annotations/person_keypoints_train2017.json',
        data_prefix=dict(img='coco/train2017/'),
        filter_cfg=dict(filter_empty_gt=False),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    **_loader,
    batch_size=8,
    dataset=dict(
        **_data,
        ann_file='coco/annotations/person_keypoints_val2017.json',
        data_prefix=dict(img='coco/val2017/'),
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=None)  # it takes the ground truth from the samples
test_evaluator = val_evaluator

max_iters = 1100
train_cfg = dict(
    _delete_=True, type='IterBasedTrainLoop', max_iters=max_iters, val_interval=max_iters
)
optim_wrapper = dict(
    type='mmpose.BFloat16OptimWrapper',
    enabled='auto',
    optimizer=dict(lr=1.5e-3),
    paramwise_cfg=dict(custom_keys={'backbone': dict(lr_mult=0.3)}),
    clip_grad=dict(max_norm=35.0),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=100),
    dict(
        type='CosineAnnealingLR',
        by_epoch=False,
        begin=0,
        end=max_iters,
        T_max=max_iters,
        eta_min=1e-5,
    ),
]
default_hooks = dict(
    checkpoint=dict(by_epoch=False, interval=200, max_keep_ckpts=2), logger=dict(interval=20)
)
log_processor = dict(by_epoch=False)
# EMA: the mean over about the last hundred iterations.
custom_hooks = [
    dict(
        type='EMAHook',
        ema_type='ExpMomentumEMA',
        momentum=0.01,
        gamma=50,
        update_buffers=True,
        priority=49,
    ),
    dict(type='mmpose.ChannelsLastHook', enabled=True),
    dict(type='mmpose.RunInfoHook'),
    dict(type='mmpose.PublishedWeightsHook'),
]
randomness = dict(seed=0)
