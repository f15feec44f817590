# RootNet: ResNet-50 with ImageNet weights, MuCo-3DHP mixed half and half with COCO. It gives Tables
# 6 and 7 their roots.
_base_ = [
    './_base_/default_runtime.py',
    './_base_/datasets/root_muco.py',
    './_base_/models/root_r50.py',
    './_base_/schedules/finetune_25e.py',
]
model = dict(head=dict(decoder=_base_.codec))
