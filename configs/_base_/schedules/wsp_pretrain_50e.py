# The paper's schedule: Adam 1e-3, x0.1 at epochs 30 and 40 of 50; the rate belongs to 2 GPUs x 32
# pairs.
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=50, val_interval=5)
val_cfg = dict()
test_cfg = dict()
# bfloat16 where the device computes in it, else float32 (`--cfg-options
# optim_wrapper.enabled=False`); the weights and their updates are float32 either way
optim_wrapper = dict(
    type='BFloat16OptimWrapper', enabled='auto', optimizer=dict(type='Adam', lr=1e-3, fused=True)
)
param_scheduler = [
    dict(type='MultiStepLR', by_epoch=True, begin=0, end=50, milestones=[30, 40], gamma=0.1),
]
auto_scale_lr = dict(base_batch_size=64)
