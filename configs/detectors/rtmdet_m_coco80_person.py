# mmdet's RTMDet-m as it is, for the weights that mmdet publishes:
# https://download.openmmlab.com/mmdetection/v3.0/rtmdet/rtmdet_m_8xb32-300e_coco/rtmdet_m_8xb32-300e_coco_20220719_112220-229f527c.pth
# It knows COCO's 80 classes; tools/detect_persons.py and the inferencer pick the class person by
# its name.
_base_ = 'mmdet::rtmdet/rtmdet_m_8xb32-300e_coco.py'
custom_imports = dict(imports=['wsp_mm.register'], allow_failed_imports=False)

model = dict(
    test_cfg=dict(
        nms_pre=1000, score_thr=0.05, nms=dict(type='nms', iou_threshold=0.6), max_per_img=100
    )
)
custom_hooks = [
    *_base_.custom_hooks,
    dict(type='mmpose.RunInfoHook'),
    dict(type='mmpose.PublishedWeightsHook'),
]
