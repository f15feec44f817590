# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
default_scope = 'mmpose'
custom_imports = dict(imports=['wsp_mm.register'], allow_failed_imports=False)

# hooks
default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50),
    param_scheduler=dict(type='ParamSchedulerHook'),
    # MMEngine deletes the oldest checkpoint before it writes the new one, and writes it in place: a
    # run that is killed right there still has a whole one to resume from only if more than one is
    # kept.
    checkpoint=dict(type='CheckpointHook', interval=1, max_keep_ckpts=3),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    visualization=dict(type='PoseVisualizationHook', enable=False),
    # convolutions in the layout that 16-bit kernels want, where the step computes in 16 bit
    channels_last=dict(type='ChannelsLastHook', enabled='auto'),
)
custom_hooks = [
    # running means and variances of BatchNorm agree between ranks at the end of every epoch
    dict(type='SyncBuffersHook'),
    # augmentation is a function of (seed, epoch, sample): a resumed run equals an uninterrupted one
    dict(type='ItemSeedHook'),
    # git revision and seed in the log and in every checkpoint
    dict(type='RunInfoHook'),
    # subjects that were trained on, in every checkpoint: tests on them are refused
    dict(type='TrainSubjectsHook'),
    # NAME_weights.pth beside NAME.pth: weights and plain values, which load anywhere without trust
    dict(type='PublishedWeightsHook'),
]

# environment
randomness = dict(seed=0)
env_cfg = dict(
    # crops have one size, so the search for the fastest convolution pays
    cudnn_benchmark=True,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)
backend_args = dict(backend='local')

# log and images
log_processor = dict(type='LogProcessor', window_size=50, by_epoch=True, num_digits=6)
log_level = 'INFO'
vis_backends = [dict(type='LocalVisBackend')]
# MMPose's own, which also draws pairs of persons
visualizer = dict(type='PairLocalVisualizer', vis_backends=vis_backends, name='visualizer')

load_from = None
resume = False
