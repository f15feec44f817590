# As quickstart.py, in iterations of 32 samples.
_base_ = './quickstart.py'

max_iters = 1600
train_cfg = dict(max_iters=max_iters, val_interval=max_iters + 1)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.05, by_epoch=False, begin=0, end=100),
    dict(
        type='CosineAnnealingLR',
        by_epoch=False,
        begin=0,
        end=max_iters,
        T_max=max_iters,
        eta_min=1e-6,
    ),
]
auto_scale_lr = dict(base_batch_size=32)
