# Pair pre-training on MCPC, ResNet-50 (paper, sections 3.4 and 4.3.1): Tables 2 and 3, settings
# A-D.
_base_ = [
    './_base_/default_runtime.py',
    './_base_/datasets/mcpc.py',
    './_base_/pipelines/pair_256.py',
    './_base_/models/wsp_r50.py',
    './_base_/schedules/wsp_pretrain_50e.py',
]
model = dict(head=dict(decoder=_base_.codec))
train_dataloader = dict(dataset=dict(pipeline=_base_.train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=_base_.val_pipeline))
test_dataloader = val_dataloader
