# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""The builder with painters in place of the renderer: resuming, workers, errors."""

import errno
import importlib
import json
import os
from pathlib import Path

import cv2
import pytest

from wsp_mm.synthetic import builder
from wsp_mm.synthetic.builder import make_world, plan_world, read_scenes
from wsp_mm.synthetic.plan import WorldError

OPTIONS = dict(images=20, side=64)
# A painter that worker processes can import, too.
_HELPER = """
import os
import numpy as np
from wsp_mm.structures.camera import PinholeCamera
from wsp_mm.synthetic.ground_truth import PersonGT, SceneGT

calls = []

def paint(request):
    calls.append(request.scene_id)
    assert os.environ['OMP_NUM_THREADS'] == '1'
    rng = np.random.default_rng([request.seed, request.scene_id])
    camera = PinholeCamera(np.full(2, 100.0), np.zeros(2))
    joints = rng.normal((0, 0, 3000), 200, (29, 3))
    seen = np.ones(29, bool)
    pixels = camera.project(joints)[:, :2]
    person = PersonGT(0, 'a', 'standing', 30.0, 1700.0, joints, pixels, seen, seen, 0.0)
    color = [request.scene_id, 255 - request.scene_id, request.seed % 256]
    image = np.broadcast_to(np.array(color, np.uint8), (request.height, request.width, 3)).copy()
    return image, SceneGT(request, camera, [person])

def fail(request):
    if request.scene_id == 7:
        raise ArithmeticError('7 is unlucky')
    return paint(request)

def die(request):
    os._exit(3)
"""


@pytest.fixture
def painters(tmp_path, monkeypatch):
    monkeypatch.setenv('OMP_NUM_THREADS', '1')
    folder = tmp_path / 'code'
    folder.mkdir()
    (folder / 'painters_of_test_builder.py').write_text(_HELPER)
    monkeypatch.syspath_prepend(folder)
    module = importlib.import_module('painters_of_test_builder')
    module.calls.clear()
    return module


@pytest.fixture
def make(painters):
    """``make(folder, ...)`` paints a small MuCo world."""

    def run(out, preset=OPTIONS, seed=3, workers=0, generate=painters.paint):
        return make_world(out, 'muco', preset, seed, workers, generate)

    return run


def contents(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob('*'))
        if path.is_file()
    }


def test_a_whole_world(make, tmp_path):
    out = tmp_path / 'w'
    report = make(out)
    assert (report.rendered, report.kept) == (20, 0)
    sets = {('muco', 'augmented_set'): (10, 10), ('muco', 'unaugmented_set'): (10, 10)}
    assert report.counts == sets and report.paths == [out / 'muco/MuCo-3DHP.json']
    requests = plan_world('muco', OPTIONS, 3)
    for request, scene in zip(requests, read_scenes(out, requests), strict=True):
        image = cv2.imread(str(out / request.path))
        assert image.shape == (64, 64, 3)
        assert abs(int(image[0, 0, 2]) - request.scene_id) <= 3  # RGB in the renderer
        assert scene.request == request and len(scene.persons) == 1
    assert len(contents(out)) == 2 * 20 + 2


def test_an_interrupted_run_goes_on_where_it_stopped(make, painters, tmp_path):
    whole, broken = tmp_path / 'whole', tmp_path / 'broken'
    make(whole)
    with pytest.raises(WorldError, match='ArithmeticError: 7 is unlucky'):
        make(broken, generate=painters.fail)
    assert not (broken / 'muco/MuCo-3DHP.json').exists()
    (broken / 'muco' / '.x.jpg.99.part').write_bytes(b'half')
    requests = plan_world('muco', OPTIONS, 3)
    (broken / requests[2].path).unlink()
    (broken / 'records/muco/000005.json').unlink()
    (broken / requests[6].path).write_bytes(b'')
    painters.calls.clear()
    report = make(broken)
    assert report.kept == 4 and painters.calls == [2, 5, 6, *range(7, 20)]
    assert contents(broken) == contents(whole)
    painters.calls.clear()
    assert make(broken).kept == 20 and not painters.calls


