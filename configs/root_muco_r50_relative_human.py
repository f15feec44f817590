# Root depth on Relative Human. The set has no cameras: all are taken to see 60 degrees.
_base_ = ['./root_muco_r50.py', './_base_/datasets/relative_human.py']

val_dataloader = dict(
    dataset=dict(
        _delete_=True, **_base_.relative_human, item='person', pipeline=_base_.val_pipeline
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(_delete_=True, type='PCDR', **_base_.relative_human_file)
test_evaluator = val_evaluator
