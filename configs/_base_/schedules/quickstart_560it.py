# 560 iterations of 16 samples. Counted in iterations, so that training on a mixture of data sets
# has exactly as many. A config on top counts its log and its checkpoints in iterations, too.
train_cfg = dict(type='IterBasedTrainLoop', max_iters=560, val_interval=561)
val_cfg = dict()
test_cfg = dict()
optim_wrapper = dict(
    type='BFloat16OptimWrapper', enabled='auto', optimizer=dict(type='Adam', lr=1e-3, fused=True)
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.02, by_epoch=False, begin=0, end=50),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=0, end=560, T_max=560, eta_min=1e-5),
]
auto_scale_lr = dict(base_batch_size=16)
