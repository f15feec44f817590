# The same from a pair pre-training, see wsp_h36m_r18.py.
_base_ = './posenet_h36m_mcpc_r18.py'
model = dict(
    init_cfg=dict(
        type='PretrainedParts', parts=('backbone', 'head.deconv_layers'), checkpoint=None
    ),
)
plain_options = dict(pretrained=['model.init_cfg.checkpoint'])
