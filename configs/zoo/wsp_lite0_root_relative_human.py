# Root depth on Relative Human. The set has no cameras: all are taken to see 60 degrees.
_base_ = ['./wsp_lite0_root.py', '../_base_/datasets/relative_human.py']

test_dataloader = dict(
    dataset=dict(
        _delete_=True, **_base_.relative_human, item='person', pipeline=_base_.val_pipeline
    ),
)
test_evaluator = dict(_delete_=True, type='PCDR', **_base_.relative_human_file)
