# As root_muco_lite0.py from a pair pre-training. The depth is read from the backbone's features, so
# the deconvolutions, which are others here, do not come along. The checkpoint:
# --cfg-options model.init_cfg.checkpoint=FILE
_base_ = './root_muco_lite0.py'
model = dict(init_cfg=dict(type='PretrainedParts', parts=('backbone',), checkpoint=None))
