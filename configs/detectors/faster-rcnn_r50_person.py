# mmdet's Faster R-CNN (ResNet-50, FPN, multi-scale, one schedule) with the class person alone.
# mmdet publishes weights for it:
# https://download.openmmlab.com/mmdetection/v2.0/faster_rcnn/faster_rcnn_r50_fpn_1x_coco-person/faster_rcnn_r50_fpn_1x_coco-person_20201216_175929-d022e227.pth
# Training starts from mmdet's 80-class weights (`load_from` of the base config, fetched at the
# first run); the last layers differ in shape and start anew.
_base_ = 'mmdet::faster_rcnn/faster-rcnn_r50-caffe_fpn_ms-1x_coco-person.py'
custom_imports = dict(imports=['wsp_mm.register'], allow_failed_imports=False)
# what wsp_mm's own configs do: git revision in the checkpoints, a file of weights alone beside each
custom_hooks = [dict(type='mmpose.RunInfoHook'), dict(type='mmpose.PublishedWeightsHook')]
