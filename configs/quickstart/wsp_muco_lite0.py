# As posenet_muco_lite0.py from a pair pre-training, that of quickstart or its 2D-only control. The
# deconvolutions come along: a few thousand samples are too few to learn them anew. The checkpoint:
# --cfg-options model.init_cfg.checkpoint=work_dirs/quickstart/pretrain/iter_600.pth
_base_ = './posenet_muco_lite0.py'
model = dict(
    init_cfg=dict(
        type='PretrainedParts', parts=('backbone', 'head.deconv_layers'), checkpoint=None
    ),
)
