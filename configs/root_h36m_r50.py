# RootNet on Human3.6M alone (RootNet's own published figures add MPII's pictures for the 2D part).
_base_ = [
    './_base_/default_runtime.py',
    './_base_/datasets/root_h36m.py',
    './_base_/models/root_r50.py',
    './_base_/schedules/finetune_25e.py',
]
model = dict(head=dict(decoder=_base_.codec))
