# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""A long video takes the memory of a short one."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from wsp_mm.apis.detection import PersonDetector
from wsp_mm.apis.inference.document import read_document
from wsp_mm.apis.inference.run import infer
from wsp_mm.apis.inference.sources import Video
from wsp_mm.apis.inferencer import WSPInferencer

STATUS = Path('/proc/self/status')
#: Between frame 500 and 2,000. To keep the frames alone would take 82 MiB, the records 30.
BOUND = 12 * 2**20


def resident() -> int:
    (line,) = (line for line in STATUS.read_text().splitlines() if line.startswith('VmRSS:'))
    return int(line.split()[1]) * 1024


@pytest.fixture
def detector(tmp_path):
    """A real detector, whose boxes are replaced: with drawn weights it finds anything."""
    spec = importlib.util.spec_from_file_location(
        'detector_fixture', Path(__file__).resolve().parents[2] / 'detector_fixture.py'
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    cfg = module.small_config()
    torch.save(dict(state_dict=module.draw_weights(cfg)), tmp_path / 'w.pth')
    return PersonDetector(cfg, tmp_path / 'w.pth', 'cpu')


class Replaced:
    def __init__(self, detector, boxes):
        self.detector, self.boxes, self.ran = detector, np.array(boxes), 0

    def detect(self, images):
        self.ran += len(self.detector.detect(images))
        return [(self.boxes, np.linspace(0.9, 0.8, len(self.boxes))) for _ in images]


class Watched(Video):
    """A video that looks at the memory when its frames are asked for."""

    at = (500, 2000)

    def frames(self, start=0):
        self.found = []
        for frame in super().frames(start):
            yield frame
            if frame.index + 1 in self.at:
                self.found.append(resident())


@pytest.mark.slow
@pytest.mark.skipif(not STATUS.exists(), reason='memory is measured on Linux only')
def test_memory_is_flat_over_2000_frames(pose, fixture, detector, tmp_path):
    source = Watched(fixture.write_video(tmp_path / 'long.avi', 2000))
    detector = Replaced(detector, fixture.BOXES[:2])
    inferencer = WSPInferencer(
        pose[:2], det=detector, device='cpu', camera=dict(focal=200.0), overlap=True, batch_size=16
    )
    summary = infer(inferencer, source, tmp_path / 'o', scene=False, progress=False)
    assert (summary.complete, summary.frames, summary.persons, detector.ran) == (
        True,
        2000,
        4000,
        2000,
    )
    early, late = source.found
    assert late - early < BOUND, f'{(late - early) / 2**20:.1f} MiB more at frame 2,000 than at 500'
    document = read_document(tmp_path / 'o/inference.json')
    assert [record['frame'] for record in document['frames']] == list(range(2000))
    assert not list((tmp_path / 'o').glob('*part*'))
