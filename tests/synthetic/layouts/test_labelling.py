# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import numpy as np
import pytest

from wsp_mm.structures.keypoints import convert_joints, get_joint_set
from wsp_mm.synthetic.layouts.labelling import (
    WORLD,
    AnnotationWriter,
    LabelSettings,
    flat_keypoints,
    label_joints,
)

EVERYTHING = LabelSettings('coco17', guesses=1.0, min_area=0, min_share=0.0)
JOINT_SETS = {'coco': 'coco17', 'posetrack18': 'posetrack18', 'crowdpose': 'crowdpose14'}
FILES = {
    'coco': 'person_keypoints_{}2017', 'posetrack18': 'posetrack18_{}',
    'crowdpose': 'mmpose_crowdpose_{}',
}  # fmt: skip


def labels(scene, **changes):
    settings = LabelSettings(**(vars(EVERYTHING) | changes))
    xy, v = label_joints(scene, settings)
    return xy, {name: v[:, k].tolist() for k, name in enumerate(WORLD.concepts)}


def test_rules_by_hand(make_scene, figure):
    hidden = [(0, name) for name in ('left_ear', 'nose', 'left_knee', 'left_wrist')]
    people = [figure(300, 400, 200), figure(500, 540, 300)]  # the second one's feet are cut off
    scene = make_scene(people, hidden=hidden)
    xy, v = labels(scene)
    assert v['left_wrist'] == [1, 2] and v['left_knee'] == [1, 2] and v['right_wrist'] == [2, 2]
    assert v['nose'][0] == v['left_ear'][0] == 0  # no guesses on the face
    assert v['left_ankle'] == [2, 0] and (xy[1, WORLD.index('left_ankle')] == 0).all()
    assert (xy == np.round(xy)).all()
    hip = WORLD.index('left_hip')
    np.testing.assert_allclose(xy[0, hip], people[0][hip], atol=0.5)
    assert labels(scene, guesses=0.0)[1]['left_wrist'] == [0, 2]
    halves, _ = labels(scene, step=0.5)
    assert (halves * 2 == np.round(halves * 2)).all() and (halves != np.round(halves)).any()
    # Of somebody of whom little can be seen no leg is guessed.
    scene.persons[0].visible_share = 0.2
    _, v = labels(scene, min_share=0.35)
    assert v['left_knee'][0] == 0 and v['left_wrist'][0] == 1
    # The least area is given for 640 x 480 px.
    scene.persons[0].area = 1000
    assert not any(labels(scene, min_area=1001)[1][name][0] for name in WORLD.concepts)
    assert labels(scene, min_area=1000)[1]['left_wrist'] == [1, 2]
    xy, v = label_joints(make_scene([]), EVERYTHING)
    assert xy.shape == (0, 29, 2) and v.shape == (0, 29)


def test_guesses_are_a_share_and_a_function_of_the_scene(make_scene, figure):
    hidden = [(0, name) for name in WORLD.concepts]
    scenes = [make_scene([figure(300, 400, 200)], hidden=hidden, scene_id=n) for n in range(60)]
    found = [labels(scene, guesses=0.6)[1] for scene in scenes]
    body = [k for k in WORLD.concepts if not (k == 'nose' or k.endswith(('_eye', '_ear')))]
    share = np.mean([[v[name] == [1] for name in body] for v in found])
    assert share == pytest.approx(0.6, abs=0.05)
    assert found[0] == labels(scenes[0], guesses=0.6)[1] != found[1]


