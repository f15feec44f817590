# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""The exact ground truth of the embedded world: of an image (:class:`SceneGT`), and tables.

World frames have z up, the ground near z = 0, and millimetres. Joints follow the joint set
``world`` of :mod:`wsp_mm.structures.keypoints` (J joints). Pixel (0, 0) is the centre of the upper
left pixel.

``ground_truth/{source}_{split}.npz`` has one row for each annotated person of the wild world. Rows
are found by the source's own annotation id, which is what MCPC keeps as ``source`` and
``source_id``. N rows, J = 29 joints of the set ``world``, K = 16 joints of ``mcpc16``.

===================  ==========  ==================================================================
key                  shape       meaning
===================  ==========  ==================================================================
source_ids           (N,)        annotation id in the source's file (MPII: row number in the list)
image_source_ids     (N,) str    image's id in the source's file (MPII: file name)
scene_ids            (N,)        number of the image in the world, ``records/wild/NNNNNN.json``
keypoints_cam        (N, J, 3)   mm, camera frame
keypoints_px         (N, J, 2)   px
visible              (N, J)      whether the joint can be seen
keypoints            (N, K, 2)   px as annotated, 0 where not labelled
labelled             (N, K)      0 not labelled, 1 labelled but hidden (PoseTrack18: labelled), 2
                                 visible
