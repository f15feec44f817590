# The order network on Relative Human (docs/evaluate.md), whose layers people annotated: test only.
_base_ = './wsp_pretrain_r50.py'

_file = dict(ann_file='relative_human/test_annots.npz', data_root='{{$WSP_DATA:data/}}')
val_dataloader = dict(
    dataset=dict(
        _delete_=True,
        **_file,
        type='RelativeHumanDataset',
        item='pair',
        data_prefix=dict(img='relative_human/images'),
        test_mode=True,
        pipeline=_base_.val_pipeline,
    ),
)
test_dataloader = val_dataloader
val_evaluator = [dict(type='PCDR', **_file), dict(type='RelativeDepthMetric')]
test_evaluator = val_evaluator
