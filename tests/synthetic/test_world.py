# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import importlib
import json
import os
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from wsp_mm.synthetic import world
from wsp_mm.synthetic.annotations_only import scenes
from wsp_mm.synthetic.layouts.files import WorldError
from wsp_mm.synthetic.plan import Preset, plan_world
from wsp_mm.synthetic.record import Scene
from wsp_mm.synthetic.world import (
    Report,
    is_done,
    make_world,
    picture_path,
    read_scenes,
    scene_path,
    verify_world,
)

PRESET = Preset('test', pictures=40, long_side=96, video=3, test_share=0.25)


@pytest.fixture
def generate(bank):
    """A renderer that paints the scene's number, and counts its calls."""

    def make(request):
        make.calls.append(request.scene_id)
        colour = np.array(
            [request.scene_id, 255 - request.scene_id, request.seed % 256], dtype=np.uint8
        )
        image = np.broadcast_to(colour, (request.height, request.width, 3)).copy()
        return image, next(scenes([request], bank, 0))

    make.calls = []
    return make


def contents(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob('*'))
        if path.is_file()
    }


def test_a_whole_world(tmp_path, generate):
    report = make_world(tmp_path / 'w', PRESET, seed=3, workers=0, mpii_mat=True, generate=generate)
    assert (report.rendered, report.kept) == (40, 0)
    assert sum(count['pictures'] for count in report.counts.values()) == 40
    assert all(
        count['with_ankle'] <= count['annotated'] <= count['persons']
        for count in report.counts.values()
    )
    names = {str(path.relative_to(tmp_path / 'w')) for path in report.paths}
    assert {
        'coco/annotations/person_keypoints_train2017.json', 'coco/annotations/person_keypoints_val2017.json',
        'mpii/annotations/mpii_train.json', 'mpii/annotations/mpii_val.json',
        'mpii/annotations/mpii_human_pose_v1_u12_1.mat', 'posetrack18/annotations/posetrack18_train.json',
        'posetrack18/annotations/train/000000_synthetic.json', 'posetrack18/annotations/posetrack18_val.json',
        'crowdpose/annotations/mmpose_crowdpose_trainval.json',
        'crowdpose/annotations/mmpose_crowdpose_test.json', 'truth/truth_coco_val.npz',
        'truth/truth_crowdpose_test.npz',
    } <= names  # fmt: skip
    assert all(path.is_file() for path in report.paths)
    for request in plan_world(PRESET, 3):
        image = cv2.imread(str(picture_path(tmp_path / 'w', request)))
        assert image.shape == (request.height, request.width, 3)
        # RGB in the renderer, as written in the file
        assert abs(int(image[0, 0, 2]) - request.scene_id) <= 2
        scene = Scene.from_dict(json.loads(scene_path(tmp_path / 'w', request).read_text()))
        assert scene.file_name == request.file_name


def test_every_listed_picture_is_there(tmp_path, generate):
    make_world(tmp_path, PRESET, workers=0, generate=generate)
    files = {
        'coco': [
            (f'annotations/person_keypoints_{s}2017.json', f'{s}2017') for s in ('train', 'val')
        ],
        'posetrack18': [(f'annotations/posetrack18_{s}.json', '') for s in ('train', 'val')],
        'crowdpose': [
            (f'annotations/mmpose_crowdpose_{s}.json', 'images') for s in ('trainval', 'test')
        ],
    }
    listed = 0
    for source, pairs in files.items():
        for file, folder in pairs:
            for image in json.loads((tmp_path / source / file).read_text())['images']:
                assert (tmp_path / source / folder / image['file_name']).is_file()
                listed += 1
    assert listed == 32
    for split in ('train', 'val'):
        for row in json.loads((tmp_path / f'mpii/annotations/mpii_{split}.json').read_text()):
            assert (tmp_path / 'mpii/images' / row['image']).is_file()


