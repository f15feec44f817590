# Control: every test crop is one flat gray. What is still answered was never read from the image.
_base_ = './wsp_pretrain_lite0.py'
_pipeline = [*_base_.val_pipeline]
_pipeline.insert(-1, dict(type='GrayImage'))
val_dataloader = dict(dataset=dict(pipeline=_pipeline))
test_dataloader = val_dataloader
