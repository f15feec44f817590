# MuPoTS-3D, the test of Tables 6 and 7: ground-truth boxes and root depths unless told otherwise.
_base_ = './h36m_image.py'
data_root = _base_.data_root

val_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='MuPoTSDataset',
        data_root=data_root,
        ann_file='mupots/MuPoTS-3D.json',
        data_prefix=dict(img='mupots/MultiPersonTestSet'),
        joint_set='muco21',
        test_mode=True,
        pipeline=_base_.val_pipeline,
    )
)
test_dataloader = val_dataloader
# It reads all ground truth itself: a frame in which nobody was detected counts, too.
val_evaluator = dict(
    _delete_=True,
    type='MuPoTS3DPCK',
    data_root=data_root,
    ann_file='mupots/MuPoTS-3D.json',
    sequences_dir='mupots/MultiPersonTestSet',
    joint_set='muco21',
)
test_evaluator = val_evaluator

# `--cfg-options bbox_root=FILE`: predicted boxes and root depths (tools/predict_roots.py, or RootNet's);
# `boxes=FILE`: detected boxes (tools/detect_persons.py), roots where the size of the box puts them.
_datasets = ['val_dataloader.dataset', 'test_dataloader.dataset']
plain_options = dict(
    _delete_=True,
    bbox_root=[f'{name}.bbox_root_file' for name in _datasets],
    boxes=[f'{name}.boxes_file' for name in _datasets],
)
