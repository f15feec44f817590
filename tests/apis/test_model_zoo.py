# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Networks by name: in the metafile, in the inferencer, on the command line; the shipped files."""

import shutil

import cv2
import numpy as np
import pytest
import torch
import yaml
from inference_fixture import (
    BOXES,
    CLASSES,
    FixedDetector,
    detector_config,
    detector_weights,
    make_image,
    make_zoo,
)

from wsp_mm.apis import WSPInferencer, model_zoo
from wsp_mm.apis.images import InputError
from wsp_mm.apis.model_zoo import find_networks, read_zoo, zoo_folder
from wsp_mm.apis.models import load_network
from wsp_mm.apis.pipeline import MOST_ORDERED
from wsp_mm.apis.writer import read_inference
from wsp_mm.utils.checkpoint import BrokenCheckpointError
from wsp_mm.utils.files import file_sha256

MB = 1e6


@pytest.fixture(scope='module')
def detector(tmp_path_factory):
    """(config, checkpoint) of a detector."""
    config, folder = detector_config(), tmp_path_factory.mktemp('detector')
    config.dump(folder / 'detector.py')
    meta = dict(dataset_meta=dict(CLASSES=CLASSES))
    torch.save(dict(meta=meta, state_dict=detector_weights(config)), folder / 'detector.pth')
    return folder / 'detector.py', folder / 'detector.pth'


@pytest.fixture(scope='module')
def shared_zoo(tmp_path_factory, load_tool, pose, root, detector, pretrained):
    networks = dict(pose=pose, root=root, det=detector, order=pretrained)
    return make_zoo(tmp_path_factory.mktemp('zoo'), load_tool, **networks)


@pytest.fixture
def zoo(shared_zoo, monkeypatch):
    """The folder of a set of four networks, ``tiny``, in place of the package's."""
    monkeypatch.setattr(model_zoo, 'zoo_folder', lambda: shared_zoo)
    monkeypatch.setattr('wsp_mm.apis.inferencer.DEFAULT', 'tiny')
    return shared_zoo


def roles_of(inferencer):
    return list(inferencer.info()['models'])


# ------------------------------------------------------------------ the look-up


def test_names_of_sets_and_networks(shared_zoo, pose):
    found = find_networks('tiny', folder=shared_zoo)
    assert list(found) == ['pose', 'root', 'det', 'order']
    config, weights = found['pose']
    assert config == pose[0] and weights.parent == shared_zoo
    assert find_networks('tiny-pose', folder=shared_zoo) == dict(pose=found['pose'])
    assert find_networks('tiny', ['root'], shared_zoo) == dict(root=found['root'])
    assert find_networks('tiny', [], shared_zoo) == {}


def test_half_precision_is_loaded_as_float32(shared_zoo, pose):
    config, weights = find_networks('tiny-pose', folder=shared_zoo)['pose']
    content, plain = torch.load(weights, weights_only=True), torch.load(pose[1])
    assert content['meta']['config_name'] == config.name
    state = load_network(config, weights, 'cpu').model.state_dict()
    for key, stored in content['state_dict'].items():
        expected = plain['state_dict'][key]
        if expected.is_floating_point():
            assert stored.dtype == torch.float16 and state[key].dtype == torch.float32
            torch.testing.assert_close(state[key], expected, rtol=1e-3, atol=1e-6)
        else:
            assert torch.equal(stored, expected) and stored.dtype == expected.dtype


def test_unknown_names_and_other_roles(shared_zoo):
    with pytest.raises(InputError, match=r"'big'.* tiny, tiny-det, tiny-order"):
        find_networks('big', folder=shared_zoo)
    with pytest.raises(InputError, match='tiny-pose is for pose, not for det'):
        find_networks('tiny-pose', ['det'], shared_zoo)


