# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
from __future__ import annotations

import logging
import os.path as osp
from collections.abc import Sequence
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from mmpose.registry import METRICS

from wsp_mm.evaluation.functional.mupots import JOINT_SET, THRESHOLDS_MM
from wsp_mm.evaluation.metrics.collect import field, sample_key, unique_results
from wsp_mm.evaluation.mupots_files import save_predictions
from wsp_mm.evaluation.mupots_scores import mupots_scores, parse_key, without_details
from wsp_mm.evaluation.mupots_tables import remarks, summary_text
from wsp_mm.structures.keypoints import convert_joints, get_joint_set
from wsp_mm.structures.mupots import MuPoTSTruth, read_mupots


@METRICS.register_module()
class MuPoTS3DPCK(BaseMetric):
    """3DPCK on MuPoTS-3D by the official algorithm, in percent (paper, tables 6 and 7).

    Keys are those of :func:`wsp_mm.evaluation.mupots_scores.mupots_scores` but for the finest:

    ====================================================  ==================================================
    ``mupots/PCK_All``                                    150 mm, all persons annotated; poses relative to the
                                                          pelvis; mean over sequences
    ``mupots/PCK_Matched``                                persons whom a prediction matches
    ``mupots/PCK_All_100`` ... ``mupots/PCK_All_150``     each threshold
    ``mupots/AUC_All``                                    mean over thresholds 0, 5, ..., 150 mm
    ``mupots/PCK_All_Head``                               a group of joints: Head Neck Shou Elbow Wrist Hip Knee
                                                          Ankle
    ``mupots/PCK_All_TS1``                                one sequence
    ``mupots/PCK_All_visible``, ``..._occluded``          joints seen, joints hidden; over
                                                          ``mupots/n_sequences_All_occluded``
                                                          sequences
    ``..._defined``                                       of PCK, each threshold and AUC: mean over the
                                                          sequences in which anybody counts
    ``mupots/abs_PCK_All``                                all of the above for absolute positions
    ``mupots/n_frames``, ``n_persons``, ``n_matched``,    counts; sequences in which nobody counts; frames with
    ``n_predictions``, ``n_sequences``,                   persons and without predictions
    ``n_undefined_Matched``,
    ``n_frames_without_predictions``
    ====================================================  ==================================================

    ``All`` and ``Matched`` stand in each other's place. A sequence in which nobody counts is nan,
    makes nan of the means, and is named in the log.

    The ground truth is not the samples', but read from its own files: a frame in which nothing was
    detected makes no sample, and still counts. Samples that were repeated to fill a last batch
    count once; predictions of a frame are ordered by ``det_idx``, whatever number of processes ran.

    Needs in every data sample: metainfo ``id``, ``frame_key`` (``TS1_img_000000``) and ``det_idx``
    (number of the prediction in its frame); ``pred_instances.keypoints (1, K, 2)`` px and
    ``pred_instances.keypoints_cam (1, K, 3)`` mm, absolute, camera frame.

    Args:
        ann_file: 3DMPPE's MuPoTS-3D.json, relative to ``data_root`` or absolute.
        sequences_dir: folder that TS1 to TS20 with their annot.mat and occlusion.mat are in,
            likewise; None, or a folder without any annot.mat: score against the json's poses, which
            is not the official ground truth (the log says so).
        data_root: folder that the two are relative to.
        joint_set: what the K predicted joints are; it must contain all 17 of MuPoTS-3D.
        thresholds_mm: 3DPCK is given at each.
        absolute: score absolute positions, too. With root depths of the ground truth they mean
            nothing.
        dump_dir: write ``preds_2d_kpt_mupots.mat`` and ``preds_3d_kpt_mupots.mat`` there, every
            frame of the test set in them, for the official script and
            ``tools/analysis_tools/score_mupots.py``.
        show_tables: write the tables to the log.
        collect_device, prefix, collect_dir: as in MMEngine's BaseMetric.

    Raises:
        KeyError: unknown joint set.
        ValueError: the joint set lacks a joint of MuPoTS-3D.
    """

    default_prefix = 'mupots'

    def __init__(
        self,
        ann_file: str = 'mupots/MuPoTS-3D.json',
        sequences_dir: str | None = 'mupots/MultiPersonTestSet',
        data_root: str = '',
        joint_set: str = 'muco21',
        thresholds_mm: Sequence[float] = THRESHOLDS_MM,
        absolute: bool = True,
        dump_dir: str | None = None,
        show_tables: bool = True,
        collect_device: str = 'cpu',
        prefix: str | None = None,
        collect_dir: str | None = None,
    ) -> None:
        super().__init__(collect_device, prefix, collect_dir)
        missing = sorted(
            set(get_joint_set(JOINT_SET).concepts) - set(get_joint_set(joint_set).concepts)
        )
        if missing:
            raise ValueError(f'{joint_set} lacks {", ".join(missing)}, which MuPoTS-3D has')
        self.ann_file = osp.join(data_root, ann_file)
        self.sequences_dir = None if sequences_dir is None else osp.join(data_root, sequences_dir)
        self.joint_set = joint_set
        self.thresholds_mm = tuple(thresholds_mm)
        self.absolute = absolute
        self.dump_dir = dump_dir
        self.show_tables = show_tables
        self._truth: MuPoTSTruth | None = None
        self._keys: frozenset[str] = frozenset()

    def truth(self) -> MuPoTSTruth:
        """The ground truth, read once.

        Raises:
            ValueError: as :func:`wsp_mm.structures.mupots.read_mupots`.
        """
        if self._truth is None:
            self._truth = read_mupots(self.ann_file, self.sequences_dir)
            self._keys = frozenset(frame.key for frame in self._truth.frames)
        return self._truth

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep one small result a sample.

        Raises:
            KeyError: a sample lacks its id, its place or a prediction.
            ValueError: it is of a frame that is not annotated, or its joints have a wrong shape or
                are not finite.
        """
        self.truth()
        for sample in data_samples:
            key, place = sample_key(sample), self._place(sample)
            pose = [
                self._joints(sample, name, dim)
                for name, dim in (('keypoints', 2), ('keypoints_cam', 3))
            ]
            self.results.append(
                dict(key=key, frame_key=sample['frame_key'], place=place, pose=pose)
            )

    def _place(self, sample: dict) -> np.ndarray:
        """Sequence, frame and number of the prediction."""
        for name in ('frame_key', 'det_idx'):
            if sample.get(name) is None:
                raise KeyError(
                    f'sample {sample["id"]} of {sample.get("img_path", "unknown picture")} carries no {name}: '
                    'the data set must give it and the transform that packs it must keep it as metainfo'
                )
        if sample['frame_key'] not in self._keys:
            raise ValueError(
                f'sample {sample["id"]} is of frame {sample["frame_key"]!r}, which is none of the '
                f'{len(self._keys)} of {self.ann_file}: data set and metric must read the same annotation'
            )
        return np.array([*parse_key(sample['frame_key']), int(sample['det_idx'])])

    def _joints(self, sample: dict, name: str, dim: int) -> np.ndarray:
        """MuPoTS-3D's 17 joints of a prediction, (17, dim)."""
        if name == 'keypoints_cam' and name not in sample['pred_instances']:
            raise KeyError(
                f'the prediction of sample {sample["id"]} has no keypoints_cam: the camera frame needs '
                'root_depth, camera_f and camera_c in the metainfo, and TopdownPoseEstimator3D'
            )
        joints = field(sample, 'pred_instances', name)
        expected = (len(get_joint_set(self.joint_set)), dim)
        if joints.shape != expected:
            raise ValueError(
                f'pred_instances.{name} of sample {sample["id"]} must be {(1, *expected)} for '
                f'{self.joint_set}, got {(1, *joints.shape)}'
            )
        if not np.isfinite(joints).all():
            raise ValueError(
                f'pred_instances.{name} of sample {sample["id"]} ({sample.get("img_path", "unknown picture")}) '
                'is not finite: has the training diverged?'
            )
        return convert_joints(joints, np.ones(len(joints)), self.joint_set, JOINT_SET)[0]

    def compute_metrics(self, results: list[dict]) -> dict[str, float | int]:
        """All scores; see the class for the keys (this method leaves the prefix to MMEngine).

        Without any result, no detection was made: persons count as missed, and ``Matched`` is
        undefined.

        Raises:
            ValueError: two samples are the same prediction of the same frame.
        """
        frames: dict[str, dict[int, list]] = {}
        for result in unique_results(results, truth='place'):
            number = int(result['place'][2])
            persons = frames.setdefault(result['frame_key'], {})
            if number in persons:
                raise ValueError(
                    f'two test samples are prediction {number} of {result["frame_key"]}, one of them with the '
                    f'id {result["key"][1]}: det_idx must number the predictions of a frame'
                )
            persons[number] = result['pose']
        predictions = {
            key: tuple(np.array([persons[n][side] for n in sorted(persons)]) for side in (0, 1))
            for key, persons in frames.items()
        }
        truth = self.truth()
        if self.dump_dir is not None:
            files = save_predictions(
                self.dump_dir, [frame.key for frame in truth.frames], predictions
            )
            print_log(
                f'predictions for the official evaluation: {files[0]}, {files[1]}', logger='current'
            )
        scores = mupots_scores(truth.frames, predictions, self.thresholds_mm, self.absolute)
        if self.show_tables:
            print_log(
                f'MuPoTS-3D, ground truth of {truth.source}\n{summary_text(scores)}',
                logger='current',
            )
        for note in (*truth.notes, *remarks(scores)):
            print_log(f'MuPoTS-3D: {note}', logger='current', level=logging.WARNING)
        return without_details(scores)
