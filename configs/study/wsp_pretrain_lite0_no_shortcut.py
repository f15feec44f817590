# As quickstart/wsp_pretrain_lite0.py; the training crops hide what the label can be read from
# without looking at people: tilted, so that "lower in the crop" is not "lower in the image", and
# half of them without ankles and lower legs. Tests are those of quickstart.
_base_ = '../quickstart/wsp_pretrain_lite0.py'
_pipeline = [*_base_.train_pipeline]
_pipeline[1] = dict(_pipeline[1], rotate_factor=30.0)
_hide = dict(type='RandomApply', prob=0.5, transforms=[dict(type='RemoveAnkles', share=1.6)])
_pipeline.insert(-2, _hide)
train_dataloader = dict(dataset=dict(pipeline=_pipeline))
