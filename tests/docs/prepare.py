# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""What commands of the docs need and no command makes: `prepare.py detector` or `poses`."""

import sys


def detector() -> None:
    """Write detector.py and detector.pth, with drawn weights, that find a few persons an image."""
    import inference_fixture
    import torch

    cfg = inference_fixture.detector_config()
    cfg.model.test_cfg.max_per_img = 3
    torch.save(dict(state_dict=inference_fixture.detector_weights(cfg)), 'detector.pth')
    cfg.dump('detector.py')


def poses() -> None:
    """Make the persons of an untrained network, which are a millimetre tall, as tall as people."""
    from scipy.io import loadmat, savemat

    file = 'work_dirs/mupots/preds_3d_kpt_mupots.mat'
    frames = {name: mm for name, mm in loadmat(file).items() if name.startswith('TS')}
    for name, mm in frames.items():
        if mm.size:
            root = mm[:, 14:15]
            frames[name] = root + 500 * (mm - root)
    savemat(file, frames)


{'detector': detector, 'poses': poses}[sys.argv[1]]()
