# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Figures that the paper prints, to stand beside ours."""

RD_COLUMNS = ('AUC', 'Acc', 'P', 'R', 'F1')

# Scale gap -> percent, in the order of RD_COLUMNS.
TABLE_2 = {
    1.0: (95.39, 88.03, 88.04, 88.04, 88.04),
    0.5: (94.89, 87.29, 87.29, 87.30, 87.29),
    0.3: (92.78, 84.62, 84.67, 84.59, 84.63),
    0.1: (90.34, 81.66, 81.69, 81.62, 81.65),
}
TABLE_3 = {
    1.0: (93.72, 85.70, 85.66, 85.70, 85.68),
    0.5: (92.92, 84.63, 84.64, 84.63, 84.63),
    0.3: (90.21, 81.56, 81.50, 81.67, 81.58),
    0.1: (87.89, 79.00, 78.96, 79.03, 79.00),
}

# Table 4, mm. "Joints Avg" is in every row, within rounding, the length of the vector (X, Y, Z) of
# mean axis errors: AxisNorm of pose3d_scores, no mean of distances. Row 4 prints 47.5 where the
# text says 48.7.
TABLE_4_COLUMNS = ('Action Avg', 'Joints Avg', 'X', 'Y', 'Z')
TABLE_4 = {
    ('PoseNet', 'HM36'): (67.5, 59.9, 22.0, 24.1, 50.2),
    ('WSP', 'HM36'): (54.3, 47.6, 17.4, 18.7, 40.2),
    ('PoseNet', 'HM36+MCPC'): (52.9, 47.7, 18.8, 18.3, 39.9),
    ('WSP', 'HM36+MCPC'): (47.5, 42.3, 16.3, 16.1, 35.5),
}
# Averages of WSP's rows of tables 5 (both are action averages) and 8, mm.
TABLE_5_AVERAGE = {'MPJPE': 43.2, 'PA-MPJPE': 28.2}
# Table 8, mm: trained on the action named, tested on all. The title says PA MPJPE, the text MPJPE.
TABLE_8 = {
    'Directions': 84.8,
    'Discussion': 70.3,
    'Eating': 64.4,
    'Greeting': 78.6,
    'Phoning': 60.4,
    'Photo': 72.5,
    'Posing': 76.9,
    'Purchases': 68.7,
    'Sitting': 75.8,
    'SittingDown': 60.0,
    'Smoking': 77.0,
    'Waiting': 81.7,
    'WalkDog': 82.2,
    'Walking': 73.1,
    'WalkTogether': 93.0,
}

# Table 6: 3DPCK at 150 mm on MuPoTS-3D, percent -> backbone, category, All, Matched (None: not
# printed).
TABLE_6 = {
    'LCR-Net': ('VGG16', 'top-down', 53.8, 62.4),
    'LCR-Net++': ('ResNet50', 'top-down', 70.6, 74.0),
    'HG-RCNN': ('ResNet50', 'top-down', 71.3, 74.2),
    'HMOR': ('ResNet50', 'top-down', None, 82.0),
    'PoseNet': ('ResNet50', 'top-down', 81.8, 82.5),
    'ORPM': ('ResNet50', 'bottom-up', 65.0, 69.8),
    'XNect': ('SelecSLSNet', 'bottom-up', 70.4, 75.8),
    'SMAP': ('Hourglass', 'bottom-up', 73.5, 80.5),
    'WSP': ('ResNet50', 'top-down', 82.4, 83.2),
}
# Table 7: the same at several thresholds, networks on ResNet-18. The values of All at 130 mm lie
# far below the line through their neighbours; the differences that the paper prints beside them fit
# them, so they stay.
TABLE_7_MM = (100, 110, 120, 130, 140, 150)
TABLE_7 = {
    ('PoseNet', 'All'): (57.6, 63.1, 68.1, 70.4, 76.0, 79.0),
    ('WSP', 'All'): (59.5, 65.1, 69.9, 71.9, 77.2, 80.1),
    ('PoseNet', 'Matched'): (58.6, 64.2, 69.4, 73.8, 77.5, 80.5),
    ('WSP', 'Matched'): (60.2, 65.9, 70.7, 74.7, 78.2, 81.2),
}
