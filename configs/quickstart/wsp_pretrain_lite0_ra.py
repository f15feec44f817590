# RD protocol 2: the ankles are removed from the test images (Table 3, settings E-H).
_base_ = './wsp_pretrain_lite0.py'
_pipeline = [*_base_.val_pipeline]
_pipeline.insert(-1, dict(type='RemoveAnkles'))
val_dataloader = dict(dataset=dict(pipeline=_pipeline))
test_dataloader = val_dataloader
