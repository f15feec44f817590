# Control: the order network sees flat gray images; boxes and labels stay.
_base_ = './wsp_lite0_order.py'
_pipeline = [*_base_.val_pipeline]
_pipeline.insert(-1, dict(type='GrayImage'))
val_dataloader = dict(dataset=dict(pipeline=_pipeline))
test_dataloader = val_dataloader
