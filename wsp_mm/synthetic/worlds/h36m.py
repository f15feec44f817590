# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""The world in Human3.6M's layouts: one room, four calibrated cameras, seven people who never
change their clothes.

Nothing varies but who does what, where and how turned: that is what Human3.6M is like, and why
images from the wild help. Subjects, actions and subactions are Human3.6M's, thinned. A subaction is
as long as in the real set, but only frames that readers pick are written (50 frames a second,
counted from 0), those of all four cameras:

- training subjects 1, 5, 6, 7, 8: frames 5, 70, 135, ... (every 65th), picked by the training rule
  ``frame % 5 == 0`` and hardly ever by the test rule;
- test subject 11: frames 0, 192, 320, 512, ..., picked by the test rule ``frame % 64 == 0``; every
  other one is picked by the training rule as well, and so is in files of 10 frames a second;
- subject 9, who is trained on in Subject Protocol 2 and tested on in 1: the frames of 11, and 70,
  200, ...

The sequence that is broken in the real set (subject 11, action 2, subaction 2, camera 1) is written
like any other; readers skip it. The middle of the room is the origin of the world.
"""

import itertools
from functools import lru_cache

import numpy as np

from wsp_mm.structures.camera import PinholeCamera
from wsp_mm.structures.h36m import ACTIONS, CAMERA_IDS, FIRST_ACTION_IDX, SUBJECTS

from ..clothing import Outfit
from ..layouts.h36m import TEST_SUBJECTS, image_name, mmpose_image_name
from ..people import Identity
from ..plan import SceneRequest, random_stream
from ..scene import SceneSettings, Spot, View, sample_lens, subject
from ..scenery import Scenery, room_scenery
from ..textures import Texture, hsv

_ALL = tuple(range(FIRST_ACTION_IDX, FIRST_ACTION_IDX + len(ACTIONS)))
#: Preset -> options of :func:`plan`.
PRESETS = {
    'tiny': dict(side=256, actions=(2, 9, 14), train_frames=1, test_frames=2, extra_frames=1),
    'small': dict(side=320, actions=_ALL, train_frames=3, test_frames=2, extra_frames=1),
    'full': dict(side=512, actions=_ALL, train_frames=60, test_frames=20, extra_frames=10),
}
FOLDERS = ('human36m', 'h36m')
_FRAME_RATE, _CLIP_FRAMES = 50, 64
# Women and men as in the real set.
_FEMALE = (1, 5, 7)
# m: where the cameras hang, and what they look at.
_CAMERAS = ((1.8, 5.0, 1.6), (1.8, -5.1, 1.6), (-1.8, 5.2, 1.5), (-1.8, -4.5, 1.55))
_AIM = (0.0, 0.0, 0.85)
# Focal length in widths of the image.
_FOCAL = (1.145, 1.1497, 1.1491, 1.1455)
_HALF_ROOM = (4.2, 6.6)  # m
_HALF_AREA = np.array([1.1, 1.25])  # m: where people are
# m. The lamp is 16 degrees off the vertical, the light from the ceiling comes from at most 27.
_SHADOW = 0.62


def frames_of(subject: int, train_frames: int, test_frames: int, extra_frames: int) -> list[int]:
    """The frames that are written of each subaction, ascending; the module says which."""
    if subject not in TEST_SUBJECTS:
        return [65 * k + 5 for k in range(train_frames)]
    frames = {320 * (k // 2) + 192 * (k % 2) for k in range(test_frames)}
    if subject == 9:
        frames |= {65 * (2 * k + 1) + 5 for k in range(extra_frames)}
    return sorted(frames)


def plan(
    seed: int, side: int, actions: tuple[int, ...], train_frames: int, test_frames: int,
    extra_frames: int,
) -> list[SceneRequest]:  # fmt: skip
    """The world's images. A clip is (subject, action_idx, subaction, number of a piece of 64
    frames).

    Args:
        side: px of the square images. actions: numbers of the actions, 2 to 16. train_frames: of
            each subaction of a training subject. test_frames: of 9 and 11. extra_frames: of 9, for
            training only.
    """
    requests: list[SceneRequest] = []
    for subject_id in SUBJECTS:
        split = 'test' if subject_id in TEST_SUBJECTS else 'train'
        frames = frames_of(subject_id, train_frames, test_frames, extra_frames)
        for action, subaction, frame in itertools.product(actions, (1, 2), frames):
            piece, since = divmod(frame, _CLIP_FRAMES)
            for camera in range(len(CAMERA_IDS)):
                key = (subject_id, action - FIRST_ACTION_IDX, subaction, camera + 1, frame)
                requests.append(
                    SceneRequest(
                        'h36m', 'h36m', split, len(requests), f'human36m/images/{image_name(*key)}',
                        side, side, 1, seed, (subject_id, action, subaction, piece),
                        since / _FRAME_RATE, camera, frame=frame,
                        action=ACTIONS[action - FIRST_ACTION_IDX],
                        link=f'h36m/images/{mmpose_image_name(*key)}',
                    )
                )  # fmt: skip
    return requests


def _people(request: SceneRequest, rng: np.random.Generator) -> list[tuple[Identity, Outfit]]:
    number = request.clip[0]
    return [subject('h36m', request.seed, number, 0, number in _FEMALE, ages=(20, 50))]


@lru_cache(maxsize=64)
def camera_view(seed: int, subject_id: int, side: int, number: int) -> View:
    """A camera (from 0) as it hangs on the day that a subject is recorded.

    As in the real set cameras are put up anew for each subject, some centimetres from where they
    were, and the lenses stay the same.
    """
    lens_rng = random_stream(seed, 'h36m lens', number)
    rig_rng = random_stream(seed, 'h36m rig', subject_id, number)
    f = side * _FOCAL[number] * (1 + lens_rng.normal(0, 0.0007, 2))
    c = side * (0.5 + lens_rng.uniform(-0.012, 0.02, 2))
    lens = sample_lens(lens_rng, gamma=(0.44, 0.5), blur=(0.35, 0.5), noise=(1.0, 2.5))
    at = np.array(_CAMERAS[number]) + rig_rng.uniform(-0.12, 0.12, 3)
    forward = np.array(_AIM) + rig_rng.uniform(-0.1, 0.1, 3) - at
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, [0, 0, 1])
    right /= np.linalg.norm(right)
    down = np.cross(forward, right)
    roll = np.deg2rad(rig_rng.normal(0, 0.6))
    cos, sin = np.cos(roll), np.sin(roll)
    rotation = np.stack([cos * right + sin * down, cos * down - sin * right, forward])
    return View(PinholeCamera(f=f, c=c, R=rotation, t=-rotation @ at * 1000), lens)


def _view(request: SceneRequest) -> View:
    return camera_view(request.seed, request.clip[0], request.width, request.camera)


def _spots(request: SceneRequest, view: View, rng: np.random.Generator) -> Spot:
    return lambda placed, slack, radius: rng.uniform(-1, 1, 2) * (_HALF_AREA - radius)


@lru_cache(maxsize=1)
def _room() -> Scenery:
    """Lamps above, a carpet, four walls of different colors, a ceiling."""
    carpet, dark = hsv(0.02, 0.5, 0.45), hsv(0.03, 0.5, 0.36)
    white, gray = hsv(0.1, 0.06, 0.85), [hsv(0.6, 0.05, v) for v in (0.62, 0.56, 0.66)]
    blue = [hsv(0.58, 0.25, 0.55), hsv(0.58, 0.25, 0.4), hsv(0.58, 0.2, 0.6)]
    black = hsv(0.6, 0.1, 0.2)
    textures = (
        Texture('speckles', 0.03, 0, 0.6, carpet, dark, dark, 0.12, 0.4, 11),
        Texture('plain', 0.1, 0, 0.5, white, white, white, 0.05, 0.6, 12),
        Texture('blocks', 1.1, 0, 0.5, *gray, 0.05, 0.4, 13),
        Texture('planks', 0.8, 90, 0.04, *blue, 0.06, 0.3, 14),
        Texture('stripes', 0.35, 90, 0.6, black, hsv(0.6, 0.1, 0.15), black, 0.1, 0.2, 15),
    )
    x, y = _HALF_ROOM
    planes = ((np.pi / 2, -x), (-np.pi / 2, -x), (0, -y), (np.pi, -y))
    return room_scenery(
        textures, planes, sun=np.array([0.25, 0.15, 1.0]) / np.linalg.norm([0.25, 0.15, 1.0]),
        sun_color=(0.75, 0.72, 0.66), ambient=0.72, contact=0.55, zenith=(0.85, 0.83, 0.78),
        haze=(0.62, 0.61, 0.58), ceiling=1, wall_height=3.4, skirting=0.1,
    )  # fmt: skip


_WOOD = [hsv(0.08, 0.5, value) for value in (0.5, 0.3, 0.55)]
SETTINGS = {
    'h36m': SceneSettings(
        dict.fromkeys(ACTIONS, 1.0), _people, _view, lambda request, depth: _room(), _spots,
        seat=Texture('planks', 0.12, 0, 0.05, *_WOOD, seed=16),
        seconds=_CLIP_FRAMES / _FRAME_RATE, radius=(0.6, 1.0), shadow=_SHADOW,
    )
}  # fmt: skip
