# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""A MuPoTS-3D of a few frames on disk: the json, annot.mat and occlusion.mat with the official
field names.
"""

import json

import numpy as np
from scipy.io import savemat

# (sequence, frames); frame 1 of each sequence has nobody valid.
SEQUENCES = ((1, 4), (2, 3), (10, 3))
SCALE = 1.1  # univ_annot3 = SCALE * annot3
FOCAL, CENTER = 900.0, np.array([320.0, 240.0])


def pixels(joints):
    return joints[..., :2] / joints[..., 2:] * FOCAL + CENTER


def write_mupots(root):
    """Write the tree under ``root``; returns {frame key: (valid (G,), annot3 (G, 17, 3) mm)}."""
    rng = np.random.default_rng(0)
    images, annotations, truth = [], [], {}
    for sequence, count in SEQUENCES:
        cells, labels = np.empty((count, 2), dtype=object), np.empty((count, 2), dtype=object)
        for frame in range(count):
            image = len(images) + 1
            images.append(
                dict(
                    id=image, file_name=f'TS{sequence}/img_{frame:06d}.jpg', width=640, height=480,
                    intrinsic=[FOCAL, FOCAL, *CENTER.tolist()],
                )
            )  # fmt: skip
            valid, poses = [], []
            for person in range(2):
                # a metre apart, some 130 px: no prediction of one is near another's joints
                place = (1200 * person - 600, 0, 5000)
                pose = rng.normal(place, (90, 250, 90), (17, 3))
                ok = frame != 1
                annotations.append(
                    dict(
                        id=len(annotations) + 1, image_id=image, bbox=[10, 10, 100, 200],
                        is_valid=int(ok),
                        keypoints_cam=pose.tolist(), keypoints_img=pixels(pose).tolist(),
                        keypoints_vis=[True] * 17,
                    )
                )  # fmt: skip
                cells[frame, person] = dict(annot2=pixels(pose).T, isValidFrame=float(ok))
                cells[frame, person] |= dict(annot3=pose.T, univ_annot3=SCALE * pose.T)
                labels[frame, person] = (rng.random((1, 17)) < 0.3).astype(float)
                valid.append(ok)
                poses.append(pose)
            truth[f'TS{sequence}_img_{frame:06d}'] = np.array(valid), np.array(poses)
        folder = root / 'mupots' / 'MultiPersonTestSet' / f'TS{sequence}'
        folder.mkdir(parents=True)
        savemat(folder / 'annot.mat', dict(annotations=cells))
        savemat(folder / 'occlusion.mat', dict(occlusion_labels=labels))
    content = dict(images=images, annotations=annotations)
    (root / 'mupots' / 'MuPoTS-3D.json').write_text(json.dumps(content))
    return truth


def perfect_predictions(truth, scale=SCALE):
    """Every person, valid or not, where annot2 is; 3D of the universal height by default."""
    return {key: (pixels(poses), scale * poses) for key, (_, poses) in truth.items()}