def test_second_names_are_links_and_are_made_again(world, tmp_path, monkeypatch):
    requests = world.requests['h36m']
    for request in requests[:3]:
        assert os.path.samefile(world.folder / request.path, world.folder / request.link)
    source = world.folder / requests[0].path
    for _ in range(2):
        builder._link(source, tmp_path / 'deep' / 'b.jpg')
        assert os.path.samefile(source, tmp_path / 'deep' / 'b.jpg')

    def refuse(*args):
        raise OSError(errno.EPERM, 'no links here')

    monkeypatch.setattr(os, 'link', refuse)
    builder._link(source, tmp_path / 'c.jpg')
    assert (tmp_path / 'c.jpg').read_bytes() == source.read_bytes()


@pytest.mark.parametrize('change', [dict(seed=4), dict(preset=dict(images=22, side=64))])
def test_another_world_in_the_same_folder_is_an_error(make, tmp_path, change):
    make(tmp_path / 'w')
    before = contents(tmp_path / 'w')
    with pytest.raises(WorldError, match=rf'asked for.*rm -r {tmp_path}/w'):
        make(tmp_path / 'w', **change)
    assert contents(tmp_path / 'w') == before


def test_real_data_is_never_written_into(make, painters, tmp_path):
    (tmp_path / 'w' / 'muco' / 'annotations').mkdir(parents=True)
    with pytest.raises(WorldError, match=r'muco.*real data'):
        make(tmp_path / 'w')
    assert contents(tmp_path / 'w') == {} and painters.calls == []
    (tmp_path / 'w/world_muco.json').write_text('{')
    with pytest.raises(WorldError, match=r'world_muco.json: broken json'):
        make(tmp_path / 'w')


def test_broken_records_are_named(make, tmp_path):
    out, requests = tmp_path / 'w', plan_world('muco', OPTIONS, 3)
    make(out)
    path = out / 'records/muco/000004.json'
    good = json.loads(path.read_text())
    no_camera = {k: v for k, v in good.items() if k != 'camera'}
    for content in ('{"path": 4', json.dumps(no_camera), json.dumps({**good, 'path': 'x.jpg'})):
        path.write_text(content)
        with pytest.raises(WorldError, match=r'000004.json'):
            list(read_scenes(out, requests))


@pytest.mark.parametrize(
    ('number', 'words'),
    [(errno.ENOSPC, 'disk is full'), (errno.EACCES, 'not writable'), (errno.ENOTDIR, 'a file lies'),
     (errno.EIO, 'cannot be written')],
)  # fmt: skip
def test_files_that_cannot_be_written(make, tmp_path, monkeypatch, number, words):
    def refuse(path, *args, **more):
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr(builder, 'atomic_file', refuse)
    with pytest.raises(WorldError, match=rf'000000.jpg: .*{words}'):
        make(tmp_path / 'w')


def test_workers_make_the_same_bytes_with_one_thread_each(make, painters, tmp_path, monkeypatch):
    make(tmp_path / 'none')
    monkeypatch.delenv('OMP_NUM_THREADS')
    assert make(tmp_path / 'two', workers=2).rendered == 20 and 'OMP_NUM_THREADS' not in os.environ
    assert contents(tmp_path / 'two') == contents(tmp_path / 'none')
    with pytest.raises(WorldError, match=r'fewer --workers'):
        make(tmp_path / 'dies', workers=1, generate=painters.die)
    assert not list((tmp_path / 'dies').rglob('*.part'))


@pytest.mark.slow
def test_rendered_worlds_are_the_same_bytes_whatever_the_workers(world, tmp_path):
    for name, (options, seed) in world.tiny.items():
        make_world(tmp_path, name, options, seed, workers=2)
    assert contents(tmp_path) == contents(world.folder)
