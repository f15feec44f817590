# A network of quickstart/posenet_h36m_lite0.py on other people outdoors: MuPoTS, true boxes and
# root depths, joints that both sets have. For tests alone.
_base_ = '../quickstart/posenet_h36m_lite0.py'
val_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='MuPoTSDataset',
        data_root=_base_.data_root,
        ann_file='mupots/MuPoTS-3D.json',
        data_prefix=dict(img='mupots/MultiPersonTestSet'),
        joint_set='h36m18',
        test_mode=True,
        pipeline=_base_.val_pipeline,
    )
)
test_dataloader = val_dataloader
val_evaluator = dict(
    type='MPJPEMetric3D', gt_set='mupots17', per_action=False, prefix='mupots', show_tables=False
)
test_evaluator = val_evaluator
