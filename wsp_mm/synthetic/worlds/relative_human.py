# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Images of Relative Human: the wild world's scenes, in CrowdPose's numbers of persons.

As in the real set the length of a name says whose joints an image has.
"""

from ..plan import SceneRequest, quota, random_stream, shuffled
from . import wild

#: Preset -> options of :func:`plan`.
PRESETS = {
    'tiny': dict(images=24, long_side=256, test_share=0.5),
    'small': dict(images=400, long_side=320, test_share=0.5),
    'full': dict(images=4000, long_side=640, test_share=0.5),
}
FOLDERS = ('relative_human',)
SETTINGS = {'relative_human': wild.SETTINGS['crowdpose']}
# CrowdPose's and OCHuman's six digits, seven of the authors' own images.
_NAMES = '1{:05d}', '{:06d}', '{:07d}'


def plan(seed: int, images: int, long_side: int, test_share: float) -> list[SceneRequest]:
    """The world's images.

    Args:
        images: in all splits together. long_side: px, rounded down to even numbers on the other
            side. test_share: share of the images in the split test; val has a tenth.
    """
    requests: list[SceneRequest] = []
    shares = {'train': 0.9 - test_share, 'val': 0.1, 'test': test_share}
    for number, (split, count) in enumerate(quota(shares, images)):
        rng = random_stream(seed, 'relative_human plan', number)
        formats = shuffled(wild.FORMATS['crowdpose'], count, rng)
        persons = shuffled(wild.PERSONS['crowdpose'], count, rng)
        for aspect, num_persons in zip(formats, persons, strict=True):
            n, scale = len(requests), long_side / max(aspect)
            size = (int(side * scale) // 2 * 2 for side in aspect)
            path = f'relative_human/images/{_NAMES[n % 3].format(7 + 13 * n)}.jpg'
            requests.append(
                SceneRequest(
                    'relative_human', 'relative_human', split, n, path, *size, num_persons, seed,
                    (n,),
                )
            )  # fmt: skip
    return requests
