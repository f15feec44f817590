# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Convolutions that repeat the border of their input where they would add zeros.

Zeros at the border tell a network how far a place is from the border, and so where in the image it
is (Islam, Jia and Bruce, "How much position information do convolutional neural networks encode?",
ICLR 2020). With a repeated border a constant image gives a constant feature map.
"""

import torch.nn.functional as F
from torch import Tensor, nn


class _SameConv2d(nn.Conv2d):
    """timm's Conv2dSame: ceil(size / stride) px, the smaller half of the padding first."""

    def forward(self, x: Tensor) -> Tensor:
        pads = []
        for axis in (1, 0):  # as F.pad takes them
            size, stride = x.shape[2 + axis], self.stride[axis]
            reach = self.dilation[axis] * (self.kernel_size[axis] - 1) + 1
            needed = max((-(-size // stride) - 1) * stride + reach - size, 0)
            pads += [needed // 2, needed - needed // 2]
        x = F.pad(x, pads, mode='replicate')
        return F.conv2d(x, self.weight, self.bias, self.stride, 0, self.dilation, self.groups)


class _ConvTranspose2d(nn.ConvTranspose2d):
    """The input gets a border, and the output loses what the border made. Then a binomial filter,
    [1 2 1] / 4 at stride 2, takes out what repeats with the stride.
    """

    def forward(self, x: Tensor) -> Tensor:
        options = zip(
            self.kernel_size, self.stride, self.padding, self.output_padding, self.dilation,
            strict=True,
        )  # fmt: skip
        # From how far outside of the input a pixel of the output, or its neighbour, is reached.
        top, left = (-(-(d * (k - 1) - p + o) // s) + (s > 1) for k, s, p, o, d in options)
        x = super().forward(F.pad(x, (left, left, top, top), mode='replicate'))
        top, left = (
            border * s - (s - 1) for border, s in zip((top, left), self.stride, strict=True)
        )
        x = x[..., top : x.shape[-2] - top, left : x.shape[-1] - left]
        return F.avg_pool2d(F.avg_pool2d(x, self.stride, 1), self.stride, 1)


def replicate_padding(model: nn.Module) -> None:
    """Make every 2D convolution of a network pad by repetition instead of by zeros, in place.

    Parameters and their names stay, and inside of the border so do the values, but for transposed
    convolutions: with a stride they make a pattern that repeats with it (Odena et al.,
    "Deconvolution and checkerboard artifacts", 2016), which tells a place within the pattern, and
    are smoothed just so far that a constant map stays one. Networks of convolutions, BatchNorm,
    ReLU and max pooling (which pads with nothing) then see no border at all: the ResNets and HRNets
    of MMPose, EfficientNet and the like of timm. Position embeddings of a transformer are another
    matter.

    Args:
        model: its modules may be ``nn.Conv2d``, timm's ``Conv2dSame``, ``nn.ConvTranspose2d``, and
            wrappers of mmcv around these.
    """
    for module in model.modules():
        if type(module).__name__ == 'Conv2dSame':
            module.__class__ = _SameConv2d
        elif isinstance(module, nn.ConvTranspose2d):
            module.__class__ = _ConvTranspose2d
        elif isinstance(module, nn.Conv2d) and any(module._reversed_padding_repeated_twice):
            module.padding_mode = 'replicate'
