# WSP: posenet_h36m_mcpc_r50.py from the pair pre-training's backbone, nothing else. Table 4, rows 3
# and 4. The checkpoint: --cfg-options pretrained=work_dirs/wsp_pretrain_r50/epoch_50.pth
_base_ = './posenet_h36m_mcpc_r50.py'
model = dict(init_cfg=dict(type='PretrainedParts', parts=('backbone',), checkpoint=None))
plain_options = dict(pretrained=['model.init_cfg.checkpoint'])
