# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Answers about pairs of persons -> who stands before whom in a picture."""

from __future__ import annotations

import itertools

import numpy as np

from wsp_mm.apis.inference.work import PX, SHARE, Work, numbers


def front_to_back(probability: np.ndarray) -> list[int]:
    """Order persons by how probably they stand before the others, on the average.

    Pairwise answers may contradict each other (A before B before C before A); the mean over the
    others, as in a tournament, always gives an order, and the one that the answers agree on where
    they do agree.

    Args:
        probability: (P, P), that the row's person stands before the column's.

    Returns:
        Indices from the nearest to the farthest; equals keep their order.
    """
    others = ~np.eye(len(probability), dtype=bool)
    mean = np.where(others, probability, 0).sum(axis=1)
    return np.argsort(-mean, kind='stable').tolist()


def fill_order(work: Work) -> None:
    """Who stands before whom, from all pairs of each picture's persons: into the first one's
    frame.
    """
    for index, group in itertools.groupby(work.persons, key=lambda person: person.frame.index):
        group = list(group)
        probability = np.full((len(group), len(group)), 0.5)
        for a, b in itertools.combinations(range(len(group)), 2):
            probability[a, b] = work.answers[index, a, b]
            probability[b, a] = 1 - probability[a, b]
        ids = [person.record['id'] for person in group]
        order = dict(
            ids=[ids[i] for i in front_to_back(probability)], probability=numbers(probability, 4)
        )
        group[0].frame_record['order'] = order


def keep_better(record: dict, keypoints: np.ndarray, scores: np.ndarray) -> None:
    """A person is in several pairs; the pair whose crop shows it best gives its joints."""
    if record['keypoint_scores'] is None or np.mean(scores) > np.mean(record['keypoint_scores']):
        record['keypoints_img'] = numbers(keypoints, PX)
        record['keypoint_scores'] = numbers(scores, SHARE)
