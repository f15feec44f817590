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

# Table 4, mm. "Joints Avg" is in every row, within rounding, the length of the vector (X, Y, Z) of mean axis
# errors: AxisNorm of pose3d_scores, no mean of distances. Row 4 prints 47.5 where the text says 48.7.
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
