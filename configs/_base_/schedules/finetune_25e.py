# The paper family's schedule: Adam 1e-3, x0.1 at epochs 17 and 21 of 25; the rate belongs to 2 GPUs
# x 32 samples.
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=25, val_interval=5)
val_cfg = dict()
test_cfg = dict()
# bfloat16 where the device computes in it, else float32 (`--cfg-options
# optim_wrapper.enabled=False`); the weights and their updates are float32 either way
optim_wrapper = dict(
    type='BFloat16OptimWrapper', enabled='auto', optimizer=dict(type='Adam', lr=1e-3, fused=True)
)
param_scheduler = [
    dict(type='MultiStepLR', by_epoch=True, begin=0, end=25, milestones=[17, 21], gamma=0.1),
]
auto_scale_lr = dict(base_batch_size=64)
