# As quickstart/wsp_pretrain_lite0.py; the training crops hide what the label can be read from
# without looking at people: turned and warped, so that "lower in the crop" is not "lower in the
# image", and with the legs of some persons hidden. Tests are those of quickstart.
_base_ = '../quickstart/wsp_pretrain_lite0.py'
_pipeline = [*_base_.train_pipeline]
# Before the targets are made.
_pipeline[-2:-2] = [
    dict(type='PairRandomPerspective', prob=0.5, rotate_factor=30.0, distortion=0.1),
    dict(type='RandomHideLegs', prob=0.3),
]
train_dataloader = dict(dataset=dict(pipeline=_pipeline))
