# Weights of the original PoseNet code (tools/model_converters/posenet_to_wsp.py), tested the way
# that code does. Other networks: the converter prints the options to add.
_base_ = '../posenet_h36m_r50.py'

# PoseNet normalises with ImageNet's mean and deviation for values of 0 to 1, but its pictures have
# 0 to 255. Its weights know no other input.
model = dict(
    data_preprocessor=dict(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225]),
    backbone=dict(init_cfg=None),
    # It mirrors the second answer back by 64 - 1 - x cells, which shifts the average by 0.375
    # cells.
    test_cfg=dict(flip_mode='posenet'),
)

# It ignores the orientation that a camera may note in a picture.
_changes = dict(ReadPicture=dict(color_type='color_ignore_orientation'))
train_pipeline = [dict(step, **_changes.get(step['type'], {})) for step in _base_.train_pipeline]
val_pipeline = [dict(step, **_changes.get(step['type'], {})) for step in _base_.val_pipeline]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = val_dataloader
