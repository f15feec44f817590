# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""MuCo-3DHP as 3DMPPE has it: ``muco/MuCo-3DHP.json``, one file for both sets of images.

images: id, file_name (with the set's folder), width, height, f, c (2,) px; annotations: id,
image_id, bbox (x, y, w, h px: the joints' extent with a margin; in the photo world of the visible
pixels), keypoints_cam (21, 3) mm in the camera frame, keypoints_img (21, 2) px, keypoints_vis (21
booleans: in the image and not covered by another person). There are no extrinsics.
"""

from collections.abc import Iterable

import numpy as np

from wsp_mm.structures.keypoints import convert_joints, get_joint_set

from ..ground_truth import SceneGT
from .h36m import joint_box
from .labelling import AnnotationWriter

_DECIMALS = 4  # of mm and px
_PELVIS = get_joint_set('world').index('pelvis')


def muco_joints(scene: SceneGT) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(N, 21, 3) mm in the camera frame, rounded as they are written, (N, 21, 2) px, 0 behind the
    camera, and (N, 21) whether they are visible.
    """
    cam = scene.joints_cam()
    visible = np.reshape([person.visible for person in scene.persons], cam.shape[:2]).astype(int)
    # Visible or not is no label: 2 and 1, so that joints that are not visible convert, too.
    joints, visible = convert_joints(cam, visible + 1, 'world', 'muco21')
    joints = np.round(joints, _DECIMALS)
    px = np.round(np.nan_to_num(scene.camera.project(joints)[..., :2]), _DECIMALS)
    return joints, px, visible > 1


def write(writer: AnnotationWriter, scenes: Iterable[SceneGT]) -> None:
    """Write the json; persons of an image are listed nearest first."""
    images, annotations = [], []
    for scene in scenes:
        request, camera = scene.request, scene.camera
        images.append(
            dict(
                id=request.scene_id, file_name=request.path.removeprefix('muco/'),
                width=request.width, height=request.height, f=camera.f.tolist(),
                c=camera.c.tolist(),
            )
        )  # fmt: skip
        joints, px, visible = muco_joints(scene)
        for i in np.argsort(scene.joints_cam()[:, _PELVIS, 2], kind='stable'):
            person = scene.persons[i]
            box = person.bbox.tolist() if person.area else joint_box(px[i])
            annotations.append(
                dict(
                    id=len(annotations), image_id=request.scene_id, bbox=box,
                    keypoints_cam=joints[i].tolist(), keypoints_img=px[i].tolist(),
                    keypoints_vis=visible[i].tolist(),
                )
            )  # fmt: skip
        writer.annotated[request.split] += len(joints)
    writer.json('muco/MuCo-3DHP.json', dict(images=images, annotations=annotations))
