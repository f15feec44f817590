# MuCo-3DHP mixed half and half with COCO; tested on MuPoTS-3D (paper, section 4.1; Tables 6 and 7),
# with ground-truth boxes and root depths unless told otherwise:
# `--cfg-options test_dataloader.dataset.bbox_root_file=FILE`: predicted boxes and root depths
# (tools/predict_roots.py, or RootNet's); `test_dataloader.dataset.boxes_file=FILE`: detected boxes
# (tools/detect_persons.py), root depths by the size of the box.
data_mode = 'topdown'
data_root = '{{$WSP_DATA:data/}}'

muco_train = dict(type='MuCoDataset', data_root=data_root)
train_2d = dict(
    type='CocoPersonDataset',
    data_root=data_root,
    data_mode='topdown',
    ann_file='coco/annotations/person_keypoints_train2017.json',
    data_prefix=dict(img='coco/train2017/'),
    pipeline=[dict(type='ConvertJoints', source='coco17', target='muco21')],
)
train_dataloader = dict(
    batch_size=32,
    num_workers=4,
    persistent_workers=True,
    pin_memory=True,
    sampler=dict(type='HalfHalfSampler', num_3d=1),
    dataset=dict(type='SeededCombinedDataset', joint_set='muco21', datasets=[muco_train, train_2d]),
)
val_dataloader = dict(
    batch_size=32,
    num_workers=4,
    persistent_workers=True,
    pin_memory=True,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
    dataset=dict(
        type='MuPoTSDataset',
        data_root=data_root,
        ann_file='mupots/MuPoTS-3D.json',
        data_prefix=dict(img='mupots/MultiPersonTestSet'),
        joint_set='muco21',
        test_mode=True,
    ),
)
test_dataloader = val_dataloader

# It reads all ground truth itself: a frame in which nobody was detected counts, too.
val_evaluator = dict(
    type='MuPoTS3DPCK',
    data_root=data_root,
    ann_file='mupots/MuPoTS-3D.json',
    sequences_dir='mupots/MultiPersonTestSet',
    joint_set='muco21',
)
test_evaluator = val_evaluator