def test_json_has_whole_numbers_and_no_nan(tmp_path):
    flat = flat_keypoints(np.array([[3.0, 4.5], [0.0, 0.0]]), np.array([2, 0]))
    assert flat == [3, 4.5, 2, 0, 0, 0]
    assert [type(value) for value in flat] == [int, float, int, int, int, int]
    writer = AnnotationWriter(tmp_path)
    with pytest.raises(ValueError):
        writer.json('x.json', [float('nan')])
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------ ground truth
@pytest.mark.parametrize('source', ['coco', 'posetrack18', 'crowdpose', 'mpii'])
def test_ground_truth_agrees_with_the_annotation_files(world, scenes_of, load, source):
    """Joined by id, labels equal the file's, and the true joints project onto them."""
    tables = sorted((world.folder / 'ground_truth').glob(f'{source}_*.npz'))
    assert len(tables) == (3 if source == 'crowdpose' else 2)
    by_id = {scene.request.scene_id: scene for scene in world.scenes['wild']}
    for path in tables:
        table, split = dict(np.load(path)), path.stem.removeprefix(f'{source}_')
        if source == 'mpii':  # rows are numbered as in the list
            people = load(f'mpii/annotations/mpii_{split}.json')
            assert table['source_ids'].tolist() == list(range(len(people)))
            images = [person['image'] for person in people]
            labelled = np.array([person['joints_vis'] for person in people]) > 0
            np.testing.assert_array_equal(table['labelled'] > 0, labelled)
        else:
            content = load(f'{source}/annotations/{FILES[source].format(split)}.json')
            anns = {a['id']: a for a in content['annotations'] if not a['iscrowd']}
            ids = table['source_ids'].tolist()
            assert sorted(ids) == sorted(anns)
            images = [str(anns[key]['image_id']) for key in ids]
            flat = np.array([np.reshape(anns[key]['keypoints'], (-1, 3)) for key in ids], float)
            labels = convert_joints(flat[..., :2], flat[..., 2], JOINT_SETS[source], 'mcpc16')
            np.testing.assert_allclose(table['keypoints'], labels[0], atol=1e-3)
            np.testing.assert_array_equal(table['labelled'], labels[1])
        assert table['image_source_ids'].tolist() == images
        everything = np.ones(table['visible'].shape)
        truth, _ = convert_joints(table['keypoints_px'], everything, 'world', 'mcpc16')
        limbs = [k for k, c in enumerate(get_joint_set('mcpc16').concepts) if '_' in c]
        off = np.abs(truth - table['keypoints'])[:, limbs][table['labelled'][:, limbs] > 0]
        assert off.max() <= 1.01
        for row, scene_id in enumerate(table['scene_ids'].tolist()):
            scene = by_id[scene_id]
            projected = scene.camera.project(table['keypoints_cam'][row].astype(float))[:, :2]
            seen = table['visible'][row]
            np.testing.assert_allclose(projected[seen], table['keypoints_px'][row][seen], atol=0.05)
            person = scene.persons[table['person_ids'][row]]
            assert person.action == table['action'][row]
            assert table['pitch'][row] == np.float32(scene.pitch)


def test_ground_truth_by_hand(make_scene, figure, tmp_path):
    scene = make_scene([figure(200, 400, 340), figure(400, 300, 100)], sequence=3, frame=2)
    xy = np.stack([person.joints_px for person in scene.persons])
    v = np.full((2, 29), 2)
    v[1, WORLD.index('left_ankle')] = 0
    for name in ('a', 'b'):
        writer = AnnotationWriter(tmp_path / name)
        writer.add_ground_truth(scene, [], [], 7, xy, v, 'world')
        writer.add_ground_truth(scene, [1], [41], 7, xy, v, 'world')
        writer.write_ground_truth()
        assert writer.annotated == {'train': 1}
    first, second = (tmp_path / name / 'ground_truth/coco_train.npz' for name in ('a', 'b'))
    assert first.read_bytes() == second.read_bytes()
    table = dict(np.load(first))
    assert table['source_ids'].tolist() == [41] and table['image_source_ids'].tolist() == ['7']
    assert table['person_ids'].tolist() == [11] and table['scene_ids'].tolist() == [7]
    assert table['sequences'].tolist() == [3] and table['frames'].tolist() == [2]
    # the second person of the hand-made scene stands at 4.1 m
    np.testing.assert_allclose(table['keypoints_cam'][0, :, 2], 4100)
    np.testing.assert_allclose(table['keypoints_px'][0], xy[1], atol=1e-4)
    left, right = get_joint_set('mcpc16').ankles
    assert table['labelled'][0, [left, right]].tolist() == [0, 2]
    assert table['keypoints'][0, left].tolist() == [0, 0]
