# The same from a pair pre-training: --cfg-options
# pretrained=work_dirs/quickstart/pretrain/epoch_18.pth (or the 2D-only control's). The deconvs come
# along: nine thousand samples are too few to learn them anew.
_base_ = './posenet_h36m_r18.py'
model = dict(
    init_cfg=dict(
        type='PretrainedParts', parts=('backbone', 'head.deconv_layers'), checkpoint=None
    ),
)
plain_options = dict(pretrained=['model.init_cfg.checkpoint'])
