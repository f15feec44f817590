# WSP: posenet_muco_r18.py from the pair pre-training's backbone, nothing else.
# The checkpoint: --cfg-options pretrained=work_dirs/wsp_pretrain_r18/epoch_50.pth
_base_ = './posenet_muco_r18.py'
model = dict(init_cfg=dict(type='PretrainedParts', parts=('backbone',), checkpoint=None))
plain_options = dict(pretrained=['model.init_cfg.checkpoint'])
