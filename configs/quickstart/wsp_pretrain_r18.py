# The pair pre-training, shrunk to minutes on two processor cores: smaller pictures, network and
# schedule, the same code. alpha = 1: with 50 the heatmaps stay unlearned for long
# (docs/results.md).
_base_ = '../wsp_pretrain_r18.py'

codec = dict(_base_.codec, input_size=(128, 128), heatmap_size=(32, 32))
_changes = dict(
    PairTopdownAffine=dict(input_size=codec['input_size']), GenerateTarget=dict(encoder=codec)
)
train_pipeline = [dict(step, **_changes.get(step['type'], {})) for step in _base_.train_pipeline]
val_pipeline = [dict(step, **_changes.get(step['type'], {})) for step in _base_.val_pipeline]

model = dict(
    backbone=dict(init_cfg=None),
    # All joints of a pair, not a draw of 8: a thousand iterations are few.
    head=dict(
        deconv_out_channels=(128, 128, 128), num_sampled_joints=None, alpha=1.0, decoder=codec
    ),
)
# Loading in the training process: a worker would only take turns with the two threads that compute.
train_dataloader = dict(
    batch_size=16, num_workers=0, persistent_workers=False, dataset=dict(pipeline=train_pipeline)
)
val_dataloader = dict(num_workers=0, persistent_workers=False, dataset=dict(pipeline=val_pipeline))
test_dataloader = val_dataloader

# A thousand iterations in all. The mean over a box of features times a narrow peak is small, so the
# layers that read it need larger steps to learn in so few.
train_cfg = dict(max_epochs=18, val_interval=9)
default_hooks = dict(checkpoint=dict(interval=3))
optim_wrapper = dict(
    type='BFloat16OptimWrapper',
    optimizer=dict(type='Adam', lr=1.5e-3, fused=True),
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
