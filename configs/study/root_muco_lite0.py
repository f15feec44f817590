# As quickstart/root_muco_lite0.py, scored with AP_root, too.
_base_ = '../quickstart/root_muco_lite0.py'
val_evaluator = dict(
    data_root=_base_.data_root,
    ann_file='mupots/MuPoTS-3D.json',
    sequences_dir='mupots/MultiPersonTestSet',
)
test_evaluator = val_evaluator
