# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Where each joint of the set ``world`` lies in anny's body, and which surface may lie before it
without hiding it.

A joint comes from the COCO regressor ('keypoint'), from bone heads ('bone', their mean), from other
joints ('mean'), or is the vertex on top of the head ('crown').
"""

from dataclasses import dataclass

import numpy as np

from wsp_mm.structures.keypoints import get_joint_set

from .body import PART_INDEX, PARTS, BodyModel

_HEAD = ('head',)


@dataclass(frozen=True)
class Joint:
    """How a joint is found and seen.

    Attributes:
        source: 'keypoint', 'bone', 'mean' or 'crown'. names: of what.
        parts: of the body it lies in, without side for paired parts: only their surface may lie
            before a visible joint.
        depth: m for a body of 1.7 m: the most that surface may lie before it.
    """

    source: str
    names: tuple[str, ...]
    parts: tuple[str, ...]
    depth: float


def _paired(
    name: str, source: str, names: tuple[str, ...], parts: tuple[str, ...], depth: float
) -> dict[str, Joint]:
    """A left and a right joint; ``*`` in names is the side."""
    joints = {}
    for side, tag in (('left', 'L'), ('right', 'R')):
        own = tuple(n.replace('*', tag if source == 'bone' else side) for n in names)
        own_parts = tuple(f'{side}_{p}' if f'{side}_{p}' in PART_INDEX else p for p in parts)
        joints[f'{side}_{name}'] = Joint(source, own, own_parts, depth)
    return joints


_SHOULDERS, _HIPS = ('left_shoulder', 'right_shoulder'), ('left_hip', 'right_hip')
_PELVIS = ('pelvis', 'torso', 'left_thigh', 'right_thigh')
# Depths: the thickest that living people's parts are before the joint, seen from any side that
# shows it.
DEFINITIONS: dict[str, Joint] = {
    'nose': Joint('keypoint', ('nose',), _HEAD, 0.03),
    **_paired('eye', 'keypoint', ('*_eye',), _HEAD, 0.03),
    **_paired('ear', 'keypoint', ('*_ear',), _HEAD, 0.045),
    **_paired('shoulder', 'keypoint', ('*_shoulder',), ('torso', 'neck', 'upper_arm'), 0.14),
    **_paired('elbow', 'keypoint', ('*_elbow',), ('upper_arm', 'forearm'), 0.09),
    **_paired('wrist', 'keypoint', ('*_wrist',), ('forearm', 'hand'), 0.07),
    **_paired('hip', 'keypoint', ('*_hip',), ('pelvis', 'torso', 'thigh'), 0.22),
    **_paired('knee', 'keypoint', ('*_knee',), ('thigh', 'shin'), 0.13),
    **_paired('ankle', 'keypoint', ('*_ankle',), ('shin', 'foot'), 0.10),
    'pelvis': Joint('mean', _HIPS, _PELVIS, 0.26),
    'spine': Joint('bone', ('spine03',), ('torso', 'pelvis'), 0.26),
    'thorax': Joint('mean', _SHOULDERS, ('torso', 'neck'), 0.24),
    'upper_neck': Joint('bone', ('neck01', 'neck03'), ('neck', 'torso', 'head'), 0.14),
    'head': Joint('bone', ('head', 'eye.L', 'eye.R'), ('head', 'neck'), 0.17),
    'head_top': Joint('crown', ('head',), _HEAD, 0.06),
    **_paired('hand', 'bone', ('finger3-1.*',), ('hand', 'forearm'), 0.07),
    **_paired('toe', 'keypoint', ('*_big_toe',), ('foot',), 0.05),
    **_paired('heel', 'keypoint', ('*_heel',), ('foot', 'shin'), 0.07),
}

WORLD = get_joint_set('world').concepts
DEPTHS = np.array([DEFINITIONS[name].depth for name in WORLD])
# (J, parts): whether that part's surface may lie before the joint.
ALLOWED_PARTS = np.array([[part in DEFINITIONS[name].parts for part in PARTS] for name in WORLD])


def regress_joints(body: BodyModel, vertices: np.ndarray, heads: np.ndarray) -> np.ndarray:
    """Joints of posed bodies.

    Args:
        body: the model. vertices: (B, V, 3) of the skin. heads: (B, N, 3) bone heads, same frame,
            m.

    Returns:
        (B, J, 3) in the order of the joint set ``world``, same frame and unit.
    """
    keypoints = np.einsum('kv,bvd->bkd', body.regressor, vertices, optimize=True)
    found: dict[str, np.ndarray] = {}
    for name in sorted(WORLD, key=lambda name: DEFINITIONS[name].source == 'mean'):
        joint = DEFINITIONS[name]
        if joint.source == 'keypoint':
            found[name] = keypoints[:, body.regressor_labels.index(joint.names[0])]
        elif joint.source == 'bone':
            found[name] = heads[:, [body.index[bone] for bone in joint.names]].mean(axis=1)
        elif joint.source == 'mean':
            found[name] = np.mean([found[parent] for parent in joint.names], axis=0)
        else:
            found[name] = vertices[:, body.crown]
    return np.stack([found[name] for name in WORLD], axis=1)
