# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Which part of a frame, and at which size, the crops of a pipeline can ask for.

Lengths are px of the frame. A crop's side is that of ``PersonCenterScale``, grown to the input's
aspect.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

#: PersonRandomBBoxTransform cuts its normal number here.
_TURNS = 2
#: Bilinear reading asks for neighbours, and the crop's own reckoning keeps 3 px besides.
_MARGIN = 4


@dataclass(frozen=True)
class Reach:
    """Numbers of a pipeline that bound its crops.

    Attributes:
        padding, aspect: of ``PersonCenterScale``.
        input_size: (w, h) input px.
        scale: smallest and largest factor of the crop's side.
        turn: largest turn to either side, degrees.
    """

    padding: float
    aspect: float
    input_size: tuple[int, int]
    scale: tuple[float, float]
    turn: float

    @classmethod
    def of(cls, steps: Sequence[Any]) -> Reach:
        """Of built transforms, up to the first crop.

        Raises:
            ValueError: no crop of one person, or a step that moves the crop in a way unknown here.
        """
        from mmpose.datasets.transforms import RandomBBoxTransform

        from wsp_mm.datasets.transforms.person_crop import (
            PersonCenterScale,
            PersonRandomBBoxTransform,
        )
        from wsp_mm.datasets.transforms.read_picture import PersonTopdownAffine

        box, scale, turn = None, (1.0, 1.0), 0.0
        for step in steps:
            if isinstance(step, PersonCenterScale):
                box = step
            elif isinstance(step, PersonRandomBBoxTransform):
                scale = scale[0] * (1 - step.scale), scale[1] * (1 + step.scale)
                turn += _TURNS * step.rotate_factor if step.rotate_prob > 0 else 0.0
            elif isinstance(step, RandomBBoxTransform):
                raise ValueError(
                    f'a crop cache knows how far PersonRandomBBoxTransform goes, not {type(step).__name__}'
                )
            elif isinstance(step, PersonTopdownAffine) and box is not None:
                return cls(box.padding, box.aspect, tuple(step.input_size), scale, turn)
        raise ValueError(
            'a crop cache is for pipelines with ReadPicture, PersonCenterScale and PersonTopdownAffine in this '
            f'order; these are {", ".join(type(step).__name__ for step in steps) or "no steps"}'
        )

    @classmethod
    def from_plain(cls, plain: dict) -> Reach:
        """Of what :meth:`plain` wrote."""
        return cls(**{key: tuple(v) if isinstance(v, list) else v for key, v in plain.items()})

    def plain(self) -> dict:
        """For json."""
        return {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(self).items()}

    def side(self, box: Sequence[float]) -> tuple[float, float]:
        """Sides (w, h) of ``PersonCenterScale`` grown to the input's aspect, as the crop does
        it.
        """
        aspect = self.input_size[0] / self.input_size[1]
        width = max(float(box[0]), float(box[1]) * aspect)
        return width, width / aspect

    def factor(self, side: tuple[float, float]) -> float:
        """By how much the part can be reduced: the smallest crop has a pixel left for each of the
        input.
        """
        return max(1.0, self.scale[0] * side[0] / self.input_size[0])

    def part(
        self, centre: Sequence[float], side: tuple[float, float], size: tuple[int, int]
    ) -> tuple[int, int, int, int]:
        """Left, top, right, bottom px of what all crops read, within the frame; the ends are
        exclusive.

        A rectangle w x h turned by a lies within w cos a + h sin a by w sin a + h cos a. The first
        grows up to a turn of atan(h / w), where it is the diagonal.

        Args:
            centre: x, y of the box.
            side: see :meth:`side`.
            size: (w, h) of the frame.
        """
        margin = math.ceil(self.factor(side)) + _MARGIN
        out = []
        for i, (along, across) in enumerate((side, side[::-1])):
            angle = min(math.radians(self.turn), math.atan2(across, along))
            half = self.scale[1] * (along * math.cos(angle) + across * math.sin(angle)) / 2 + margin
            low, high = math.floor(centre[i] - half), math.ceil(centre[i] + half) + 1
            out.append([min(max(value, 0), int(size[i])) for value in (low, high)])
        (left, right), (top, bottom) = out
        return left, top, right, bottom

    def lacks(self, wanted: Reach) -> list[str]:
        """Why what was cut for these numbers does not serve ``wanted``; empty where it does."""
        out = []
        for key in ('padding', 'aspect'):
            here, there = getattr(self, key), getattr(wanted, key)
            if here != there:
                out.append(f'{key} is {here:g} in the cache, {there:g} in the pipeline')
        aspects = [reach.input_size[0] / reach.input_size[1] for reach in (self, wanted)]
        finest = [reach.scale[0] / reach.input_size[0] for reach in (self, wanted)]
        sizes = (
            f'{_text(self.input_size)} px in the cache, {_text(wanted.input_size)} in the pipeline'
        )
        if aspects[0] != aspects[1]:
            out.append(f'the crop is of another aspect: {sizes}')
        if wanted.scale[1] > self.scale[1]:
            out.append(
                f'crops grow up to x {self.scale[1]:g} in the cache, x {wanted.scale[1]:g} in the pipeline'
            )
        if wanted.turn > self.turn:
            out.append(
                f'crops turn up to {self.turn:g} degrees in the cache, {wanted.turn:g} in the pipeline'
            )
        if finest[1] < finest[0]:
            out.append(
                f'crops shrink to x {self.scale[0]:g} in the cache, x {wanted.scale[0]:g} in the pipeline, the '
                f'input is of {sizes}: pixels would be missing'
            )
        return out


def _text(size: tuple[int, int]) -> str:
    return f'{size[0]} x {size[1]}'