person_ids           (N,)        identity within a scene or video
sequences, frames    (N,)        video and frame number, -1 for stills
pitch, roll          (N,)        degrees; positive pitch looks down
camera_height        (N,)        mm over the ground
age, height          (N,)        years, mm
lowest_mm            (N,)        height of the body's lowest point over the ground
visible_share        (N,)        visible px / px that the body would fill alone
posture, action      (N,) str    as in :class:`PersonGT`
===================  ==========  ==================================================================
"""

from dataclasses import dataclass, field

import numpy as np

from wsp_mm.structures.camera import PinholeCamera
from wsp_mm.structures.keypoints import convert_joints, get_joint_set

from .plan import SceneRequest

_JOINTS = len(get_joint_set('world'))


@dataclass
class PersonGT:
    """One person in one image.

    Attributes:
        person_id: identity, the same in all frames of one sequence.
        action: name of the action that its pose was sampled from.
        posture: as in ``motion.Pose``.
        age: years. height: mm.
        joints_world: (J, 3) mm.
        joints_px: (J, 2) px, the projection of ``joints_world``; nan behind the camera.
        inside: (J,) whether the projection falls into the image.
        visible: (J,) inside, and hidden by nothing; in ``muco`` by no nearer person; in ``h36m``
            equal to ``inside``.
        lowest_mm: height of the body's lowest vertex over the ground, mm.
        bbox: (4,) x, y, w, h px of the visible pixels, zeros when nothing is visible.
        area: number of visible pixels.
        visible_share: visible pixels / pixels the body would fill in this image without the
            others.
        polygons: outlines of the visible pixels, each a flat list x0, y0, x1, y1, ... px.

    The last four are filled in for the wild world alone.
    """

    person_id: int
    action: str
    posture: str
    age: float
    height: float
    joints_world: np.ndarray
    joints_px: np.ndarray
    inside: np.ndarray
    visible: np.ndarray
    lowest_mm: float
    bbox: np.ndarray = field(default_factory=lambda: np.zeros(4))
    area: int = 0
    visible_share: float = 1.0
    polygons: list[list[float]] = field(default_factory=list)

    def to_dict(self) -> dict:
        """Plain lists and numbers, for json."""
        flags = {k: getattr(self, k).tolist() for k in ('inside', 'visible')}
        numbers = {
            k: np.round(np.nan_to_num(getattr(self, k)), 3).tolist()
            for k in ('joints_world', 'joints_px', 'bbox')
        }
        return vars(self) | flags | numbers

    @classmethod
    def from_dict(cls, data: dict) -> 'PersonGT':
        """The inverse of :meth:`to_dict`."""
        shapes = dict(joints_world=(_JOINTS, 3), joints_px=(_JOINTS, 2), bbox=(4,))
        arrays = {k: np.reshape(np.array(data[k], float), shape) for k, shape in shapes.items()}
        flags = {k: np.reshape(np.array(data[k], bool), _JOINTS) for k in ('inside', 'visible')}
        return cls(**(data | arrays | flags))


@dataclass
class SceneGT:
    """One image: what it was asked to be, the camera that took it, and everybody in the scene."""

    request: SceneRequest
    camera: PinholeCamera
    persons: list[PersonGT]

    @property
    def camera_height(self) -> float:
        """mm over the ground."""
        return float(self.camera.position[2])

    @property
    def pitch(self) -> float:
        """Degrees; positive pitch looks down."""
        return float(np.rad2deg(-np.arcsin(self.camera.R[2, 2])))

    @property
    def roll(self) -> float:
        """Degrees; a positive roll turns the image clockwise."""
        return float(np.rad2deg(np.arctan2(self.camera.R[0, 2], -self.camera.R[1, 2])))

    def joints_cam(self) -> np.ndarray:
        """(N, J, 3) mm in the camera frame."""
        joints = [person.joints_world for person in self.persons]
        return self.camera.to_camera(np.reshape(joints, (-1, _JOINTS, 3)))

    def to_dict(self) -> dict:
        """Plain lists and numbers, for json."""
        camera = {k: getattr(self.camera, k).tolist() for k in ('f', 'c', 'R', 't')}
        persons = [person.to_dict() for person in self.persons]
        return dict(path=self.request.path, camera=camera, persons=persons)

    @classmethod
    def from_dict(cls, data: dict, request: SceneRequest) -> 'SceneGT':
        """The inverse of :meth:`to_dict`.

        Raises:
            ValueError: it belongs to another request, or the joints are not all there. KeyError,
                TypeError: something is missing or too much.
        """
        if data['path'] != request.path:
            raise ValueError(f'it is of {data["path"]!r}, the plan says {request.path!r}')
        persons = [PersonGT.from_dict(person) for person in data['persons']]
        return cls(request, PinholeCamera(**data['camera']), persons)


_PERSON_COLUMNS = (
    'age', 'height', 'lowest_mm', 'visible_share', 'posture', 'action', 'visible',
)  # fmt: skip


def ground_truth_rows(
    scene: SceneGT, rows: list[int], ids: list[int], image_id: int | str, xy: np.ndarray,
    v: np.ndarray, joint_set: str,
) -> dict[str, np.ndarray]:  # fmt: skip
    """Rows of the module's table for the annotated persons ``scene.persons[rows]``, at least one.

    Args:
        ids: their annotation ids. image_id: the image's id in the source's file.
        xy: (N, K_source, 2) px and v: (N, K_source), labels of all persons of the scene in the
            source's ``joint_set``.
    """
    request, persons = scene.request, [scene.persons[row] for row in rows]
    keypoints, labelled = convert_joints(xy[rows], v[rows], joint_set, 'mcpc16')
    shared = dict(
        image_source_ids=str(image_id), scene_ids=request.scene_id, sequences=request.sequence,
        frames=request.frame, pitch=scene.pitch, roll=scene.roll,
        camera_height=scene.camera_height,
    )  # fmt: skip
    columns = {name: [value] * len(rows) for name, value in shared.items()}
    columns |= {name: [getattr(person, name) for person in persons] for name in _PERSON_COLUMNS}
    columns |= dict(
        source_ids=ids, person_ids=[person.person_id for person in persons],
        keypoints_cam=scene.joints_cam()[rows], keypoints=keypoints,
        keypoints_px=[person.joints_px for person in persons], labelled=labelled.astype(np.int8),
    )  # fmt: skip
    arrays = {name: np.array(values) for name, values in columns.items()}
    return {k: a.astype(np.float32) if a.dtype.kind == 'f' else a for k, a in arrays.items()}
