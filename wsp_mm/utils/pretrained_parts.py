# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Start named parts of a model from a checkpoint: all of each part, or an error.

MMEngine's ``Pretrained`` initialisation only warns of keys that are missing or have another shape,
so that a run may train from scratch under the name of a pre-trained one. ``PretrainedParts``
refuses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mmengine.logging import print_log
from mmengine.model import BaseModel, update_init_info
from mmengine.registry import WEIGHT_INITIALIZERS
from torch import Tensor, nn

from wsp_mm.utils.checkpoint import load
from wsp_mm.utils.pretrained import PretrainedPartsError

# Entries of a list in an error message.
_SHOWN = 5


@WEIGHT_INITIALIZERS.register_module()
class PretrainedParts:
    """Initialise parts of a model from a WSP (or any MMPose) checkpoint; for the ``init_cfg`` of
    the estimator.

    ``model = dict(init_cfg=dict(type='PretrainedParts', checkpoint='wsp.pth',
    parts=('backbone',)))``

    Everything else of the model is initialised as its own ``init_cfg`` says; what is wholly loaded
    is not initialised first, so that a backbone's ImageNet weights are not needed then. The
    checkpoint is read by :func:`wsp_mm.utils.checkpoint.load`, which executes nothing in it.

    Args:
        checkpoint: path, URL or e.g. ``torchvision://...``.
        parts: names of submodules, the same in the model and in the checkpoint, e.g.
            ``('backbone',)`` or ``('backbone', 'head.deconv_layers')``.

    Raises:
        ValueError: no checkpoint or no part is named.
    """

    def __init__(self, checkpoint: str, parts: Sequence[str] = ('backbone',)) -> None:
        if not checkpoint:
            raise ValueError('PretrainedParts needs a checkpoint: set init_cfg.checkpoint')
        self.checkpoint = str(checkpoint)
        self.parts = tuple_of_parts(parts)

    def __call__(self, module: nn.Module) -> None:
        """Load the parts into ``module``.

        Raises:
            CheckpointError: the checkpoint cannot be read, or does not fit; nothing was loaded
                then.
            ValueError: ``module`` is not a whole model. A backbone's own initialisation, which
                comes after that of its ``init_cfg``, would undo some of the loading.
        """
        if not isinstance(module, BaseModel):
            raise ValueError(
                f'PretrainedParts stands in the init_cfg of the estimator, not of {type(module).__name__}'
            )
        weights = part_weights(
            module, load(self.checkpoint, map_location='cpu'), self.parts, self.checkpoint
        )
        self._initialise_the_rest(module)
        for part, state in weights.items():
            target = module.get_submodule(part)
            target.load_state_dict(state, strict=True)
            for submodule in target.modules():
                if hasattr(submodule, 'is_init'):
                    submodule.is_init = (
                        True  # else the parent would initialise it again, after this
                    )
            if hasattr(module, '_params_init_info'):
                update_init_info(target, init_info=f'PretrainedParts: {part} of {self.checkpoint}')
        print_log(
            f'loaded {", ".join(f"{part} ({len(state)} tensors)" for part, state in weights.items())} '
            f'from {self.checkpoint}',
            logger='current',
        )

    def _initialise_the_rest(self, module: nn.Module) -> None:
        """Initialise the children that are not parts themselves: what is loaded must come last."""
        for name, child in module.named_children():
            if (
                name not in self.parts
                and hasattr(child, 'init_weights')
                and not getattr(child, 'is_init', 0)
            ):
                child.init_weights()


def tuple_of_parts(parts: Sequence[str]) -> tuple[str, ...]:
    """``parts`` as a tuple of names, none of which lies in another.

    Raises:
        ValueError: a string instead of a sequence, nothing, or a name without content.
    """
    if (
        isinstance(parts, str)
        or not parts
        or not all(isinstance(part, str) and part for part in parts)
    ):
        raise ValueError(f"parts must be names of submodules, e.g. ('backbone',), got {parts!r}")
    names = [part.strip('.') for part in parts]
    return tuple(
        name
        for name in dict.fromkeys(names)
        if not any(name.startswith(f'{other}.') for other in names)
    )


def part_weights(
    module: nn.Module, checkpoint: Mapping, parts: Sequence[str], name: str
) -> dict[str, dict[str, Tensor]]:
    """The tensors of each part, keyed as the part's own ``state_dict`` is.

    Args:
        module: the model that they are for; its weights are not changed (it may be on the meta
            device).
        checkpoint: what was read, a dict with ``state_dict`` or a state dict; prefixes ``module.``
            of data parallel wrappers are ignored.
        parts: names of submodules.
        name: the checkpoint's name for the message.

    Raises:
        PretrainedPartsError: keys are missing, superfluous or of another shape, or a part is not in
            the model.
    """
    state = checkpoint.get('state_dict', checkpoint) if isinstance(checkpoint, Mapping) else None
    if not isinstance(state, Mapping) or not all(isinstance(key, str) for key in state):
        raise PretrainedPartsError(f'{name} holds no state_dict')
    state = {key.removeprefix('module.'): value for key, value in state.items()}
    found, problems = {}, []
    for part in parts:
        try:
            wanted = module.get_submodule(part).state_dict()
        except AttributeError:
            children = ', '.join(child for child, _ in module.named_children())
            raise PretrainedPartsError(
                f'the model has no part {part!r}; it has {children}'
            ) from None
        if not wanted:
            raise PretrainedPartsError(f'the part {part!r} of the model has no weights')
        prefix = f'{part}.'
        found[part] = {
            key[len(prefix) :]: value for key, value in state.items() if key.startswith(prefix)
        }
        problems += _differences(part, wanted, found[part])
    if problems:
        raise PretrainedPartsError(
            f'{name} does not fit the model, nothing was loaded:\n  '
            + '\n  '.join(problems)
            + '\nIs it the checkpoint of another backbone (depth, kind) or of other deconvolutions?'
        )
    return found


def _differences(part: str, wanted: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> list[str]:
    """What is wrong with a part's tensors, a line a kind."""
    if not given:
        return [f'{part}: the checkpoint has nothing under this name']
    missing = [key for key in wanted if key not in given]
    extra = [key for key in given if key not in wanted]
    shapes = [
        f'{key} is {tuple(given[key].shape)}, the model has {tuple(wanted[key].shape)}'
        for key in wanted
        if key in given and tuple(given[key].shape) != tuple(wanted[key].shape)
    ]
    lines = []
    for what, entries in (
        ('missing', missing),
        ('not in the model', extra),
        ('of another shape', shapes),
    ):
        if entries:
            more = f' and {len(entries) - _SHOWN} more' if len(entries) > _SHOWN else ''
            lines.append(
                f'{part}: {len(entries)} of {len(wanted)} {what}: {", ".join(entries[:_SHOWN])}{more}'
            )
    return lines
