# EfficientNet-Lite0 (timm) from ImageNet. Its first stages stay as ImageNet left them: they know
# photographs, and training on rendered images would make them forget.
lite0 = dict(
    type='TimmBackbone',
    model_name='tf_efficientnet_lite0',
    out_indices=(4,),
    frozen_stages=3,
    norm_eval=True,
    init_cfg=dict(type='EfficientNetLite0Weights'),
)
lite0_preprocessor = dict(mean=[127.0, 127.0, 127.0], std=[128.0, 128.0, 128.0])
