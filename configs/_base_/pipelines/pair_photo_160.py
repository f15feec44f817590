# Pairs of persons at 160 x 160 px, heatmaps of 40 x 40, from rendered images for photographs.
codec = dict(type='PairHeatmapLabel', input_size=(160, 160), heatmap_size=(40, 40), sigma=2.0)
train_pipeline = [
    dict(type='SamplePersonPair', padding=1.25, random_order=True, min_gap_px=0.0),
    dict(
        type='PairRandomBBoxTransform',
        shift_factor=0.08,
        scale_factor=(0.75, 1.2),
        rotate_factor=0.0,
    ),
    dict(type='LoadCropImage'),
    dict(type='PairRandomFlip', prob=0.5),
    dict(type='PairTopdownAffine', input_size=codec['input_size']),
    dict(type='RandomPatches', prob=0.5),
    dict(type='RandomPhotoEffects'),
    dict(type='GenerateTarget', encoder=codec),
    dict(type='PackPairInputs'),
]
val_pipeline = [
    dict(type='SamplePersonPair', padding=1.25, random_order=False, min_gap_px=0.0),
    dict(type='LoadCropImage'),
    dict(type='PairTopdownAffine', input_size=codec['input_size']),
    dict(type='PackPairInputs'),
]
