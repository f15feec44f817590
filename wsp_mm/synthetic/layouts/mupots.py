# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""MuPoTS-3D in both of its forms: 3DMPPE's ``mupots/MuPoTS-3D.json``, and of each sequence the
official files ``mupots/MultiPersonTestSet/TS1/annot.mat`` and ``occlusion.mat`` beside its images.

The json's keypoints_cam and annot.mat's annot3 are the pose that the camera sees. univ_annot3 is
that pose scaled about the camera, which leaves every pixel where it is, until the bones from knee
to neck are as long as in everybody else's: what a network that sees one image can know of
somebody's size. N persons, 17 joints (``mupots17``).
"""

import io
from collections import defaultdict
from collections.abc import Iterable

import numpy as np

from wsp_mm.structures.keypoints import get_joint_set

from ..ground_truth import SceneGT
from ..plan import rng_of
from .h36m import joint_box
from .labelling import AnnotationWriter
from .muco import muco_joints

NUM_SEQUENCES = 20
# From knee to neck along the bones: the mean of the embedded world's adults, so that the universal
# pose is, on average, where the person is.
UNIVERSAL_MM = 890.0
# Share of the annotations of people in full view that are missing.
_MISSED = 0.06
# Of somebody annotated at least so many of the world's joints are in the image, and visible.
_MIN_INSIDE, _MIN_VISIBLE = 20, 8
_SET = get_joint_set('mupots17')
_PELVIS = get_joint_set('world').index('pelvis')


def num_people(sequence: int) -> tuple[int, bool]:
    """How many people a sequence has, and whether the last of them is a bystander, whom nobody
    annotates.
    """
    number = 2 if sequence % 3 == 0 else 3
    return number, number == 3 and sequence % 4 == 0


def num_columns(sequence: int) -> int:
    """How many people of a sequence are in its annotations."""
    number, bystander = num_people(sequence)
    return number - bystander


def knee_to_neck(joints: np.ndarray) -> np.ndarray:
    """Length (N,) mm of the bones from knee (the mean of both) over hips, pelvis and spine to the
    neck.

    Args:
        joints: (N, 17, 3) mm. The length does not depend on the posture.
    """

    def bone(a: str, b: str) -> np.ndarray:
        return np.linalg.norm(joints[:, _SET.index(a)] - joints[:, _SET.index(b)], axis=-1)

    thigh = (bone('left_hip', 'left_knee') + bone('right_hip', 'right_knee')) / 2
    return thigh + bone('pelvis', 'spine') + bone('spine', 'thorax')


def is_valid(scene: SceneGT) -> np.ndarray:
    """(N,) whether somebody is annotated: in view, not missed by chance, no bystander."""
    request, cam = scene.request, scene.joints_cam()
    in_view = [
        p.inside.sum() >= _MIN_INSIDE and p.visible.sum() >= _MIN_VISIBLE and p.inside[_PELVIS]
        for p in scene.persons
    ]
    missed = rng_of(request, 'missed', request.scene_id).random(len(in_view)) < _MISSED
    annotated = np.arange(len(in_view)) < num_columns(request.sequence) * request.annotated
    return np.array(in_view, dtype=bool) & (cam[..., 2] > 300).all(axis=1) & ~missed & annotated


def write(writer: AnnotationWriter, scenes: Iterable[SceneGT]) -> None:
    """Write json and MATLAB files.

    Args:
        scenes: sequences one after another, frames in order.
    """
    images, annotations = [], []
    frames: dict[int, list[tuple[list[dict], list[np.ndarray]]]] = defaultdict(list)
    for scene in scenes:
        request, camera, valid = scene.request, scene.camera, is_valid(scene)
        columns = num_columns(request.sequence)
        joints, px, visible = (a[:columns, :17] for a in muco_joints(scene))
        universal = joints * (UNIVERSAL_MM / np.maximum(knee_to_neck(joints), 1.0))[:, None, None]
        images.append(
            dict(
                id=request.scene_id, file_name='/'.join(request.path.split('/')[-2:]),
                width=request.width, height=request.height,
                intrinsic=[*camera.f.tolist(), *camera.c.tolist()],
            )
        )  # fmt: skip
        # Columns of who is not there are zeros.
        persons = [_annotation(*[np.zeros((17, n)) for n in (2, 3, 3)], False)] * columns
        occluded = [np.zeros((1, 17))] * columns
        for i in range(len(joints)):
            annotations.append(
                dict(
                    id=len(annotations), image_id=request.scene_id, bbox=joint_box(px[i]),
                    is_valid=int(valid[i]), keypoints_cam=joints[i].tolist(),
                    keypoints_img=px[i].tolist(), keypoints_vis=visible[i].astype(int).tolist(),
                )
            )  # fmt: skip
            persons[i] = _annotation(px[i], joints[i], universal[i], bool(valid[i]))
            occluded[i] = (1.0 - visible[i])[None]
        frames[request.sequence].append((persons, occluded))
        writer.annotated[request.split] += int(valid.sum())
    writer.json('mupots/MuPoTS-3D.json', dict(images=images, annotations=annotations))
    for sequence, rows in frames.items():
        folder = f'mupots/MultiPersonTestSet/TS{sequence}'
        for k, (file, name) in enumerate(
            (('annot', 'annotations'), ('occlusion', 'occlusion_labels'))
        ):
            cells = np.empty((len(rows), num_columns(sequence)), dtype=object)
            for i, row in enumerate(rows):
                for j, cell in enumerate(row[k]):
                    cells[i, j] = cell
            writer.bytes(f'{folder}/{file}.mat', encode_mat({name: cells}))


def _annotation(px: np.ndarray, joints: np.ndarray, universal: np.ndarray, valid: bool) -> dict:
    """A struct of annot.mat."""
    valid = np.array([[valid]])
    return dict(annot2=px.T, annot3=joints.T, univ_annot3=universal.T, isValidFrame=valid)


def encode_mat(content: dict) -> bytes:
    """A MATLAB 5 file whose bytes depend on the content alone."""
    from scipy.io import savemat

    buffer = io.BytesIO()
    savemat(buffer, content, oned_as='row')
    # The first 116 bytes of the format are free text, where SciPy notes the time.
    return b'MATLAB 5.0 MAT-file, wsp_mm embedded world'.ljust(116) + buffer.getvalue()[116:]
