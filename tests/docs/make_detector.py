# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Write detector.py and detector.pth, with drawn weights, that find a few persons per image."""

import inference_fixture
import torch

cfg = inference_fixture.detector_config()
cfg.model.test_cfg.max_per_img = 3
torch.save(dict(state_dict=inference_fixture.detector_weights(cfg)), 'detector.pth')
cfg.dump('detector.py')
