# A person detector for the embedded world, from scratch in minutes on two processor cores: RTMDet
# at 256 px.
_base_ = ['../detectors/rtmdet_tiny_person.py', '../_base_/pipelines/detection_256.py']

_bn = dict(type='BN')
model = dict(
    # Persons are tall in these images: no level of stride 8, three quarters of the cost.
    backbone=dict(widen_factor=0.25, out_indices=(3, 4), norm_cfg=_bn, init_cfg=None),
    neck=dict(in_channels=[128, 256], out_channels=64, norm_cfg=_bn),
    bbox_head=dict(
        in_channels=64,
        feat_channels=64,
        norm_cfg=_bn,
        anchor_generator=dict(type='MlvlPointGenerator', offset=0, strides=[16, 32]),
    ),
)
# Loading in the training process: a worker would only take turns with the threads that compute.
_loader = dict(batch_size=16, num_workers=0, persistent_workers=False, pin_memory=False)
_data = dict(data_root='{{$WSP_DATA:data/}}')
train_dataloader = dict(
    **_loader,
    dataset=dict(
        **_data,
        ann_file='coco/annotations/person_keypoints_train2017.json',
        data_prefix=dict(img='coco/train2017/'),
        pipeline=_base_.person_train_pipeline,
    ),
)
val_dataloader = dict(
    **_loader,
    dataset=dict(
        **_data,
        ann_file='coco/annotations/person_keypoints_val2017.json',
        data_prefix=dict(img='coco/val2017/'),
        pipeline=_base_.person_test_pipeline,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=None)  # it takes the ground truth from the samples
test_evaluator = val_evaluator

train_cfg = dict(max_epochs=24, val_interval=8, dynamic_intervals=None)
optim_wrapper = dict(
    type='mmpose.BFloat16OptimWrapper', optimizer=dict(lr=2e-3), clip_grad=dict(max_norm=35.0)
)
_cosine = dict(type='CosineAnnealingLR', by_epoch=True, convert_to_iter_based=True)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=80),
    dict(**_cosine, eta_min=2e-5, begin=0, end=24, T_max=24),
]
default_hooks = dict(checkpoint=dict(interval=4, max_keep_ckpts=2), logger=dict(interval=20))
# EMA: the mean over about the last hundred iterations.
_ema = dict(type='EMAHook', ema_type='ExpMomentumEMA', momentum=0.01, gamma=50, priority=49)
custom_hooks = [
    dict(**_ema, update_buffers=True),
    dict(type='mmpose.ChannelsLastHook'),
    dict(type='mmpose.RunInfoHook'),
    dict(type='mmpose.PublishedWeightsHook'),
]
randomness = dict(seed=0)
