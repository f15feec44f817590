# Pairs of persons at 128 x 128 px, heatmaps of 32 x 32.
codec = dict(type='PairHeatmapLabel', input_size=(128, 128), heatmap_size=(32, 32), sigma=2.0)
train_pipeline = [
    dict(type='SamplePersonPair', padding=1.25, random_order=True, min_gap_px=0.0),
    # The paper names no augmentation; without some jitter the boxes' places are learned by heart.
    # rotate_factor=180 would hide where "down" is.
    dict(
        type='PairRandomBBoxTransform',
        shift_factor=0.05,
        scale_factor=(0.8, 1.1),
        rotate_factor=0.0,
    ),
    dict(type='LoadCropImage'),
    dict(type='PairRandomFlip', prob=0.5),
    dict(type='PairTopdownAffine', input_size=codec['input_size']),
    dict(type='GenerateTarget', encoder=codec),
    dict(type='PackPairInputs'),
]
val_pipeline = [
    dict(type='SamplePersonPair', padding=1.25, random_order=False, min_gap_px=0.0),
    dict(type='LoadCropImage'),
    dict(type='PairTopdownAffine', input_size=codec['input_size']),
    dict(type='PackPairInputs'),
]
