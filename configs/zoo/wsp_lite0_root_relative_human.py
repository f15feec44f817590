# Root depth on Relative Human (docs/evaluate.md), whose layers people annotated: test only. The set
# has no cameras: all are taken to see 60 degrees.
_base_ = './wsp_lite0_root.py'

_file = dict(ann_file='relative_human/test_annots.npz', data_root='{{$WSP_DATA:data/}}')
test_dataloader = dict(
    dataset=dict(
        _delete_=True,
        **_file,
        type='RelativeHumanDataset',
        item='person',
        data_prefix=dict(img='relative_human/images'),
        test_mode=True,
        pipeline=_base_.val_pipeline,
    ),
)
test_evaluator = dict(_delete_=True, type='PCDR', **_file)
