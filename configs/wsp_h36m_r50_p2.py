# Subject Protocol 2: train S1, 5, 6, 7, 8, 9, test S11 (PA MPJPE).
_base_ = './wsp_h36m_r50.py'
train_dataloader = dict(dataset=dict(protocol=2))
val_dataloader = dict(dataset=dict(protocol=2))
test_dataloader = val_dataloader
