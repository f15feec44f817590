# Heatmaps only (alpha = 0).
_base_ = './wsp_pretrain_lite0.py'
model = dict(head=dict(alpha=0.0))
