# RootNet, shrunk to two minutes on two processor cores: smaller pictures, maps, network and
# schedule.
_base_ = '../root_muco_r50.py'

codec = dict(_base_.codec, input_size=(96, 96), heatmap_size=(24, 24))
_changes = dict(
    PersonTopdownAffine=dict(input_size=codec['input_size']),
    GenerateTarget=dict(encoder=codec),
    PersonRandomBBoxTransform=dict(scale=0.0, rotate_prob=0.0),
)
train_pipeline = [dict(step, **_changes.get(step['type'], {})) for step in _base_.train_pipeline]
val_pipeline = [dict(step, **_changes.get(step['type'], {})) for step in _base_.val_pipeline]

model = dict(
    backbone=dict(depth=18, init_cfg=None),
    head=dict(
        in_channels=512,
        heatmap_size=codec['heatmap_size'],
        deconv_out_channels=(128, 128, 128),
        # As in posenet_h36m_r18.py: sharper logits get a short training going.
        logit_scale=10.0,
        loss=dict(depth_unit=50.0),  # else 560 steps go to the depth alone
        decoder=codec,
    ),
)
# MuCo alone: pictures of COCO say nothing of depth, and half of so few samples is too many.
train_dataloader = dict(
    _delete_=True,
    batch_size=16,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(_base_.muco_train, pipeline=train_pipeline),
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
