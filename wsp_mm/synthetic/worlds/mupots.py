# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""The world in MuPoTS-3D's layout: twenty sequences of a few people in one place anywhere, before
one camera that stays.

Unlike MuCo's images these are not pasted together: people, their shadows and seats are in one
scene, with the light and the surroundings of the wild world. The people are none of MuCo's.

- TS1 to TS5 are square, the others wider than high; there are two or three people, those of a
  sequence the same throughout.
- In TS4, 8, 16 and 20 one of the three is a bystander, who is in no annotation.
- The first frame of TS10 and TS20 is of the empty place, in the last of TS5 and TS15 nobody is
  annotated.
"""

from functools import lru_cache

import numpy as np

from ..actions import ACTIONS
from ..clothing import Outfit
from ..layouts.mupots import NUM_SEQUENCES, num_people
from ..people import Identity
from ..placement import level_camera
from ..plan import SceneRequest, random_stream, rng_of
from ..scene import SceneSettings, View, sample_lens, subject
from ..scenery import Scenery, sample_scenery
from .muco import in_view

#: Preset -> options of :func:`plan`.
PRESETS = {
    'tiny': dict(frames=3, side=256, interval=3.0),
    'small': dict(frames=10, side=320, interval=1.0),
    'full': dict(frames=100, side=512, interval=0.1),
}
FOLDERS = ('mupots',)
NUM_SUBJECTS = 8
_CLIP_SECONDS = 3.0
_NEAR, _FAR = 2.6, 5.8  # m: where people are
# m. Nobody is far from the universal height: absolute 3DPCK is measured against poses scaled to it,
# and 4 % of a person's size are 160 mm at 4 m.
_STATURE = (1.62, 1.76)


def plan(seed: int, frames: int, side: int, interval: float) -> list[SceneRequest]:
    """The world's images, sequences one after another. A clip is (sequence, number of a piece of
    3 s).

    Args:
        frames: of each of the twenty sequences. side: px, height of the images. interval: s between
            one frame and the next.
    """
    requests: list[SceneRequest] = []
    for sequence in range(1, NUM_SEQUENCES + 1):
        width = side if sequence <= 5 else 4 * round(side / 3)
        for frame in range(frames):
            empty = sequence in (10, 20) and frame == 0
            piece, since = divmod(round(frame * interval, 6), _CLIP_SECONDS)
            if _CLIP_SECONDS - since < 1e-6:  # the very end of a piece is the start of the next
                piece, since = piece + 1, 0.0
            path = f'mupots/MultiPersonTestSet/TS{sequence}/img_{frame:06d}.jpg'
            requests.append(
                SceneRequest(
                    'mupots', 'mupots', 'test', len(requests), path, width, side,
                    0 if empty else num_people(sequence)[0], seed, (sequence, int(piece)), since,
                    sequence=sequence, frame=frame,
                    annotated=not (sequence in (5, 15) and frame == frames - 1),
                )
            )  # fmt: skip
    return requests


def _people(request: SceneRequest, rng: np.random.Generator) -> list[tuple[Identity, Outfit]]:
    everybody = rng_of(request, 'people', request.sequence).permutation(NUM_SUBJECTS)
    return [
        subject('mupots', request.seed, k, request.sequence, bool(k % 2), (18, 60), _STATURE)
        for k in everybody[: request.num_persons].tolist()
    ]


@lru_cache(maxsize=4)
def _sequence_view(seed: int, sequence: int, width: int, height: int) -> View:
    rng = random_stream(seed, 'mupots view', sequence)
    above = rng.uniform(0.9, 2.0)
    pitch = np.rad2deg(np.arctan2(above - 0.85, 4.0)) + rng.normal(0, 2)
    focal, roll = rng.uniform(0.72, 0.95) * height, rng.normal(0, 1.5)
    camera = level_camera(focal, above, float(pitch), float(roll), width, height)
    return View(camera, sample_lens(rng, blur=(0.3, 0.6), noise=(0, 2.5)))


def _view(request: SceneRequest) -> View:
    return _sequence_view(request.seed, request.sequence, request.width, request.height)


def _scenery(request: SceneRequest, depth: float) -> Scenery:
    """The same throughout a sequence, whoever stands how deep in it."""
    return sample_scenery(rng_of(request, 'scenery', request.sequence), depth=_FAR + 2.5)


SETTINGS = {
    'mupots': SceneSettings(
        dict.fromkeys(ACTIONS, 1.0) | {'Walking': 2.0, 'Jumping': 0.0, 'Lying': 0.2}, _people,
        _view, _scenery, in_view(_NEAR, _FAR, 0.4), seconds=_CLIP_SECONDS, radius=(0.25, 0.6),
        gap=0.12,
    )
}  # fmt: skip
