# Persons to be detected, at 256 x 256 px. (MMDetection's own names for pipelines would meet those
# of its configs.)
_pad = dict(type='Pad', size=(256, 256), pad_val=dict(img=(114, 114, 114)))
person_train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='RandomResize', scale=(256, 256), ratio_range=(0.75, 1.5), keep_ratio=True),
    dict(type='RandomCrop', crop_size=(256, 256)),
    dict(type='YOLOXHSVRandomAug'),
    dict(type='RandomFlip', prob=0.5),
    _pad,
    dict(type='PackDetInputs'),
]
person_test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(256, 256), keep_ratio=True),
    _pad,
    dict(type='LoadAnnotations', with_bbox=True),
    # The ground truth comes with the samples ('instances'), and is not read from a second place.
    dict(
        type='PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor', 'instances'),
    ),
]
