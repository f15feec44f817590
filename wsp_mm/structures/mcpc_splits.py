# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Which of a source's splits MCPC takes for its own two (no source but CrowdPose publishes labels
for its test set).
"""

MCPC_SPLITS = {
    'train': {
        'coco': ('train',),
        'mpii': ('train',),
        'posetrack18': ('train',),
        'crowdpose': ('train', 'val'),
    },
    'test': {'coco': ('val',), 'mpii': ('val',), 'posetrack18': ('val',), 'crowdpose': ('test',)},
}
