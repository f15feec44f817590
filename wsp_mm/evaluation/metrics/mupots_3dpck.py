# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
from mmengine.logging import print_log
from mmpose.registry import METRICS

from wsp_mm.evaluation.functional.mupots import JOINT_SET, THRESHOLDS_MM
from wsp_mm.evaluation.metrics.base import FrameMetric, field
from wsp_mm.evaluation.mupots import mupots_scores, without_details
from wsp_mm.evaluation.predictions import save_mupots
from wsp_mm.evaluation.tables import mupots_remarks, mupots_summary
from wsp_mm.structures.keypoints import convert_joints, get_joint_set


@METRICS.register_module()
class MuPoTS3DPCK(FrameMetric):
    """3DPCK on MuPoTS-3D by the official algorithm, in percent (paper, tables 6 and 7).

    Keys are those of :func:`wsp_mm.evaluation.mupots.mupots_scores` but for the finest:

    ===============================================  ===============================================
    ``mupots/PCK_All``                               150 mm, all persons annotated; poses relative
                                                     to the pelvis; mean over sequences
    ``mupots/PCK_Matched``                           persons whom a prediction matches
    ``mupots/PCK_All_100`` to ``_150``               each threshold
    ``mupots/AUC_All``                               mean over thresholds 0, 5, ..., 150 mm
    ``mupots/PCK_All_Head``                          a group of joints: Head Neck Shou Elbow Wrist
                                                     Hip Knee Ankle
    ``mupots/PCK_All_TS1``                           one sequence
    ``mupots/PCK_All_visible``, ``..._occluded``     visible joints, occluded joints; over
                                                     ``mupots/n_sequences_All_occluded`` sequences
    ``..._defined``                                  of PCK, each threshold and AUC: mean over the
                                                     sequences in which anybody counts
    ``mupots/abs_PCK_All``                           all of the above for absolute positions
    ``mupots/n_frames``, ``n_persons``,              counts; sequences in which nobody counts;
    ``n_matched``, ``n_predictions``,                frames with persons and without predictions
    ``n_sequences``, ``n_undefined_Matched``,
    ``n_frames_without_predictions``
    ===============================================  ===============================================

    ``All`` and ``Matched`` stand in each other's place. A sequence in which nobody counts is nan,
    makes nan of the means, and is named in the log. Predictions of a frame are ordered by
    ``det_idx``, whatever number of processes ran.

    Needs in every data sample: metainfo ``id``, ``frame_key`` (``TS1_img_000000``) and ``det_idx``
    (number of the prediction in its frame); ``pred_instances.keypoints (1, K, 2)`` px and
    ``pred_instances.keypoints_cam (1, K, 3)`` mm, absolute, camera frame.

    Args:
        ann_file, sequences_dir, data_root: see :class:`FrameMetric`. Poses of the json are not the
            official ground truth, and the log says so.
        joint_set: what the K predicted joints are; it must contain all 17 of MuPoTS-3D.
        thresholds_mm: 3DPCK is given at each.
        absolute: score absolute positions, too. With root depths of the ground truth they mean
            nothing.
        dump_dir: write ``preds_2d_kpt_mupots.mat`` and ``preds_3d_kpt_mupots.mat`` there, every
            frame of the test set in them, for the official script and ``tools/score.py mupots``.
        show_tables: write the tables to the log.
        kwargs: as in MMEngine's BaseMetric.

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
        **kwargs: Any,
    ) -> None:
        super().__init__(ann_file, sequences_dir, data_root, **kwargs)
        concepts = get_joint_set(joint_set).concepts
        missing = sorted(set(get_joint_set(JOINT_SET).concepts) - set(concepts))
        if missing:
            raise ValueError(f'{joint_set} lacks {", ".join(missing)}, which MuPoTS-3D has')
        self.joint_set, self.thresholds_mm = joint_set, tuple(thresholds_mm)
        self.absolute, self.dump_dir, self.show_tables = absolute, dump_dir, show_tables

    def result(self, sample: dict) -> dict:
        """Place and the 17 joints of MuPoTS-3D, (17, 2) px and (17, 3) mm."""
        k, result = len(get_joint_set(self.joint_set)), dict(place=self.place(sample))
        for name, dim in (('keypoints', 2), ('keypoints_cam', 3)):
            joints = field(sample, 'pred_instances', name, (k, dim))
            result[name] = convert_joints(joints, np.ones(k), self.joint_set, JOINT_SET)[0]
        return result

    def score(self, results: list[dict]) -> dict[str, float | int]:
        """Without any result, persons count as missed, and ``Matched`` is undefined."""
        names, predictions = ('keypoints', 'keypoints_cam'), {}
        for key, there in self.by_frame(results).items():
            predictions[key] = tuple(np.array([r[name] for r in there]) for name in names)
        gt = self.ground_truth
        if self.dump_dir is not None:
            files = save_mupots(self.dump_dir, [frame.key for frame in gt.frames], predictions)
            print_log('predictions for the official evaluation: {}, {}'.format(*files), 'current')
        scores = mupots_scores(gt.frames, predictions, self.thresholds_mm, self.absolute)
        if self.show_tables:
            text = f'MuPoTS-3D, ground truth of {gt.source}\n{mupots_summary(scores)}'
            print_log(text, logger='current')
        for note in (*gt.notes, *mupots_remarks(scores)):
            print_log(f'MuPoTS-3D: {note}', logger='current', level=logging.WARNING)
        return without_details(scores)
