# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import json

import numpy as np
import pytest

from wsp_mm.datasets.converters.mcpc.sources import MCPC_SPLITS
from wsp_mm.structures.keypoints import convert_joints, get_joint_set
from wsp_mm.synthetic.layouts.files import WorldError
from wsp_mm.synthetic.truth import KEYS, TruthTable, available, load_truth, mcpc_truth, truth_path

FILES = {
    'coco': 'annotations/person_keypoints_{}2017.json',
    'posetrack18': 'annotations/posetrack18_{}.json',
    'crowdpose': 'annotations/mmpose_crowdpose_{}.json',
}
JOINT_SETS = {'coco': 'coco17', 'posetrack18': 'posetrack18', 'crowdpose': 'crowdpose14'}


def test_rows_by_hand(make_scene, figure):
    scene = make_scene([figure(200, 400, 340), figure(400, 300, 100)], sequence=3, frame=2)
    table = TruthTable('coco', 'train')
    xy = np.stack([person.joints_px for person in scene.persons])
    v = np.full((2, 29), 2)
    v[1, get_joint_set('world').index('left_ankle')] = 0
    table.add(scene, [], [], 7, xy[:0], v[:0], 'world')
    table.add(scene, [1], [41], 7, xy[1:], v[1:], 'world')
    arrays = table.arrays()
    assert set(arrays) == set(KEYS)
    assert arrays['source_ids'].tolist() == [41] and arrays['image_source_ids'].tolist() == ['7']
    assert arrays['person_ids'].tolist() == [11] and arrays['scene_ids'].tolist() == [7]
    assert arrays['sequences'].tolist() == [3] and arrays['frames'].tolist() == [2]
    # the second person of the hand-made scene stands at 4.1 m
    np.testing.assert_allclose(arrays['keypoints_cam'][0, :, 2], 4100)
    np.testing.assert_allclose(arrays['keypoints_px'][0], xy[1], atol=1e-4)
    left, right = get_joint_set('mcpc16').ankles
    assert arrays['labelled'][0, [left, right]].tolist() == [0, 2]
    assert arrays['keypoints'][0, left].tolist() == [0, 0]


@pytest.mark.parametrize('source', sorted(FILES))
def test_tables_agree_with_the_annotation_files(annotated, world_scenes, source):
    """Joined by id, labels equal the file's, and the true joints project onto them."""
    joint_set, by_id = JOINT_SETS[source], {scene.scene_id: scene for scene in world_scenes}
    for split in {split for name, split in available(annotated) if name == source}:
        table = load_truth(annotated, source, split)
        content = json.loads((annotated / source / FILES[source].format(split)).read_text())
        anns = {a['id']: a for a in content['annotations'] if not a['iscrowd']}
        assert sorted(table['source_ids'].tolist()) == sorted(anns)
        for row, key in enumerate(table['source_ids'].tolist()):
            flat = np.reshape(anns[key]['keypoints'], (-1, 3)).astype(float)
            xy, v = convert_joints(flat[:, :2], flat[:, 2].astype(int), joint_set, 'mcpc16')
            np.testing.assert_allclose(table['keypoints'][row], xy, atol=1e-3)
            np.testing.assert_array_equal(table['labelled'][row], v)
            assert table['image_source_ids'][row] == str(anns[key]['image_id'])
            scene = by_id[table['scene_ids'][row]]
            projected = scene.camera.project(table['keypoints_cam'][row].astype(float))[:, :2]
            px = table['keypoints_px'][row]
            np.testing.assert_allclose(
                projected[table['visible'][row]], px[table['visible'][row]], atol=0.05
            )
            truth_xy, _ = convert_joints(px, np.ones(29, dtype=int), 'world', 'mcpc16')
            if (
                source != 'coco'
            ):  # COCO's pelvis and thorax are midpoints, not the joints of that name
                ends = [k for k, c in enumerate(get_joint_set('mcpc16').concepts) if '_' in c]
                seen = [k for k in ends if v[k] > 0]
                assert np.abs(truth_xy - xy)[seen].max(initial=0) <= 1.01


def test_mpii_rows_are_numbered_as_in_the_list(annotated):
    for split in ('train', 'val'):
        rows = json.loads((annotated / 'mpii' / f'annotations/mpii_{split}.json').read_text())
        table = load_truth(annotated, 'mpii', split)
        assert table['source_ids'].tolist() == list(range(len(rows)))
        assert table['image_source_ids'].tolist() == [row['image'] for row in rows]
        np.testing.assert_array_equal(
            table['labelled'] > 0, [np.array(row['joints_vis']) > 0 for row in rows]
        )


def test_mcpc_truth_covers_both_splits_once(annotated):
    for split, sources in MCPC_SPLITS.items():
        index, merged = mcpc_truth(annotated, split)
        count = sum(
            len(load_truth(annotated, s, part)['source_ids'])
            for s, parts in sources.items()
            for part in parts
        )
        assert len(index) == count == len(merged['source_ids'])
        for (source, source_id), row in list(index.items())[::7]:
            assert merged['source_ids'][row] == source_id
            assert source in sources
    with pytest.raises(KeyError):
        mcpc_truth(annotated, 'val')


def test_an_empty_table_survives(tmp_path):
    TruthTable('mpii', 'val').write(tmp_path)
    table = load_truth(tmp_path, 'mpii', 'val')
    assert table['keypoints_cam'].shape == (0, 29, 3) and table['posture'].shape == (0,)


def test_writing_twice_gives_the_same_bytes(tmp_path, make_scene, figure):
    paths = []
    for name in ('a', 'b'):
        table, scene = TruthTable('coco', 'train'), make_scene([figure(200, 400, 340)])
        table.add(
            scene,
            [0],
            [1],
            7,
            scene.persons[0].joints_px[None],
            np.ones((1, 29), dtype=int),
            'world',
        )
        paths.append(table.write(tmp_path / name))
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_broken_tables_are_told(tmp_path):
    with pytest.raises(WorldError, match='no embedded world or an unfinished one'):
        available(tmp_path)
    with pytest.raises(WorldError, match=r'truth_coco_val\.npz: no such file'):
        load_truth(tmp_path, 'coco', 'val')
    path = truth_path(tmp_path, 'coco', 'val')
    path.parent.mkdir()
    path.write_bytes(b'PK no zip')
    with pytest.raises(WorldError, match=r'truth_coco_val.npz: not a readable npz'):
        load_truth(tmp_path, 'coco', 'val')
    np.savez(path, source_ids=np.arange(3))
    with pytest.raises(WorldError, match=r'truth_coco_val.npz: lacks .*keypoints_cam'):
        load_truth(tmp_path, 'coco', 'val')
    with pytest.raises(WorldError, match='none of the truth tables of MCPC train'):
        mcpc_truth(tmp_path, 'train')
