# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""The photo world: one set of images with COCO's and MuCo-3DHP's annotations."""

import numpy as np


def test_both_annotations_are_of_the_same_images_and_boxes(world, load):
    train, val = (
        load(f'photo/coco/annotations/person_keypoints_{split}2017.json')
        for split in ('train', 'val')
    )
    muco = load('photo/muco/MuCo-3DHP.json')
    names = {image['id']: image['file_name'] for image in muco['images']}
    assert len(train['images']) == len(names) == 25 and len(val['images']) == 1
    for name in names.values():
        assert (world.folder / 'photo' / name).is_file()
    # COCO leaves out whom it puts into a crowd region, and rounds.
    boxes = {image['id']: [] for image in train['images']}
    for annotation in train['annotations']:
        if not annotation['iscrowd']:
            boxes[annotation['image_id']].append(annotation['bbox'])
    in_muco = {int(name.split('/')[-1][:-4]): [] for name in names.values()}
    for annotation in muco['annotations']:
        image = int(names[annotation['image_id']].split('/')[-1][:-4])
        in_muco[image].append(annotation['bbox'])
    for image, found in boxes.items():
        for box in found:
            distances = np.abs(np.subtract(in_muco[image], box)).max(axis=1)
            assert distances.min() < 0.01


def test_ground_truth_lies_beside_them(world):
    table = np.load(world.folder / 'photo/ground_truth/coco_train.npz')
    assert len(table['source_ids']) and table['keypoints_cam'].shape[1:] == (29, 3)