def test_files_that_are_gone_or_changed(shared_zoo, tmp_path):
    zoo = tmp_path / 'model_zoo'
    shutil.copytree(shared_zoo, zoo)
    changed, gone = (find_networks('tiny', folder=zoo)[role][1] for role in ('pose', 'root'))
    before = file_sha256(changed)
    torch.save({}, changed)
    gone.unlink()
    with pytest.raises(BrokenCheckpointError) as error:
        find_networks('tiny', folder=zoo)
    for named in (changed, before, file_sha256(changed), zoo / 'metafile.yml'):
        assert str(named) in str(error.value)
    with pytest.raises(FileNotFoundError, match='tiny-root') as error:
        find_networks('tiny', ['root'], folder=zoo)
    assert str(gone) in str(error.value) and '--pose-config' in str(error.value)
    assert len(find_networks('tiny', ['det', 'order'], folder=zoo)) == 2  # no need to look at them


# ------------------------------------------------------------------ the inferencer


def test_a_set_has_all_networks(zoo):
    assert roles_of(WSPInferencer('tiny', device='cpu')) == ['pose', 'order', 'detector']
    inferencer = WSPInferencer(device='cpu', camera=dict(focal=300.0))
    assert roles_of(inferencer) == ['pose', 'root', 'order', 'detector']
    record = next(iter(inferencer(make_image(size=(320, 240)))))
    persons = record['persons']
    assert len(persons) > 1 and any(p['keypoints_cam'] is not None for p in persons)
    ranks = [person['order'] for person in persons if person['order'] is not None]
    assert sorted(ranks) == list(range(1, min(len(persons), MOST_ORDERED) + 1))


def test_own_networks_take_their_places(zoo, pose, pretrained, album):
    own = WSPInferencer('tiny', pose=pose, det=FixedDetector(), device='cpu')
    models = own.info()['models']
    assert models['pose']['checkpoint'] == pose[1].name
    assert models['detector']['config'] == 'fixed.py'
    assert models['order']['checkpoint'].startswith('tiny-order-')
    with_boxes = WSPInferencer(boxes=album[1], device='cpu')
    assert roles_of(with_boxes) == ['pose', 'order'] and with_boxes.pipeline.detector is None
    mixed = WSPInferencer(pose=pose, det='tiny-det', device='cpu')  # nothing but what is named
    assert roles_of(mixed) == ['pose', 'detector']
    for alone in (
        WSPInferencer('tiny-order', det='tiny-det', device='cpu'),
        WSPInferencer(order=pretrained, boxes=album[1], device='cpu'),
    ):
        assert alone.info()['task'] == 'order'


def test_names_that_do_not_fit(zoo, album, pretrained):
    with pytest.raises(InputError, match=r'tiny-root.* pose'):
        WSPInferencer('tiny-root', boxes=album[1], camera=dict(focal=300.0), device='cpu')
    with pytest.raises(InputError, match='det'):
        WSPInferencer('tiny-pose', device='cpu')
    with pytest.raises(InputError, match='order'):
        WSPInferencer('tiny', pose=pretrained, device='cpu')


def test_order_beside_3d_is_that_of_the_pair_network(pose, pretrained):
    def first(boxes=BOXES, **networks):
        inferencer = WSPInferencer(**networks, det=FixedDetector(boxes), device='cpu', batch_size=4)
        return next(iter(inferencer(make_image())))

    alone, plain, both = (
        first(pose=pretrained),
        first(pose=pose),
        first(pose=pose, order=pretrained),
    )
    assert both['order'] == alone['order'] and 'order' not in plain
    assert [p['order'] for p in plain['persons']] == [None] * 3
    for rank, identity in enumerate(both['order']['ids'], 1):
        assert both['persons'][identity]['order'] == alone['persons'][identity]['order'] == rank
    for a, b in zip(plain['persons'], both['persons'], strict=True):
        np.testing.assert_allclose(a['keypoints_img'], b['keypoints_img'], atol=0.02)


