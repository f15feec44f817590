# Subject Protocol 2: train S1, 5, 6, 7, 8, 9, test S11 (PA MPJPE).
_base_ = './posenet_h36m_mcpc_r50.py'
train_dataloader = dict(
    dataset=dict(
        datasets=[
            dict(_base_.h36m_train, protocol=2, pipeline=_base_.h36m_read),
            *_base_.datasets_2d,
        ]
    )
)
val_dataloader = dict(dataset=dict(protocol=2))
test_dataloader = val_dataloader
