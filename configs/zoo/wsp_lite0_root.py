# Root depth: RootNet with EfficientNet-Lite0 on the photo world, in ten minutes on one processor
# core; its backbone starts from a network that ends at stride 32, too, such as the order network
# (`model.init_cfg.checkpoint`).
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/datasets/muco.py',
    '../_base_/pipelines/root_photo_128.py',
    '../_base_/models/root_lite0.py',
    '../_base_/schedules/zoo.py',
]
model = dict(
    init_cfg=dict(type='PretrainedParts', parts=('backbone',), checkpoint=None),
    backbone=dict(init_cfg=None),
    head=dict(
        # The pose network says where the root is; without deconvolutions the file is small.
        deconv_out_channels=(),
        deconv_kernel_sizes=(),
        decoder=_base_.codec,
    ),
)
_loader = dict(num_workers=0, persistent_workers=False)
train_dataloader = dict(
    _delete_=True,
    **_loader,
    batch_size=32,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        _base_.muco_train,
        data_prefix=dict(img=''),
        use_visibility=True,
        root_range_mm=(1500.0, 25000.0),
        pipeline=_base_.train_pipeline,
    ),
)
val_cfg = None
val_dataloader = None
val_evaluator = None
test_dataloader = dict(**_loader, dataset=dict(pipeline=_base_.val_pipeline))
test_evaluator = dict(type='RootDepthMetric')
train_cfg = dict(max_iters=500, val_interval=501)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.05, by_epoch=False, begin=0, end=50),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=0, end=500, T_max=500, eta_min=1e-6),
]
# Depthwise convolutions are faster so, also in float32.
default_hooks = dict(
    checkpoint=dict(by_epoch=False, interval=400), channels_last=dict(enabled=True)
)
log_processor = dict(by_epoch=False)