def test_the_largest_persons_of_a_crowd_are_ordered(pose, pretrained):
    boxes = [[5 * i, 10, 20, 40 + 2 * i] for i in range(MOST_ORDERED + 2)]
    inferencer = WSPInferencer(pose, det=FixedDetector(boxes), order=pretrained, device='cpu')
    record = next(iter(inferencer(make_image())))
    assert sorted(record['order']['ids']) == list(range(2, len(boxes)))
    assert np.shape(record['order']['probability']) == (len(boxes), len(boxes))
    assert [p['order'] is None for p in record['persons']] == [True] * 2 + [False] * MOST_ORDERED


# ------------------------------------------------------------------ the command line


def test_infer_with_an_image_and_nothing_else(zoo, load_tool, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    cv2.imwrite('photo.jpg', make_image(size=(320, 240)))
    for _ in range(2):  # a second run starts anew
        assert load_tool('../demo/infer').main(['photo.jpg', '--device', 'cpu']) in (0, 1)
    out = capsys.readouterr().out
    for said in (
        'pose posenet_h36m_lite0.py',
        'detector detector.py',
        'output: work_dirs/inference',
    ):
        assert said in out
    for path in ('images/000000_photo_overlay.jpg', 'viewer.html'):
        assert f'work_dirs/inference/{path}' in out
        assert (tmp_path / 'work_dirs/inference' / path).is_file()
    (record,) = read_inference('work_dirs/inference/inference.json')['frames']
    assert record['persons'] and record['order']['ids']


def test_infer_with_networks_of_a_name(zoo, load_tool, album, tmp_path, capsys):
    main, rest = load_tool('../demo/infer').main, ['--out', str(tmp_path / 'o'), '--device', 'cpu']
    assert main([str(album[0]), *rest, '--networks', 'big']) == 2
    assert "'big'" in capsys.readouterr().err
    rest += ['--networks', 'tiny-order', '--boxes', str(album[1]), '--no-viewer']
    assert main([str(album[0]), *rest]) == 0
    assert 'networks: pose wsp_pretrain_lite0.py\n' in capsys.readouterr().out


# ------------------------------------------------------------------ what is shipped


@pytest.fixture(scope='module')
def metafile():
    return yaml.safe_load((zoo_folder() / 'metafile.yml').read_text())


def test_the_index_names_the_metafile(repo):
    index = yaml.safe_load((repo / 'model-index.yml').read_text())
    assert (
        index == dict(Import=['model_zoo/metafile.yml']) and (repo / index['Import'][0]).is_file()
    )


def test_the_set_has_every_role(metafile):
    roles = {role: entry['Name'] for role, entry in read_zoo()['wsp-lite0'].items()}
    assert roles == dict(
        pose='wsp-lite0-pose',
        root='wsp-lite0-root',
        det='wsp-lite0-detector',
        order='wsp-lite0-order',
    )
    assert {c['Name'] for c in metafile['Collections']} == {
        entry['In Collection'] for entry in metafile['Models']
    }


def test_shipped_weights(metafile):
    """Every file is there, whole, small, described and loads by itself; there is no other one."""
    weights = {
        entry['Name']: zoo_folder().parent / entry['Weights'] for entry in metafile['Models']
    }
    there = sorted(zoo_folder().glob('*.pth'))
    if not there:
        pytest.skip('model_zoo has no weights yet')
    assert there == sorted(weights.values())
    assert sum(file.stat().st_size for file in there) <= 30 * MB
    find_networks('wsp-lite0')
    for entry in metafile['Models']:
        meta, file = entry['Metadata'], weights[entry['Name']]
        assert meta['Size'] == file.stat().st_size <= 12 * MB
        for key in ('Training Data', 'Epochs', 'Seed', 'Command', 'Git Revision', 'SHA256'):
            assert meta.get(key) not in (None, ''), (entry['Name'], key)
        assert entry['License'] and entry['Results']
        for result in entry['Results']:
            assert result['Task'] and result['Dataset'] and result['Metrics']
        state = torch.load(file, weights_only=True)['state_dict']
        kinds = {value.dtype for value in state.values() if value.is_floating_point()}
        assert kinds == {torch.float16}, entry['Name']