def test_an_interrupted_run_goes_on_where_it_stopped(tmp_path, generate):
    whole, broken = tmp_path / 'whole', tmp_path / 'broken'
    make_world(whole, PRESET, workers=0, generate=generate)
    generate.calls.clear()

    def stops(request):
        if request.scene_id == 17:
            raise MemoryError('no more')
        return generate(request)

    with pytest.raises(WorldError, match=r'scene 17 cannot be made: MemoryError: no more'):
        make_world(broken, PRESET, workers=0, generate=stops)
    assert not (broken / 'coco/annotations').exists()
    (broken / 'coco' / 'x.jpg.99.part').write_bytes(b'half')
    done = [r for r in plan_world(PRESET, 0) if is_done(broken, r)]
    picture_path(broken, done[2]).unlink()
    scene_path(broken, done[5]).unlink()
    picture_path(broken, done[7]).write_bytes(b'')
    generate.calls.clear()
    report = make_world(broken, PRESET, workers=0, generate=generate)
    assert report.kept == len(done) - 3 and sorted(generate.calls) == sorted(
        {2, 5, 7, *range(17, 40)}
    )
    assert contents(broken) == contents(whole)
    generate.calls.clear()
    assert make_world(broken, PRESET, workers=0, generate=generate).kept == 40
    assert generate.calls == []


@pytest.mark.parametrize('change', [dict(seed=4), dict(preset=replace(PRESET, pictures=44))])
def test_another_world_in_the_same_folder_is_an_error(tmp_path, generate, change):
    make_world(tmp_path, PRESET, seed=3, workers=0, generate=generate)
    before = contents(tmp_path)
    with pytest.raises(WorldError, match=rf'already holds another world.*rm -r {tmp_path}'):
        make_world(
            tmp_path, **{'preset': PRESET, 'seed': 3, **change}, workers=0, generate=generate
        )
    assert contents(tmp_path) == before


def test_real_data_is_never_written_into(tmp_path, generate):
    (tmp_path / 'coco' / 'annotations').mkdir(parents=True)
    with pytest.raises(
        WorldError, match=r"holds \['coco'\] but no world.json, so it may be real data"
    ):
        make_world(tmp_path, PRESET, workers=0, generate=generate)
    assert contents(tmp_path) == {} and generate.calls == []


def test_a_folder_that_cannot_be_made(tmp_path, generate):
    (tmp_path / 'file').write_text('')
    with pytest.raises(WorldError, match='a file lies where a folder should be'):
        make_world(tmp_path / 'file' / 'world', PRESET, workers=0, generate=generate)
    (tmp_path / 'world.json').write_text('{')
    with pytest.raises(WorldError, match=r'world.json: broken json'):
        make_world(tmp_path, PRESET, workers=0, generate=generate)


def test_broken_records_are_named(tmp_path, generate):
    make_world(tmp_path, PRESET, workers=0, generate=generate)
    requests = plan_world(PRESET, 0)
    path = scene_path(tmp_path, requests[4])
    good = json.loads(path.read_text())
    for content, words in (
        ('{"scene_id": 4', 'not a scene record'),
        (json.dumps({k: v for k, v in good.items() if k != 'camera'}), 'not a scene record'),
        (json.dumps({**good, 'file_name': 'x.jpg'}), "file_name is 'x.jpg', the plan says"),
    ):
        path.write_text(content)
        with pytest.raises(WorldError, match=rf'000004.json: {words}'):
            list(read_scenes(tmp_path, requests))


def test_a_picture_that_cannot_be_encoded_names_the_scene(tmp_path, generate):
    def empty(request):
        return np.zeros((0, 0, 3), np.uint8), generate(request)[1]

    with pytest.raises(WorldError, match='scene 0 cannot be made'):
        make_world(tmp_path, PRESET, workers=0, generate=empty)


def test_counts_tell_who_was_annotated(make_scene, figure, tmp_path):
    # One upright, one without feet in the picture, one too small for joints.
    scene = make_scene([figure(100, 300, 250), figure(300, 560, 400), figure(500, 300, 20)])
    report = Report()
    world.write_annotations(tmp_path, [scene], 1, report)
    assert report.counts == {
        ('coco', 'train'): dict(pictures=1, persons=3, annotated=3, with_ankle=1)
    }


