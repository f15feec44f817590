# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Human3.6M in the layouts of 3DMPPE and of MMPose. Images have a name in each.

3DMPPE: three json files a subject under ``human36m/annotations``.

``Human36M_subject{s}_data.json``
    images: id, file_name, width, height, subject, action_name, action_idx (2 to 16), subaction_idx
    (1, 2), cam_idx (1 to 4), frame_idx (from 0; the file's number is one more). annotations: id,
    image_id, keypoints_vis (17 booleans: inside the image), bbox (x, y, w, h px). Ids are unique
    over all subjects.
``Human36M_subject{s}_camera.json``
    '1' to '4' -> R (3, 3), t (3,) mm with X_cam = R X_world + t, f, c (2,) px.
``Human36M_subject{s}_joint_3d.json``
    action -> subaction -> frame -> (17, 3) mm in the world; all keys are strings.

There is no ``bbox_root`` file: those hold what a detector and a root network predicted, and made
from the ground truth they would pass for predictions.

MMPose: ``h36m/annotation_body3d/{cameras.pkl, fps10, fps50}/*.npz``. ``fps50`` lists every frame
that the world has, ``fps10`` every one of them whose number is a multiple of 5; ``h36m_train.npz``
the subjects 1, 5, 6, 7, 8 and ``h36m_test.npz`` 9 and 11. N rows:

=======  ==========  ===========================================================================
key      shape       meaning
=======  ==========  ===========================================================================
imgname  (N,) str    ``S1/S1_Directions_1.54138969/S1_Directions_1.54138969_000001.jpg``, in
                     ``h36m/images``
center   (N, 2)      px, middle of the joints' extent
scale    (N,)        1.2 times the larger side of the extent, in units of 200 px
part     (N, 17, 3)  px, px, 1
S        (N, 17, 4)  metres in the camera frame, 1
=======  ==========  ===========================================================================

``cameras.pkl``: ('S1', '54138969') -> R (3, 3) and T (3, 1) metres with X_cam = R^T (X_world - T):
T is the camera's center and R its orientation; c, f (2, 1) px; k (3, 1), p (2, 1), both zero, as
the lenses do not distort; w, h px; name; id.
"""

import pickle
from collections import defaultdict
from collections.abc import Iterable

import numpy as np

from wsp_mm.structures.camera import PinholeCamera
from wsp_mm.structures.h36m import ACTIONS, CAMERA_IDS, frame_key, sequence_key, subaction_name
from wsp_mm.structures.keypoints import convert_joints

from ..ground_truth import SceneGT
from .labelling import AnnotationWriter

TEST_SUBJECTS = (9, 11)
_BOX_MARGIN = 1.2
_DECIMALS = 4  # of mm and px
_SCALE_UNIT = 200.0  # px


def image_name(subject: int, action: int, subaction: int, camera: int, frame: int) -> str:
    """Path of an image under ``human36m/images``.

    Args:
        action: index in ``ACTIONS``. camera: from 1. frame: from 0.
    """
    folder = sequence_key(subject, action, subaction, camera)
    return f'{folder}/{frame_key(subject, action, subaction, camera, frame)}.jpg'


def mmpose_image_name(subject: int, action: int, subaction: int, camera: int, frame: int) -> str:
    """Path of an image under ``h36m/images``; arguments as for :func:`image_name`."""
    number = subaction_name(subject, ACTIONS[action], subaction)
    name = ACTIONS[action] + ('' if number is None else f'_{number}')
    sequence = f'S{subject}_{name}.{CAMERA_IDS[camera - 1]}'
    return f'S{subject}/{sequence}/{sequence}_{frame + 1:06d}.jpg'


def joint_box(px: np.ndarray, margin: float = _BOX_MARGIN) -> list[float]:
    """Box x, y, w, h of joints (K, 2) px: their extent less one pixel, ``margin`` as large about
    its center.
    """
    low, high = px.min(axis=0), px.max(axis=0)
    size = np.maximum(high - low - 1, 1.0) * margin
    return np.round([*((low + high) / 2 - size / 2), *size], _DECIMALS).tolist()


def joints_of(scene: SceneGT) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(17, 3) mm in the world, rounded as they are written; the same in the camera frame; and
    (17, 2) px.
    """
    world = scene.persons[0].joints_world
    joints, _ = convert_joints(world, np.ones(len(world)), 'world', 'h36m17')
    joints = np.round(joints, _DECIMALS)
    local = scene.camera.to_camera(joints)
    return joints, local, scene.camera.project(local)[:, :2]


def write(writer: AnnotationWriter, scenes: Iterable[SceneGT]) -> None:
    """Write the files of both layouts.

    Args:
        scenes: subjects one after another.
    """
    subjects: dict[int, list[SceneGT]] = defaultdict(list)
    for scene in scenes:
        subjects[scene.request.clip[0]].append(scene)
        writer.annotated[scene.request.split] += 1
    first_id = 0
    for subject, of_subject in subjects.items():
        _write_3dmppe(writer, subject, of_subject, first_id)
        first_id += len(of_subject)
    _write_mmpose(writer, [scene for of_subject in subjects.values() for scene in of_subject])


def _write_3dmppe(
    writer: AnnotationWriter, subject: int, scenes: list[SceneGT], first_id: int
) -> None:
    images, annotations, cameras, joints_3d = [], [], {}, {}
    for image_id, scene in enumerate(scenes, start=first_id):
        request, (joints, _, px) = scene.request, joints_of(scene)
        _, action, subaction, _ = request.clip
        frames = joints_3d.setdefault(str(action), {}).setdefault(str(subaction), {})
        frames[str(request.frame)] = joints.tolist()
        camera, size = str(request.camera + 1), (request.width, request.height)
        cameras[camera] = {name: getattr(scene.camera, name).tolist() for name in 'Rtfc'}
        name = request.path.removeprefix('human36m/images/')
        images.append(
            dict(
                id=image_id, file_name=name, width=size[0], height=size[1], subject=subject,
                action_name=request.action, action_idx=action, subaction_idx=subaction,
                cam_idx=request.camera + 1, frame_idx=request.frame,
            )
        )  # fmt: skip
        inside, ids = ((px >= 0) & (px < size)).all(axis=1), dict(id=image_id, image_id=image_id)
        annotations.append(ids | dict(keypoints_vis=inside.tolist(), bbox=joint_box(px)))
    data = dict(images=images, annotations=annotations)
    for name, content in (('data', data), ('camera', cameras), ('joint_3d', joints_3d)):
        writer.json(f'human36m/annotations/Human36M_subject{subject}_{name}.json', content)


def _write_mmpose(writer: AnnotationWriter, scenes: list[SceneGT]) -> None:
    folder = 'h36m/annotation_body3d'
    cameras = {
        (f'S{scene.request.clip[0]}', CAMERA_IDS[scene.request.camera]): _mmpose_camera(scene)
        for scene in scenes
    }
    writer.bytes(f'{folder}/cameras.pkl', pickled(cameras))
    # Sequences by camera, then by frame, as MMPose's converter lists them.
    scenes = sorted(scenes, key=lambda s: (s.request.split, *s.request.clip[:3], s.request.camera))
    for rate, step in ((10, 5), (50, 1)):
        for split in ('train', 'test'):
            of_split = [scene for scene in scenes if scene.request.split == split]
            chosen = [scene for scene in of_split if scene.request.frame % step == 0]
            writer.npz(f'{folder}/fps{rate}/h36m_{split}.npz', _table(chosen))


def _table(scenes: list[SceneGT]) -> dict[str, np.ndarray]:
    """The arrays of one npz."""
    n = len(scenes)
    found = [joints_of(scene) for scene in scenes]
    local = np.reshape([cam / 1000 for _, cam, _ in found], (n, 17, 3))
    part, ones = np.reshape([px for _, _, px in found], (n, 17, 2)), np.ones((n, 17, 1))
    low, high = part.min(axis=1), part.max(axis=1)
    names = [scene.request.link.removeprefix('h36m/images/') for scene in scenes]
    return dict(
        imgname=np.array(names, dtype=np.str_), center=(low + high) / 2,
        scale=(high - low).max(axis=1) / _SCALE_UNIT * _BOX_MARGIN,
        part=np.concatenate([part, ones], axis=2), S=np.concatenate([local, ones], axis=2),
    )  # fmt: skip


def _mmpose_camera(scene: SceneGT) -> dict:
    """One entry of ``cameras.pkl``."""
    camera: PinholeCamera = scene.camera
    return dict(
        R=np.ascontiguousarray(camera.R.T), T=camera.position.reshape(3, 1) / 1000,
        c=camera.c.reshape(2, 1), f=camera.f.reshape(2, 1), k=np.zeros((3, 1)),
        p=np.zeros((2, 1)), w=scene.request.width, h=scene.request.height,
        name=f'camera{scene.request.camera + 1}', id=CAMERA_IDS[scene.request.camera],
    )  # fmt: skip


def pickled(cameras: dict) -> bytes:
    """The content of ``cameras.pkl``.

    NumPy 2 has moved its pickling functions; by their old names, which are the real file's, every
    version and every reader that allows only known names finds them. Names end with a newline, so
    lengths may change.
    """
    return pickle.dumps(cameras, protocol=3).replace(b'cnumpy._core.', b'cnumpy.core.')
