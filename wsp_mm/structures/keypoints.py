# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Joint sets of every dataset, and every conversion between them.

Data sets call one place of the body by different names, and different places by one name. Each
joint is therefore bound to a *concept*; conversion goes by concept, never by name or index. K
joints.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np


def _sided(name: str) -> tuple[str, str]:
    return f'left_{name}', f'right_{name}'


_LIMBS = ('shoulder', 'elbow', 'wrist', 'hip', 'knee', 'ankle')

# Concepts that a set may lack although both of their parents are there.
MIDPOINTS = {'pelvis': _sided('hip'), 'thorax': _sided('shoulder')}

# Standard deviations of annotators relative to the person's size, as COCO defines them for its
# joints; the trunk's joints take the value of the joints beside them.
_SIGMAS = {
    'nose': 0.026, 'eye': 0.025, 'ear': 0.035, 'shoulder': 0.079, 'elbow': 0.072, 'wrist': 0.062,
    'hip': 0.107, 'knee': 0.087, 'ankle': 0.089, 'pelvis': 0.107, 'spine': 0.107, 'thorax': 0.079,
    'upper_neck': 0.079, 'head': 0.035, 'head_top': 0.035, 'hand': 0.062, 'toe': 0.089,
    'heel': 0.089,
}  # fmt: skip

_COLORS = {'left': (0, 255, 0), 'right': (255, 128, 0), 'middle': (51, 153, 255)}


@dataclass(frozen=True)
class JointSet:
    """Names, meanings and links of one data set's joints.

    Attributes:
        name: key in :data:`JOINT_SETS`.
        joints: the data set's own names, in its order.
        aliases: own name -> concept, where the two differ.
        links: pairs of own names, for drawing.
    """

    name: str
    joints: tuple[str, ...]
    aliases: dict[str, str]
    links: tuple[tuple[str, str], ...]

    def __len__(self) -> int:
        return len(self.joints)

    @cached_property
    def concepts(self) -> tuple[str, ...]:
        """What each joint means, in the order of ``joints``."""
        return tuple(self.aliases.get(joint, joint) for joint in self.joints)

    def index(self, concept: str) -> int:
        """Index of the joint with that meaning.

        Raises:
            KeyError: the set has no such joint.
        """
        if concept not in self.concepts:
            raise KeyError(
                f'joint set {self.name!r} has no {concept!r}; it has {list(self.concepts)}'
            )
        return self.concepts.index(concept)

    @cached_property
    def flip_indices(self) -> tuple[int, ...]:
        """For each joint, the index of its mirror image (itself on the body's axis)."""
        return tuple(self.index(mirrored(concept)) for concept in self.concepts)

    @cached_property
    def flip_pairs(self) -> tuple[tuple[int, int], ...]:
        return tuple((i, j) for i, j in enumerate(self.flip_indices) if i < j)

    @cached_property
    def ankles(self) -> tuple[int, int]:
        """Indices of the left and the right ankle."""
        return self.index('left_ankle'), self.index('right_ankle')

    @cached_property
    def link_indices(self) -> tuple[tuple[int, int], ...]:
        return tuple((self.joints.index(a), self.joints.index(b)) for a, b in self.links)


def mirrored(concept: str) -> str:
    """``left_*`` to ``right_*`` and back; anything else stays."""
    side, _, rest = concept.partition('_')
    return {'left': f'right_{rest}', 'right': f'left_{rest}'}.get(side, concept)


def _links(text: str) -> tuple[tuple[str, str], ...]:
    """Chains 'a-b-c d-e' to links; a leading '*' stands for left_ and right_ in turn."""
    links = []
    for chain in text.split():
        versions = (
            [chain.replace('*', side) for side in ('left_', 'right_')] if '*' in chain else [chain]
        )
        for version in versions:
            nodes = version.split('-')
            links += list(itertools.pairwise(nodes))
    return tuple(dict.fromkeys(links))  # both sides of a chain share the trunk


