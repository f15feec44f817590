# The order network on Relative Human.
_base_ = ['./wsp_pretrain_r50.py', './_base_/datasets/relative_human.py']

val_dataloader = dict(
    dataset=dict(_delete_=True, **_base_.relative_human, item='pair', pipeline=_base_.val_pipeline),
)
test_dataloader = val_dataloader
val_evaluator = [
    dict(type='PCDR', **_base_.relative_human_file),
    dict(type='RelativeDepthMetric'),
]
test_evaluator = val_evaluator
