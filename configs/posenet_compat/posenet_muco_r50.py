# Weights of the original PoseNet code (tools/model_converters/posenet_to_wsp.py), tested the way
# that code does. Other networks: the converter prints the options to add.
_base_ = '../posenet_muco_r50.py'

model = dict(
    # PoseNet normalises with ImageNet's mean and deviation for values of 0 to 1, but its images
    # have 0 to 255. Its weights know no other input.
    data_preprocessor=dict(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225]),
    backbone=dict(init_cfg=None),
    # It mirrors the second answer back by 64 - 1 - x heatmap px, which shifts the average by 0.375.
    test_cfg=dict(flip_mode='posenet'),
)

# It ignores the orientation that a camera may note in an image.
_load = dict(type='LoadImage', color_type='color_ignore_orientation')
train_dataloader = dict(dataset=dict(pipeline=[_load, *_base_.train_pipeline]))
val_dataloader = dict(dataset=dict(pipeline=[_load, *_base_.val_pipeline]))
test_dataloader = val_dataloader
