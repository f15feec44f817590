# WSP: posenet_h36m_mpii_r50.py from the pair pre-training's backbone, nothing else. Table 5 and its
# family. The checkpoint: --cfg-options pretrained=work_dirs/wsp_pretrain_r50/epoch_50.pth
_base_ = './posenet_h36m_mpii_r50.py'
model = dict(init_cfg=dict(type='PretrainedParts', parts=('backbone',), checkpoint=None))
plain_options = dict(pretrained=['model.init_cfg.checkpoint'])
