# RootNet: ResNet-50 with ImageNet weights, MuCo-3DHP mixed half and half with COCO, whose images
# teach the place of the root alone. It gives Tables 6 and 7 their roots.
_base_ = [
    './_base_/default_runtime.py',
    './_base_/datasets/muco.py',
    './_base_/pipelines/root_256.py',
    './_base_/models/root_r50.py',
    './_base_/schedules/finetune_25e.py',
]
model = dict(head=dict(decoder=_base_.codec))
# RootNet's choice of persons.
_muco = dict(_base_.muco_train, use_visibility=True, root_range_mm=(1500.0, 7500.0))
train_dataloader = dict(
    dataset=dict(datasets=[_muco, _base_.train_2d], pipeline=_base_.train_pipeline)
)
val_dataloader = dict(dataset=dict(pipeline=_base_.val_pipeline))
test_dataloader = val_dataloader
# AP_root of all of MuPoTS-3D; with its labelled boxes, which are the default, also MRPE.
val_evaluator = dict(type='RootDepthMetric')
test_evaluator = val_evaluator
