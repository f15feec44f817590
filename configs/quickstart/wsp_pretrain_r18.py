# The pair pre-training in minutes on two processor cores: smaller images, network and schedule, the
# same code.
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/datasets/mcpc.py',
    '../_base_/pipelines/pair_128.py',
    '../_base_/models/wsp_r50.py',
    '../_base_/schedules/wsp_pretrain_50e.py',
]
model = dict(
    backbone=dict(depth=18, init_cfg=None),
    head=dict(
        in_channels=512,
        deconv_out_channels=(128, 128, 128),
        num_sampled_joints=None,  # all joints of a pair: a thousand iterations are few
        alpha=1.0,  # with 50 the heatmaps stay unlearned for long (docs/results.md)
        decoder=_base_.codec,
    ),
)
# Loading in the training process: a worker would only take turns with the two threads that compute.
_loader = dict(num_workers=0, persistent_workers=False)
train_dataloader = dict(**_loader, batch_size=16, dataset=dict(pipeline=_base_.train_pipeline))
val_dataloader = dict(**_loader, dataset=dict(pipeline=_base_.val_pipeline))
test_dataloader = val_dataloader

# A thousand iterations in all. The mean over a box of features times a narrow peak is small, so the
# layers that read it need larger steps to learn in so few.
train_cfg = dict(max_epochs=18, val_interval=9)
default_hooks = dict(checkpoint=dict(interval=3))
optim_wrapper = dict(
    optimizer=dict(lr=1.5e-3),
    paramwise_cfg=dict(custom_keys={'depth_': dict(lr_mult=5.0)}),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=100),
    dict(
        type='CosineAnnealingLR',
        by_epoch=True,
        begin=0,
        end=18,
        T_max=18,
        eta_min=1e-5,
        convert_to_iter_based=True,
    ),
]
auto_scale_lr = dict(base_batch_size=16)
