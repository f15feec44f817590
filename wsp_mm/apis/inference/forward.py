# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Crops to a network's answers: one tensor of bytes a batch, one copy to the device, no other
copies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch

from wsp_mm.apis.inference.models import Network
from wsp_mm.models.data_preprocessor import BatchDataPreprocessor, stacked


@dataclass
class Crops:
    """A batch on its way to a network.

    Attributes:
        inputs: (N, 3, H, W) uint8, in memory that a GPU copies from by itself where there is one; a
            list of (3, H, W) where their sizes differ.
        samples: N data samples.
    """

    inputs: torch.Tensor | list[torch.Tensor]
    samples: list


def pack(crops: Sequence[dict], device: torch.device) -> Crops:
    """Packed samples of a test pipeline as a batch for a device."""
    pictures = [crop['inputs'] for crop in crops]
    samples = [crop['data_samples'] for crop in crops]
    return Crops(gathered(pictures, device), samples)


def gathered(
    pictures: Sequence[torch.Tensor], device: torch.device
) -> torch.Tensor | list[torch.Tensor]:
    """Pictures of one size as one tensor, see :class:`Crops`; others as they are."""
    alike = len({(picture.shape, picture.dtype) for picture in pictures}) == 1
    return stacked(pictures, device) if alike else list(pictures)


def predict(
    network: Network, crops: Crops, device: torch.device, dtype: torch.dtype | None
) -> list:
    """A batch through a network: its data samples, with predictions.

    Equal to ``model.test_step`` of the crops one by one, without what that costs beside the
    network: a copy of every crop to the device by itself, a normalisation of each, and deep copies
    of all metainfo.

    Args:
        dtype: of autocast; None computes as the weights are.
    """
    model = network.model
    with (
        torch.inference_mode(),
        torch.autocast(device.type, dtype or torch.bfloat16, enabled=dtype is not None),
    ):
        if isinstance(crops.inputs, list) or not _is_known(model.data_preprocessor):
            return model.test_step(dict(inputs=[*crops.inputs], data_samples=crops.samples))
        inputs = crops.inputs.to(device, non_blocking=True)
        # The samples hold nothing for the device: they stay out of what is cast.
        inputs = model.data_preprocessor(dict(inputs=inputs, data_samples=[]), False)['inputs']
        return model(inputs, crops.samples, mode='predict')


def _is_known(preprocessor: Any) -> bool:
    """Whether it is one that writes to the samples only what no head reads: MMPose's own, or
    ours.
    """
    from mmpose.models.data_preprocessors import PoseDataPreprocessor

    return type(preprocessor) in (PoseDataPreprocessor, BatchDataPreprocessor)


def thread_context(device: torch.device) -> Callable[[], AbstractContextManager]:
    """What a thread enters before it computes: the caller's number of threads, on a GPU a stream of
    its own.
    """
    threads = torch.get_num_threads()
    stream = None
    if device.type == 'cuda':
        stream = torch.cuda.Stream(device)
        stream.wait_stream(
            torch.cuda.current_stream(device)
        )  # the weights may still be on their way

    @contextmanager
    def context() -> Iterator[None]:
        # OpenMP counts by thread: a new one would not know what the caller set, and sums depend on
        # it.
        torch.set_num_threads(threads)
        with nullcontext() if stream is None else torch.cuda.stream(stream):
            yield

    return context
