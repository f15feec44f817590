# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import os
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[3] / 'tools' / 'experiments'))

CONFIG = """
import os
root = os.environ['WSP_DATA']
h36m = dict(type='H36MImageDataset', data_root=root)
mcpc = dict(type='MCPCDataset', data_root=root, ann_file='mcpc/mcpc_train.json')
train_dataloader = dict(dataset=dict(type='Mixed', datasets=[h36m, mcpc]))
test_dataloader = dict(dataset=h36m)
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=1)
model = dict(init_cfg=dict(type='PretrainedParts', checkpoint=None))
del os
"""
# What the tools leave behind, so that the runner itself is run.
_START = """
import json, pathlib, sys
value = lambda name: pathlib.Path(sys.argv[sys.argv.index(name) + 1])
pathlib.Path('calls.txt').open('a').write(' '.join(sys.argv[1:]) + '\\n')
"""
_TRAIN = "(value('--work-dir') / 'epoch_1.pth').write_text('weights')"
_TEST = """
errors = ('MPJPE', 'PA-MPJPE', 'PA-MPJPE-sim', 'X', 'Y', 'Z', 'AxisNorm')
ends = ('', '_action_mean')
scores = {f'h36m/{e}{end}': 50.0 + i for i, e in enumerate(errors) for end in ends}
value('--out').write_text(json.dumps(scores | {'h36m/MPJPE_action_Posing': None}))
if '--dump' in sys.argv:
    value('--dump').write_text('predictions')
"""
TOOLS = {'train': _TRAIN, 'test': _TEST, 'analysis_tools/mean_pose': _TEST}


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A folder like the checkout's root, the current one, with data, a config and stand-in tools
    that note their arguments.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('WSP_DATA', 'data/')
    files = {f'tools/{name}.py': _START + text for name, text in TOOLS.items()}
    files |= {'config.py': CONFIG, 'data/human36m/arrays/S1.npy': '1', 'wsp.pth': '1'}
    files |= {'data/mcpc/mcpc_train.json': '{}', 'data/mcpc/mcpc_test.json': '{}'}
    for name, text in files.items():
        os.makedirs(os.path.dirname(name) or '.', exist_ok=True)
        Path(name).write_text(text)
    return tmp_path


@pytest.fixture
def calls(checkout):
    """``calls()``: the command lines of the stand-in tools so far."""
    file = checkout / 'calls.txt'
    return lambda: file.read_text().splitlines() if file.exists() else []
