# Heatmaps only (alpha = 0).
_base_ = './wsp_pretrain_r18.py'
model = dict(head=dict(alpha=0.0))