_COCO = ('nose', *_sided('eye'), *_sided('ear'), *(j for limb in _LIMBS for j in _sided(limb)))
_COCO_LINKS = _links(
    '*ankle-*knee-*hip left_hip-right_hip *shoulder-*hip left_shoulder-right_shoulder '
    '*shoulder-*elbow-*wrist left_eye-right_eye nose-*eye-*ear-*shoulder'
)
_MPII = (
    'right_ankle', 'right_knee', 'right_hip', 'left_hip', 'left_knee', 'left_ankle', 'pelvis',
    'thorax',
    'upper_neck', 'head_top', 'right_wrist', 'right_elbow', 'right_shoulder', 'left_shoulder',
    'left_elbow', 'left_wrist',
)  # fmt: skip
_MPII_LINKS = _links(
    '*ankle-*knee-*hip-pelvis-thorax-upper_neck-head_top *wrist-*elbow-*shoulder-thorax'
)
_H36M = (
    'root', 'right_hip', 'right_knee', 'right_foot', 'left_hip', 'left_knee', 'left_foot', 'spine',
    'thorax', 'neck_base', 'head', 'left_shoulder', 'left_elbow', 'left_wrist', 'right_shoulder',
    'right_elbow', 'right_wrist',
)  # fmt: skip
# The marker that MMPose calls thorax sits at the base of the neck, and the one it calls neck_base
# on the face.
_H36M_ALIASES = {
    'root': 'pelvis', 'right_foot': 'right_ankle', 'left_foot': 'left_ankle',
    'thorax': 'upper_neck',
    'neck_base': 'nose', 'head': 'head_top',
}  # fmt: skip
_H36M_LINKS = _links(
    'root-*hip-*knee-*foot root-spine-thorax-neck_base-head thorax-*shoulder-*elbow-*wrist'
)
_H36M18 = (
    'Pelvis', 'R_Hip', 'R_Knee', 'R_Ankle', 'L_Hip', 'L_Knee', 'L_Ankle', 'Torso', 'Neck', 'Nose',
    'Head',
    'L_Shoulder', 'L_Elbow', 'L_Wrist', 'R_Shoulder', 'R_Elbow', 'R_Wrist', 'Thorax',
)  # fmt: skip
_MUCO = (
    'Head_top', 'Thorax', 'R_Shoulder', 'R_Elbow', 'R_Wrist', 'L_Shoulder', 'L_Elbow', 'L_Wrist',
    'R_Hip',
    'R_Knee', 'R_Ankle', 'L_Hip', 'L_Knee', 'L_Ankle', 'Pelvis', 'Spine', 'Head', 'R_Hand',
    'L_Hand',
    'R_Toe', 'L_Toe',
)  # fmt: skip

# Relative Human: CrowdPose's joints, those of its own images, and OCHuman's.
_RH14 = (
    'L_Shoulder', 'R_Shoulder', 'L_Elbow', 'R_Elbow', 'L_Wrist', 'R_Wrist', 'L_Hip', 'R_Hip',
    'L_Knee', 'R_Knee', 'L_Ankle', 'R_Ankle', 'Head_top', 'Neck',
)  # fmt: skip
_RH19 = ('Head_top', 'Nose', 'Neck', 'L_Eye', 'R_Eye', *_RH14[:12], 'L_BigToe', 'R_BigToe')
_RH_OCHUMAN19 = (
    'R_Shoulder', 'R_Elbow', 'R_Wrist', 'L_Shoulder', 'L_Elbow', 'L_Wrist', 'R_Hip', 'R_Knee',
    'R_Ankle', 'L_Hip', 'L_Knee', 'L_Ankle', 'Head_top', 'Neck', 'R_Ear', 'L_Ear', 'Nose', 'R_Eye',
    'L_Eye',
)  # fmt: skip


def _long(joint: str) -> str:
    """PoseNet's spelling to a concept: R_Hip -> right_hip, Head_top -> head_top."""
    side, _, rest = joint.partition('_')
    return {'L': f'left_{rest.lower()}', 'R': f'right_{rest.lower()}'}.get(side, joint.lower())