def test_speed_is_told_per_worker():
    assert Report(rendered=60, seconds=5.0, workers=2).images_per_second_per_core == 6
    assert np.isnan(Report().images_per_second_per_core)


_HELPER = """
import os
import numpy as np
from wsp_mm.structures.camera import PinholeCamera
from wsp_mm.synthetic.record import Scene

def paint(request):
    camera = PinholeCamera(np.full(2, 100.0), np.zeros(2))
    image = np.random.default_rng(request.seed).integers(0, 255, (request.height, request.width, 3), np.uint8)
    names = ('scene_id', 'source', 'split', 'file_name', 'width', 'height', 'sequence', 'frame')
    fields = {name: getattr(request, name) for name in names}
    assert os.environ['OMP_NUM_THREADS'] == '1' or request.seed < 0
    return image, Scene(**fields, camera=camera, camera_height=1500.0, pitch=0.0, roll=0.0)

def fail(request):
    if request.scene_id == 3:
        raise ArithmeticError('3 is unlucky')
    return paint(request)

def die(request):
    os._exit(3)
"""


@pytest.fixture
def helper(tmp_path, monkeypatch):
    """Painters that worker processes can import, too."""
    folder = tmp_path / 'code'
    folder.mkdir()
    (folder / 'painters_of_test_world.py').write_text(_HELPER)
    monkeypatch.syspath_prepend(folder)
    return importlib.import_module('painters_of_test_world')


def test_workers_make_the_same_bytes_and_one_thread_each(tmp_path, helper, monkeypatch):
    monkeypatch.delenv('OMP_NUM_THREADS', raising=False)
    report = make_world(tmp_path / 'two', PRESET, workers=2, generate=helper.paint)
    assert report.rendered == 40 and 'OMP_NUM_THREADS' not in os.environ
    monkeypatch.setenv('OMP_NUM_THREADS', '1')
    make_world(tmp_path / 'none', PRESET, workers=0, generate=helper.paint)
    assert contents(tmp_path / 'two') == contents(tmp_path / 'none')


def test_trouble_in_a_worker_is_told(tmp_path, helper):
    with pytest.raises(WorldError, match='scene 3 cannot be made: ArithmeticError: 3 is unlucky'):
        make_world(tmp_path / 'fails', PRESET, workers=1, generate=helper.fail)
    with pytest.raises(WorldError, match=r'a worker process died.*fewer --workers'):
        make_world(tmp_path / 'dies', PRESET, workers=1, generate=helper.die)
    assert not list((tmp_path / 'dies').rglob('*.part'))


def test_verify_lists_problems_and_changed_files(tmp_path, generate):
    checked = []

    def check(scene, request):
        assert scene.file_name == request.file_name
        checked.append(scene.scene_id)
        return ['scene 5: a knee is bent backwards'] if scene.scene_id == 5 else []

    with pytest.raises(WorldError, match=r'40 pictures of the world .* are not there'):
        verify_world(tmp_path, PRESET, workers=0, generate=generate, check=check)
    make_world(tmp_path, PRESET, workers=0, generate=generate)
    problems, count = verify_world(tmp_path, PRESET, workers=0, generate=generate, check=check)
    assert count == 40 and checked == list(range(40))
    assert problems == [
        f'scene 5: a knee is bent backwards (coco/{plan_world(PRESET, 0)[5].file_name})'
    ]

    requests = plan_world(PRESET, 0)
    picture_path(tmp_path, requests[20]).write_bytes(
        picture_path(tmp_path, requests[21]).read_bytes()
    )
    path = scene_path(tmp_path, requests[39])
    path.write_text(path.read_text().replace('"roll":', '"roll":1'))
    problems, _ = verify_world(tmp_path, PRESET, workers=0, generate=generate, check=check)
    assert [problem.split()[1] for problem in problems] == ['5:', '20:', '39:']
    assert str(path) in problems[2]
    checked.clear()
    problems, count = verify_world(
        tmp_path, PRESET, workers=0, count=4, generate=generate, check=check
    )
    assert count == 4 and checked == [0, 13, 26, 39] and len(problems) == 1
