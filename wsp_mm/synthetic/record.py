# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""What the embedded world knows of one picture: the truth that every writer and check reads.

The world frame has z up, the ground near z = 0, and millimetres. Joints follow the joint set
``world`` of :mod:`wsp_mm.structures.keypoints` (J joints). Pixel (0, 0) is the centre of the upper
left pixel.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

import numpy as np

from wsp_mm.structures.camera import PinholeCamera


@dataclass
class Person:
    """One person in one picture.

    Attributes:
        person_id: identity, the same in all frames of one sequence.
        action: name of the action that its pose was drawn from.
        posture: 'standing', 'sitting', 'crouching', 'kneeling', 'lying' or 'airborne'.
        age: years. height: mm.
        joints_world: (J, 3) mm.
        joints_px: (J, 2) px, the projection of ``joints_world``.
        in_picture: (J,) whether the projection falls into the picture.
        visible: (J,) in the picture, and hidden neither by another person nor by the own body.
        bbox: (4,) x, y, w, h px of the visible pixels, zeros when nothing is visible.
        full_bbox: (4,) x, y, w, h px of the whole body's projection, not clipped to the picture.
        area: number of visible pixels.
        visible_share: visible pixels / pixels the body would fill in this picture without the
            others.
        polygons: outlines of the visible pixels, each a flat list x0, y0, x1, y1, ... px.
        lowest_mm: height of the body's lowest vertex over the ground, mm.
    """

    person_id: int
    action: str
    posture: str
    age: float
    height: float
    joints_world: np.ndarray
    joints_px: np.ndarray
    in_picture: np.ndarray
    visible: np.ndarray
    bbox: np.ndarray
    full_bbox: np.ndarray
    area: int
    visible_share: float
    polygons: list[list[float]]
    lowest_mm: float

    _ARRAYS = {
        'joints_world': np.float64, 'joints_px': np.float64, 'in_picture': bool, 'visible': bool,
        'bbox': np.float64, 'full_bbox': np.float64,
    }  # fmt: skip

    def to_dict(self) -> dict:
        """Plain lists and numbers, for json."""
        return {
            k: (np.round(v, 3) if v.dtype.kind == 'f' else v).tolist()
            if isinstance(v, np.ndarray)
            else v
            for k, v in asdict(self).items()
        }

    @classmethod
    def from_dict(cls, data: dict) -> Person:
        return cls(
            **{
                k: np.asarray(v, dtype=cls._ARRAYS[k]) if k in cls._ARRAYS else v
                for k, v in data.items()
            }
        )


@dataclass
class Scene:
    """One picture.

    Attributes:
        scene_id: unique in the world.
        source: 'coco', 'mpii', 'posetrack18' or 'crowdpose'. split: 'train', 'val' or 'test'.
        file_name: picture, relative to the source's folder.
        width, height: px.
        camera: :class:`PinholeCamera`. camera_height: mm over the ground. pitch, roll: degrees
            (positive pitch looks down).
        sequence, frame: video and frame number, -1 for stills.
        persons: everybody in front of the camera who has at least one joint in the picture.
    """

    scene_id: int
    source: str
    split: str
    file_name: str
    width: int
    height: int
    camera: PinholeCamera
    camera_height: float
    pitch: float
    roll: float
    sequence: int = -1
    frame: int = -1
    persons: list[Person] = field(default_factory=list)

    def to_dict(self) -> dict:
        data = {k: v for k, v in vars(self).items() if k not in ('camera', 'persons')}
        data['camera'] = {k: getattr(self.camera, k).tolist() for k in ('f', 'c', 'R', 't')}
        data['persons'] = [person.to_dict() for person in self.persons]
        return data

    @classmethod
    def from_dict(cls, data: dict) -> Scene:
        data = dict(data)
        data['camera'] = PinholeCamera(**data['camera'])
        data['persons'] = [Person.from_dict(person) for person in data['persons']]
        return cls(**data)