def _posenet_links(text: str, joints: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Links given as 'i-j' index pairs."""
    pairs = (pair.split('-') for pair in text.split())
    return tuple((joints[int(i)], joints[int(j)]) for i, j in pairs)


_WORLD = (
    *_COCO, 'pelvis', 'spine', 'thorax', 'upper_neck', 'head', 'head_top',
    *_sided('hand'), *_sided('toe'), *_sided('heel'),
)  # fmt: skip

JOINT_SETS: dict[str, JointSet] = {
    joint_set.name: joint_set
    for joint_set in (
        JointSet('coco17', _COCO, {}, _COCO_LINKS),
        JointSet('mpii16', _MPII, {}, _MPII_LINKS),
        # MCPC keeps MPII's joints and order (design decision: the paper does not name its joints).
        JointSet('mcpc16', _MPII, {}, _MPII_LINKS),
        JointSet(
            'crowdpose14',
            (*(j for limb in _LIMBS for j in _sided(limb)), 'top_head', 'neck'),
            {'top_head': 'head_top', 'neck': 'upper_neck'},
            _links(
                '*ankle-*knee-*hip left_hip-right_hip *shoulder-*hip left_shoulder-right_shoulder '
                '*shoulder-*elbow-*wrist top_head-neck-*shoulder'
            ),
        ),
        JointSet(
            'posetrack18',
            (
                'nose',
                'head_bottom',
                'head_top',
                *_sided('ear'),
                *(j for limb in _LIMBS for j in _sided(limb)),
            ),
            {'head_bottom': 'upper_neck'},
            _links(
                '*ankle-*knee-*hip left_hip-right_hip *shoulder-*hip left_shoulder-right_shoulder '
                '*shoulder-*elbow-*wrist nose-head_bottom nose-head_top head_bottom-*shoulder'
            ),
        ),
        JointSet('h36m17', _H36M, _H36M_ALIASES, _H36M_LINKS),
        JointSet(
            'h36m18',
            _H36M18,
            {joint: _long(joint) for joint in _H36M18}
            | {'Torso': 'spine', 'Neck': 'upper_neck', 'Head': 'head_top'},
            _posenet_links(
                '0-7 7-8 8-9 9-10 8-11 11-12 12-13 8-14 14-15 15-16 0-1 1-2 2-3 0-4 4-5 5-6',
                _H36M18,
            ),
        ),
        JointSet(
            'muco21',
            _MUCO,
            {joint: _long(joint) for joint in _MUCO},
            _posenet_links(
                '0-16 16-1 1-15 15-14 14-8 14-11 8-9 9-10 10-19 11-12 12-13 13-20 1-2 2-3 3-4 4-17 '
                '1-5 5-6 '
                '6-7 7-18',
                _MUCO,
            ),
        ),
        JointSet(
            'mupots17',
            _MUCO[:17],
            {joint: _long(joint) for joint in _MUCO[:17]},
            _posenet_links(
                '0-16 16-1 1-15 15-14 14-8 14-11 8-9 9-10 11-12 12-13 1-2 2-3 3-4 1-5 5-6 6-7',
                _MUCO,
            ),
        ),
        *(
            JointSet(
                name,
                joints,
                {joint: _long(joint) for joint in joints}
                | {'Neck': 'upper_neck', 'L_BigToe': 'left_toe', 'R_BigToe': 'right_toe'},
                _posenet_links(links, joints),
            )
            for name, joints, links in (
                (
                    'rh14',
                    _RH14,
                    '10-8 8-6 11-9 9-7 6-7 6-0 7-1 0-1 0-2 2-4 1-3 3-5 12-13 13-0 13-1',
                ),
                (
                    'rh19',
                    _RH19,
                    '17-15 15-13 13-11 18-16 16-14 14-12 11-12 11-5 12-6 5-6 5-7 7-9 6-8 8-10 0-2 '
                    '2-5 2-6 1-3 1-4',
                ),
                (
                    'rh_ochuman19',
                    _RH_OCHUMAN19,
                    '8-7 7-6 11-10 10-9 6-9 6-0 9-3 0-3 0-1 1-2 3-4 4-5 12-13 13-0 13-3 16-17 '
                    '16-18 17-14 18-15',
                ),
            )
        ),
        # Everything that the embedded world records of a person.
        JointSet(
            'world',
            _WORLD,
            {},
            _links(
                'pelvis-spine-thorax-upper_neck-head-head_top pelvis-*hip-*knee-*ankle-*heel '
                '*ankle-*toe '
                'thorax-*shoulder-*elbow-*wrist-*hand'
            ),
        ),
    )
}


def get_joint_set(name: str) -> JointSet:
    """The joint set of that name.

    Raises:
        KeyError: there is none; the message lists what there is.
    """
    if name not in JOINT_SETS:
        raise KeyError(f'unknown joint set {name!r}; known: {sorted(JOINT_SETS)}')
    return JOINT_SETS[name]


def convert_joints(
    keypoints: np.ndarray, visible: np.ndarray, source: str, target: str
) -> tuple[np.ndarray, np.ndarray]:
    """Move joints from one data set's order to another's.

    Pelvis and thorax that the source lacks are the midpoints of hips and shoulders when both are
    labelled.

    Args:
        keypoints: (..., K_source, D), any unit and frame.
        visible: (..., K_source), 0 where a joint is not labelled; other values are kept.
        source, target: names in :data:`JOINT_SETS`.

    Returns:
        keypoints (..., K_target, D) and visible (..., K_target), both 0 where the source has no
        such joint or has it unlabelled.

    Raises:
        KeyError: unknown joint set.
        ValueError: the arrays do not have the source's number of joints.
    """
    src, dst = get_joint_set(source), get_joint_set(target)
    keypoints, visible = np.asarray(keypoints), np.asarray(visible)
    if keypoints.shape[-2] != len(src) or visible.shape != keypoints.shape[:-1]:
        raise ValueError(
            f'{source} has {len(src)} joints, got keypoints {keypoints.shape} and visible '
            f'{visible.shape}'
        )
    out = np.zeros((*keypoints.shape[:-2], len(dst), keypoints.shape[-1]), dtype=keypoints.dtype)
    out_visible = np.zeros(out.shape[:-1], dtype=visible.dtype)
    made, first, second = _parents(source, target)
    seen = np.minimum(visible[..., first], visible[..., second])
    middle = (keypoints[..., first, :] + keypoints[..., second, :]) / 2
    out_visible[..., made] = seen
    out[..., made, :] = np.where((seen > 0)[..., None], middle, 0)
    return out, out_visible


@cache
def _parents(source: str, target: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Joints of the target that can be made, and the two of the source (often one twice) each is
    between.
    """
    src, dst = get_joint_set(source), get_joint_set(target)
    rows = []
    for k, concept in enumerate(dst.concepts):
        if concept in src.concepts:
            rows.append((k, src.index(concept), src.index(concept)))
        elif concept in MIDPOINTS and all(parent in src.concepts for parent in MIDPOINTS[concept]):
            rows.append((k, *(src.index(parent) for parent in MIDPOINTS[concept])))
    made, first, second = np.array(rows, dtype=np.intp).reshape(-1, 3).T
    return made, first, second


def pose_metainfo(name: str) -> dict:
    """The joint set as the ``metainfo`` dict that MMPose's datasets parse."""
    joint_set = get_joint_set(name)
    concepts, joints = joint_set.concepts, joint_set.joints

    def color(concept: str) -> list[int]:
        return list(_COLORS.get(concept.partition('_')[0], _COLORS['middle']))

    def sigma(concept: str) -> float:
        side, _, rest = concept.partition('_')
        return _SIGMAS[rest if side in ('left', 'right') else concept]

    return dict(
        dataset_name=name,
        keypoint_info={
            k: dict(
                id=k,
                name=joint,
                color=color(concepts[k]),
                type='upper' if not any(leg in concepts[k] for leg in _LOWER) else 'lower',
                swap='' if joint_set.flip_indices[k] == k else joints[joint_set.flip_indices[k]],
            )
            for k, joint in enumerate(joints)
        },
        skeleton_info={
            i: dict(link=link, id=i, color=color(concepts[joints.index(link[0])]))
            for i, link in enumerate(joint_set.links)
        },
        joint_weights=[1.0] * len(joints),
        sigmas=[sigma(concept) for concept in concepts],
    )


_LOWER = ('hip', 'knee', 'ankle', 'pelvis', 'toe', 'heel')
