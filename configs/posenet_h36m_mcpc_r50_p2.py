# Subject Protocol 2: train S1, 5, 6, 7, 8, 9, test S11 (PA MPJPE).
_base_ = './posenet_h36m_mcpc_r50.py'
_h36m = dict(_base_.h36m_train, protocol=2)
train_dataloader = dict(dataset=dict(datasets=[_h36m, _base_.train_2d]))
val_dataloader = dict(dataset=dict(protocol=2))
test_dataloader = val_dataloader
