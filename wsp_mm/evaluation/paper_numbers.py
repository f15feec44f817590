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
