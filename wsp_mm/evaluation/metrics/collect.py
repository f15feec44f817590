# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""What the metrics share: identity of a sample, and arrays out of data samples (one pair or person
each).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch


def sample_key(data_sample: dict) -> tuple[str, Any]:
    """Identity of a test sample: (dataset name, id).

    Raises:
        KeyError: the sample carries no ``id``.
    """
    if data_sample.get('id') is None:
        raise KeyError(
            f'a test sample of {data_sample.get("img_path", "unknown picture")} carries no id: '
            "the transform that packs it must keep 'id' as metainfo"
        )
    return str(data_sample.get('dataset_name', '')), data_sample['id']


def field(data_sample: dict, container: str, name: str) -> np.ndarray:
    """``data_sample[container][name][0]`` as float64: the containers hold one pair or person a
    sample.

    Raises:
        KeyError: the container or the field is missing.
        ValueError: the field does not hold exactly one.
    """
    try:
        value = data_sample[container][name]
    except KeyError as error:
        raise KeyError(
            f'the metric needs {container}.{name} and sample {data_sample.get("id")} of '
            f'{data_sample.get("img_path", "unknown picture")} has none'
        ) from error
    value = value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)
    if value.ndim == 0 or value.shape[0] != 1:
        raise ValueError(
            f'{container}.{name} must hold one pair or person, shape (1, ...), got {value.shape}'
        )
    return value[0].astype(np.float64)


def unique_results(results: list[dict], truth: str) -> list[dict]:
    """One result a sample id, in the order of first appearance.

    Distributed samplers repeat samples to fill the last batch, and each repetition leaves a result.

    Args:
        results: each with ``key``, see :func:`sample_key`.
        truth: name of the entry that must agree among results of one id.

    Raises:
        ValueError: two results of one id have different truths, so the ids do not identify samples.
    """
    unique: dict[tuple, dict] = {}
    for result in results:
        first = unique.setdefault(result['key'], result)
        if not np.array_equal(first[truth], result[truth], equal_nan=True):
            raise ValueError(
                f'two different test samples carry the id {result["key"][1]} (dataset {result["key"][0]!r}): '
                'ids must be unique; score test sets that number their samples alike one by one'
            )
    return list(unique.values())
