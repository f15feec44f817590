# WSP: the backbone from the pair pre-training, else as PoseNet. Human3.6M mixed half and half with
# MCPC (MTS). Table 4, rows 3 and 4, Subject Protocol 1.
# The checkpoint:
# --cfg-options model.init_cfg.checkpoint=work_dirs/wsp_pretrain_r50/epoch_50.pth
_base_ = [
    './_base_/default_runtime.py',
    './_base_/datasets/h36m_mcpc.py',
    './_base_/pipelines/pose3d_256.py',
    './_base_/models/integral3d_r50.py',
    './_base_/schedules/finetune_25e.py',
]
model = dict(
    init_cfg=dict(type='PretrainedParts', parts=('backbone',), checkpoint=None),
    head=dict(decoder=_base_.codec),
)
train_dataloader = dict(dataset=dict(pipeline=_base_.train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=_base_.val_pipeline))
test_dataloader = val_dataloader
