# Relative Human, whose depth layers people annotated (docs/evaluate.md): test only.
relative_human_file = dict(
    ann_file='relative_human/test_annots.npz', data_root='{{$WSP_DATA:data/}}'
)
relative_human = dict(
    **relative_human_file,
    type='RelativeHumanDataset',
    data_prefix=dict(img='relative_human/images'),
    test_mode=True,
)
