# The pose network's second round: from the first one's weights (`load_from`), with random filters
# against the textures of rendered images.
_base_ = './wsp_lite0_pose.py'

_pipeline = [*_base_.train_pipeline]
_pipeline.insert(-4, dict(type='RandomFilter', prob=0.5))  # before the patches
train_dataloader = dict(dataset=dict(pipeline=_pipeline))
optim_wrapper = dict(optimizer=dict(lr=8e-4))
train_cfg = dict(max_iters=700, val_interval=701)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.05, by_epoch=False, begin=0, end=50),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=0, end=700, T_max=700, eta_min=1e-6),
]
