# PoseNet, the baseline: ResNet-50 with ImageNet weights, Human3.6M mixed half and half with MCPC
# (MTS). Table 4, rows 3 and 4, Subject Protocol 1.
_base_ = [
    './_base_/default_runtime.py',
    './_base_/datasets/h36m_mcpc.py',
    './_base_/models/integral3d_r50.py',
    './_base_/schedules/finetune_25e.py',
]
model = dict(head=dict(decoder=_base_.codec))
custom_hooks = [*_base_.custom_hooks, dict(type='TrainSubjectsHook')]
