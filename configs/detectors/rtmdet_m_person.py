# mmdet's RTMDet-m with the class person alone: training on COCO's persons, or detection with
# published weights. MMPose publishes such weights (COCO and Objects365, which its owners give for
# academic use alone):
# https://download.openmmlab.com/mmpose/v1/projects/rtmpose/rtmdet_m_8xb32-100e_coco-obj365-person-235e8209.pth
# Weights of mmdet itself know 80 classes: rtmdet_m_coco80_person.py.
_base_ = 'mmdet::rtmdet/rtmdet_m_8xb32-300e_coco.py'
custom_imports = dict(imports=['wsp_mm.register'], allow_failed_imports=False)

metainfo = dict(classes=('person',), palette=[(220, 20, 60)])
model = dict(
    bbox_head=dict(num_classes=1),
    # What a top-down pipeline wants: mmdet's own are for mAP, 300 boxes an image down to a score
    # of 0.001.
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
