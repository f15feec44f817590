# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
from collections.abc import Sequence

from mmengine.structures import InstanceData
from mmpose.models.heads import HeatmapHead
from torch import Tensor


class DeconvHead(HeatmapHead):
    """Base of the three heads: MMPose's deconvolutions, and a codec that knows the heatmaps' size.

    Args:
        in_channels: channels of the backbone's last feature map.
        out_channels: channels of the last 1x1 convolution.
        decoder: config of the codec that makes targets and turns outputs into keypoints.
        **kwargs: of :class:`HeatmapHead`: ``deconv_out_channels`` (each deconvolution doubles the
            resolution; () for none), ``deconv_kernel_sizes``, ``loss``, ``init_cfg``.
    """

    def __init__(self, in_channels: int, out_channels: int, *, decoder: dict, **kwargs) -> None:
        super().__init__(in_channels, out_channels, decoder=decoder, **kwargs)

    def features(self, feats: Sequence[Tensor]) -> Tensor:
        """Return the features that the last convolution reads: (B, D, h, w).

        Args:
            feats: feature maps of the backbone; the last is used, (B, in_channels, h', w').

        Raises:
            ValueError: h x w is not the decoder's ``heatmap_size``.
        """
        features = self.conv_layers(self.deconv_layers(feats[-1]))
        found, wanted = tuple(features.shape[:1:-1]), tuple(self.decoder.heatmap_size[:2])
        if found != wanted:
            raise ValueError(
                f'a feature map of {tuple(feats[-1].shape[:1:-1])} and the deconvolutions give '
                f'heatmaps of {found} (w, h), but heatmap_size of the codec is {wanted}: set it, '
                'input_size or deconv_out_channels accordingly'
            )
        return features


def batch_labels(batch_data_samples: Sequence) -> InstanceData:
    """Return ``gt_instance_labels`` of all samples, one after the other."""
    return InstanceData.cat([sample.gt_instance_labels for sample in batch_data_samples])


def masked_mean(values: Tensor, weights: Tensor) -> Tensor:
    """Return the mean of values where the weight is positive; 0 where none is."""
    labelled = weights > 0
    return values.masked_fill(~labelled, 0.0).sum() / labelled.sum().clamp(min=1)
