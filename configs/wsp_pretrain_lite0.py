# EfficientNet-Lite0 of timm: another backbone is its name and the head's in_channels.
_base_ = './wsp_pretrain_r50.py'
model = dict(
    data_preprocessor=dict(mean=[127.5, 127.5, 127.5], std=[127.5, 127.5, 127.5]),  # its weights'
    backbone=dict(
        _delete_=True,
        type='TimmBackbone',
        model_name='tf_efficientnet_lite0',
        init_cfg=dict(type='EfficientNetLite0Weights'),  # ImageNet, without a download
    ),
    head=dict(in_channels=320),
)
