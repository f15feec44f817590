# Heatmaps only: the control that tells what relative depth adds to 2D pre-training.
_base_ = './wsp_pretrain_r50.py'
model = dict(head=dict(alpha=0.0))
