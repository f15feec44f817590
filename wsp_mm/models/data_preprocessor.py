# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import torch
from mmengine.structures import BaseDataElement
from mmpose.models.data_preprocessors import PoseDataPreprocessor
from mmpose.registry import MODELS
from torch import Tensor


@MODELS.register_module()
class BatchDataPreprocessor(PoseDataPreprocessor):
    """MMPose's preprocessor, batch by batch instead of sample by sample.

    Same arguments, same values. Images of one size go to the device as they are (8 bit), straight
    into their places in the batch, and are reordered and normalised there in one go. The samples'
    tensors are moved in place, where MMPose deep-copies all metainfo. Copies do not wait
    (``non_blocking``) where the memory is pinned.

    Images of different sizes, and batch augmentations, take MMPose's way.

    Args:
        non_blocking: copy to the device without waiting, by default True.
        **kwargs: of :class:`PoseDataPreprocessor`.
    """

    def __init__(self, *args, non_blocking: bool = True, **kwargs) -> None:
        super().__init__(*args, non_blocking=non_blocking, **kwargs)

    def forward(self, data: dict, training: bool = False) -> dict:
        """Return inputs (B, 3, H, W) float32, normalised, and the samples, with their tensors on
        the device.
        """
        inputs, samples = data['inputs'], data.get('data_samples') or []
        shape = inputs[0].shape
        alike = len(shape) == 3 and all(one.shape == shape for one in inputs)
        padded = any(size % self.pad_size_divisor for size in shape[1:])
        if not alike or padded or self.batch_augments is not None:
            return super().forward(data, training)
        if not isinstance(inputs, Tensor):
            batch = inputs[0].new_empty((len(inputs), *shape), device=self.device)
            for place, image in zip(batch, inputs, strict=True):
                place.copy_(image, non_blocking=self._non_blocking)
            inputs = batch
        batch = inputs.to(self.device, non_blocking=self._non_blocking)
        batch = (batch.flip(1) if self._channel_conversion else batch).float()
        if self._enable_normalize:
            batch = (batch - self.mean).div_(self.std)
        for sample in samples:
            sample.set_metainfo(dict(batch_input_shape=shape[1:], pad_shape=shape[1:]))
            self._move(sample)
        return dict(inputs=batch, data_samples=samples)

    def _move(self, element: BaseDataElement) -> None:
        """Move all tensors of an element, at any depth, to the device, in place."""
        for name, value in element.items():
            if isinstance(value, torch.Tensor):
                moved = value.to(self.device, non_blocking=self._non_blocking)
                element.set_field(moved, name, dtype=torch.Tensor)
            elif isinstance(value, BaseDataElement):
                self._move(value)
