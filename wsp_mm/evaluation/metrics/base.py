# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""What the metrics share: one small result a test sample, every sample scored once."""

import os.path as osp
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from mmengine.evaluator import BaseMetric

from wsp_mm.datasets.mupots_annotations import MuPoTSGroundTruth, read_mupots

# What a missing field asks for.
_REMEDIES = {
    'pred_instances.keypoints_cam': 'the camera frame needs root_depth, camera_f and camera_c in '
    'the metainfo, and TopdownPoseEstimator3D',
    'pred_instances.root_cam': 'it needs camera_f, camera_c and root_k (RootDepthPrior) in the '
    'metainfo, and TopdownRootEstimator',
}


class SampleMetric(BaseMetric):
    """A metric that collects one result for each test sample, which holds one person or pair.

    Every sample counts once: distributed samplers repeat samples to fill the last batch, and each
    repetition leaves a result.

    Attributes:
        identity: the entry of the results that must be equal in all repetitions of a sample.
    """

    identity = 'gt'

    def result(self, sample: dict) -> dict:
        """What is kept of a data sample.

        Raises:
            KeyError: the sample lacks a field.
            ValueError: a field has a wrong shape or is not finite.
        """
        raise NotImplementedError

    def score(self, results: list[dict]) -> dict[str, float | int]:
        """Scores of all samples' results."""
        raise NotImplementedError

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep one result a sample, also of those that do not count: MMEngine cuts by number."""
        for sample in data_samples:
            key = sample.get('dataset_name'), required(sample, 'id')
            self.results.append({'key': key, **self.result(sample)})

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """All scores as floats, since MMEngine's logs drop integers; MMEngine adds the prefix.

        Raises:
            ValueError: two different samples carry one id.
        """
        unique: dict[tuple, dict] = {}
        for result in results:
            first = unique.setdefault(result['key'], result)
            one, other = (np.asarray(r.get(self.identity)).tobytes() for r in (first, result))
            if one != other:
                raise ValueError(f'two different samples carry the id {result["key"]}')
        return {key: float(value) for key, value in self.score(list(unique.values())).items()}


class FrameMetric(SampleMetric):
    """A metric of predictions in the frames of MuPoTS-3D.

    All ground truth is read from its own files: a frame in which nothing was detected makes no
    sample, and its persons count as missed.

    Args:
        ann_file: 3DMPPE's MuPoTS-3D.json, relative to ``data_root`` or absolute.
        sequences_dir: folder of TS1 to TS20 with annot.mat and occlusion.mat, likewise; None, or
            a folder without any annot.mat: the json's poses are the ground truth.
        data_root: folder that the two are relative to.
        kwargs: as in MMEngine's BaseMetric.
    """

    identity = 'place'

    def __init__(
        self, ann_file: str, sequences_dir: str | None, data_root: str, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.ann_file = osp.join(data_root, ann_file)
        self.sequences_dir = sequences_dir and osp.join(data_root, sequences_dir)

    @cached_property
    def ground_truth(self) -> MuPoTSGroundTruth:
        """All frames; raises what ``read_mupots`` raises."""
        return read_mupots(self.ann_file, self.sequences_dir)

    @cached_property
    def frame_keys(self) -> frozenset[str]:
        """Keys of all frames, such as ``TS1_img_000000``."""
        return frozenset(frame.key for frame in self.ground_truth.frames)

    def place(self, sample: dict) -> tuple[str, int]:
        """Frame of a prediction, and its number there.

        Raises:
            KeyError: the sample lacks them.
            ValueError: the frame is not annotated.
        """
        frame_key, number = required(sample, 'frame_key'), required(sample, 'det_idx')
        if frame_key not in self.frame_keys:
            raise ValueError(
                f'frame {frame_key!r} of sample {sample["id"]} is not in {self.ann_file}: data set '
                'and metric must read the same file'
            )
        return frame_key, int(number)

    @staticmethod
    def by_frame(results: list[dict]) -> dict[str, list[dict]]:
        """Results of each predicted frame, in the order of their numbers.

        Raises:
            ValueError: two results are the same prediction of the same frame.
        """
        frames: dict[str, list[dict]] = {}
        for result in sorted(results, key=lambda r: r['place']):
            there = frames.setdefault(result['place'][0], [])
            if there and there[-1]['place'] == result['place']:
                raise ValueError(f'two samples are prediction {result["place"]}: check det_idx')
            there.append(result)
        return frames


def stacked(results: list[dict], name: str, shape: tuple[int, ...]) -> np.ndarray:
    """(N, ``shape``) entries ``name`` of N results, which may be none."""
    return np.array([result[name] for result in results]).reshape(-1, *shape)


def _name(sample: dict) -> str:
    return f'sample {sample.get("id")} of {sample.get("img_path")}'


def required(sample: dict, name: str) -> Any:
    """The metainfo ``name`` of a data sample.

    Raises:
        KeyError: it is missing.
    """
    if sample.get(name) is None:
        raise KeyError(f'{_name(sample)} carries no {name}')
    return sample[name]


def field(
    sample: dict, container: str, name: str, shape: tuple[int, ...] | None = None
) -> np.ndarray:
    """``sample[container][name][0]`` as float64: the containers hold one pair or person a sample.

    Args:
        shape: what the result must have; its values must then be finite, too.

    Raises:
        KeyError: the container or the field is missing.
        ValueError: the field does not hold exactly one, or not as ``shape`` says.
    """
    what, where = f'{container}.{name}', _name(sample)
    if name not in sample.get(container, {}):
        raise KeyError(f'the metric needs {what}, {where} has none. {_REMEDIES.get(what, "")}')
    value = sample[container][name]
    value = value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)
    expected = (1, *(value.shape[1:] if shape is None else shape))
    if value.shape != expected:
        raise ValueError(f'{what} of {where} must have shape {expected}, got {value.shape}')
    if shape is not None and not np.isfinite(value).all():
        cause = 'has the training diverged?' if container[0] == 'p' else 'check its annotation'
        raise ValueError(f'{what} of {where} is not finite: {cause}')
    return value[0].astype(np.float64)
