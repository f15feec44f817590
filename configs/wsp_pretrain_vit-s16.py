# A plain ViT of timm keeps 1/16 of the input's resolution, so two deconvolutions do.
_base_ = './wsp_pretrain_r50.py'
model = dict(
    data_preprocessor=dict(mean=[127.5, 127.5, 127.5], std=[127.5, 127.5, 127.5]),  # its weights'
    backbone=dict(
        _delete_=True,
        type='TimmBackbone',
        model_name='vit_small_patch16_224',
        img_size=256,
        init_cfg=dict(type='TimmWeights'),  # ImageNet, from timm's hub; or checkpoint=FILE
    ),
    head=dict(in_channels=384, deconv_out_channels=(256, 256), deconv_kernel_sizes=(4, 4)),
)
