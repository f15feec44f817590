# From ImageNet, in iterations of 16 samples on one processor core. Counted in iterations, so that
# training on a mixture of data sets has exactly as many. A config on top counts its log and its
# checkpoints in iterations, too.
max_iters = 400
train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters, val_interval=max_iters + 1)
val_cfg = dict()
test_cfg = dict()
optim_wrapper = dict(
    type='BFloat16OptimWrapper',
    enabled='auto',
    optimizer=dict(type='AdamW', lr=2e-3, weight_decay=0.01),
    paramwise_cfg=dict(custom_keys={'backbone': dict(lr_mult=0.3)}),
    clip_grad=dict(max_norm=20.0),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.05, by_epoch=False, begin=0, end=30),
    dict(
        type='CosineAnnealingLR',
        by_epoch=False,
        begin=0,
        end=max_iters,
        T_max=max_iters,
        eta_min=1e-5,
    ),
]
auto_scale_lr = dict(base_batch_size=16)
