# PoseNet on MuCo and COCO, half and half, shrunk to three minutes on one processor core; tested on
# MuPoTS. What is changed, and why, is that of posenet_h36m_r18.py.
_base_ = '../posenet_muco_r18.py'

codec = dict(_base_.codec, input_size=(96, 96), heatmap_size=(24, 24, 24))
_changes = dict(
    PersonTopdownAffine=dict(input_size=codec['input_size']),
    GenerateTarget=dict(encoder=codec),
    RandomOcclusion=dict(prob=0.0),
    PersonRandomBBoxTransform=dict(scale=0.1, rotate_prob=0.0),
)
train_pipeline = [dict(step, **_changes.get(step['type'], {})) for step in _base_.train_pipeline]
val_pipeline = [dict(step, **_changes.get(step['type'], {})) for step in _base_.val_pipeline]

model = dict(
    backbone=dict(init_cfg=None),
    head=dict(
        heatmap_size=codec['heatmap_size'],
        deconv_out_channels=(128, 128, 128),
        logit_scale=10.0,
        marginal_loss=dict(type='MarginalLoss'),
        decoder=codec,
    ),
)
train_dataloader = dict(
    batch_size=16,
    num_workers=0,
    persistent_workers=False,
    sampler=dict(batch_size=16),
    dataset=dict(pipeline=train_pipeline),
)
val_dataloader = dict(num_workers=0, persistent_workers=False, dataset=dict(pipeline=val_pipeline))
test_dataloader = val_dataloader

train_cfg = dict(_delete_=True, type='IterBasedTrainLoop', max_iters=560, val_interval=560 + 1)
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=280))
log_processor = dict(by_epoch=False)
optim_wrapper = dict(type='BFloat16OptimWrapper', optimizer=dict(type='Adam', lr=1e-3, fused=True))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.02, by_epoch=False, begin=0, end=50),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=0, end=560, T_max=560, eta_min=1e-5),
]
