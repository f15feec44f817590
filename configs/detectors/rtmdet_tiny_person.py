# As rtmdet_m_person.py, the smallest of mmdet's: for processors, and the base of quickstart's
# detector. mmdet's 80-class weights of this size go with mmdet's own config of it:
# https://download.openmmlab.com/mmdetection/v3.0/rtmdet/rtmdet_tiny_8xb32-300e_coco/rtmdet_tiny_8xb32-300e_coco_20220902_112414-78e30dcc.pth
_base_ = 'mmdet::rtmdet/rtmdet_tiny_8xb32-300e_coco.py'
custom_imports = dict(imports=['wsp_mm.register'], allow_failed_imports=False)

metainfo = dict(classes=('person',), palette=[(220, 20, 60)])
model = dict(
    bbox_head=dict(num_classes=1),
    test_cfg=dict(
        nms_pre=1000, score_thr=0.05, nms=dict(type='nms', iou_threshold=0.6), max_per_img=100
    ),
)
train_dataloader = dict(dataset=dict(metainfo=metainfo))
val_dataloader = dict(dataset=dict(metainfo=metainfo))
test_dataloader = val_dataloader
# what wsp_mm's own configs do: git revision in the checkpoints, a file of weights alone beside each
custom_hooks = [
    *_base_.custom_hooks,
    dict(type='mmpose.RunInfoHook'),
    dict(type='mmpose.PublishedWeightsHook'),
]
