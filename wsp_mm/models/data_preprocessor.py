# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
from __future__ import annotations

from collections.abc import Sequence

import torch
from mmengine.structures import BaseDataElement
from mmpose.models.data_preprocessors import PoseDataPreprocessor
from mmpose.registry import MODELS
from torch import Tensor


@MODELS.register_module()
class BatchDataPreprocessor(PoseDataPreprocessor):
    """MMPose's preprocessor, batch by batch instead of sample by sample, and without waiting for
    the device.

    Same arguments, same values. What differs is how they come about:

    - Pictures of one size go to the device as they are (8 bit), straight into their places in the
      batch, and are reordered and normalised there in one go. MMPose copies, reorders and
      normalises one by one, and the reordering (an index made from a list) waits for the device
      once a picture.
    - The samples' tensors are put together on the host and go in one copy a field; each sample gets
      its part of that as a view, in place. MMPose copies every field of every sample, and
      deep-copies all metainfo.
    - The copies do not wait (``non_blocking``), where the memory is pinned.

    Pictures of different sizes, and batch augmentations, take MMPose's way.

    Args:
        non_blocking: copy to the device without waiting, by default True.
        **kwargs: of :class:`PoseDataPreprocessor`.
    """

    def __init__(self, *args, non_blocking: bool = True, **kwargs) -> None:
        super().__init__(*args, non_blocking=non_blocking, **kwargs)

    def forward(self, data: dict, training: bool = False) -> dict:
        """Inputs (B, 3, H, W) float32, normalised, and the samples, with their tensors on the
        device.
        """
        inputs, samples = data['inputs'], data.get('data_samples')
        shapes = {tuple(one.shape) for one in inputs}
        (shape,) = shapes if len(shapes) == 1 else ((),)
        padded = any(size % self.pad_size_divisor for size in shape[1:])
        if len(shape) != 3 or padded or self.batch_augments is not None:
            return super().forward(data, training)
        batch = self._normalised(self._gathered(inputs))
        samples = samples if samples is not None else []
        for sample in samples:
            sample.set_metainfo(dict(batch_input_shape=shape[1:], pad_shape=shape[1:]))
        move_together(samples, self.device, self._non_blocking)
        return dict(inputs=batch, data_samples=samples)

    def _gathered(self, inputs: Tensor | Sequence[Tensor]) -> Tensor:
        """The pictures on the device, (B, C, H, W), as they came."""
        if isinstance(inputs, Tensor):
            return inputs.to(self.device, non_blocking=self._non_blocking)
        batch = torch.empty(
            (len(inputs), *inputs[0].shape), dtype=inputs[0].dtype, device=self.device
        )
        for place, picture in zip(batch, inputs, strict=True):
            place.copy_(picture, non_blocking=self._non_blocking)
        return batch

    def _normalised(self, batch: Tensor) -> Tensor:
        batch = (batch.flip(1) if self._channel_conversion else batch).float()
        return (batch - self.mean) / self.std if self._enable_normalize else batch


def stacked(tensors: Sequence[Tensor], device: torch.device) -> Tensor:
    """Tensors of one shape and type as one, (N, ...); for a GPU in memory that it copies from by
    itself.
    """
    shape = (len(tensors), *tensors[0].shape)
    host = torch.empty(shape, dtype=tensors[0].dtype, pin_memory=device.type == 'cuda')
    return torch.stack(list(tensors), out=host)


def move_together(
    samples: Sequence[BaseDataElement], device: torch.device, non_blocking: bool = True
) -> None:
    """Move all tensors of the samples to the device, in place, each field's in one copy.

    Fields whose shapes or types differ between the samples, or which some lack, go one by one.
    """
    fields: dict[tuple, list[tuple[BaseDataElement, str]]] = {}
    for sample in samples:
        for path, owner, name in _tensors(sample):
            fields.setdefault((*path, name), []).append((owner, name))
    for places in fields.values():
        tensors = [owner.get(name) for owner, name in places]
        alike = {(one.shape, one.dtype, one.device) for one in tensors}
        if all(one.device == device for one in tensors):
            continue
        if len(alike) == 1 and tensors[0].device.type == 'cpu':
            moved = stacked(tensors, device).to(device, non_blocking=non_blocking).unbind()
        else:
            moved = [one.to(device, non_blocking=non_blocking) for one in tensors]
        for (owner, name), tensor in zip(places, moved, strict=True):
            owner.set_field(tensor, name)


def _tensors(element: BaseDataElement, path: tuple[str, ...] = ()):
    """(path, owner, name) of every tensor in an element, at any depth."""
    for name, value in element.items():
        if isinstance(value, Tensor):
            yield path, element, name
        elif isinstance(value, BaseDataElement):
            yield from _tensors(value, (*path, name))
