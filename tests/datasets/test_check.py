# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import json

import pytest

from wsp_mm.datasets.check import NEEDS, check_config, datasets_of


@pytest.fixture
def root(tmp_path):
    """A data root with an MCPC file of two sources and a COCO file; all pictures are there."""

    def write(name, content):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))

    images = [dict(id=n, source='coco', file_name=f'train2017/{n}.jpg') for n in range(6)]
    images += [dict(id=9, source='mpii', file_name='images/9.jpg')]
    write('mcpc/mcpc_train.json', dict(images=images, annotations=[]))
    write('coco.json', dict(images=[dict(id=1, file_name='1.jpg')], annotations=[]))
    write('mpii.json', [dict(image='9.jpg')])
    for n in range(6):
        write(f'coco/train2017/{n}.jpg', '')
    write('mpii/images/9.jpg', '')
    return tmp_path


def mcpc(root, **changes):
    return dict(type='MCPCDataset', data_root=str(root), ann_file='mcpc/mcpc_train.json') | changes


def config(dataset, **more):
    return dict(train_dataloader=dict(batch_size=1, dataset=dataset), model=dict(type='x'), **more)


def texts(report):
    return [str(problem) for problem in report.problems]


def test_all_there(root):
    report = check_config(config(mcpc(root)))
    assert texts(report) == [] and report.looked_at == 8 and report.unchecked == []


def test_prefixes_are_joined_as_mmengine_does(root):
    (root / 'coco').rename(root / 'elsewhere')
    assert (
        texts(check_config(config(mcpc(root, data_prefix=dict(coco=str(root / 'elsewhere'))))))
        == []
    )
    assert texts(check_config(config(mcpc(root, data_prefix=dict(coco='elsewhere'))))) == []
    (problem,) = texts(check_config(config(mcpc(root))))
    assert (
        'coco/train2017: no such folder, it should hold 6' in problem
        and 'train_dataloader' in problem
    )


def test_missing_pictures_are_named_each(root):
    (root / 'coco/train2017/3.jpg').unlink()
    (root / 'mpii/images/9.jpg').unlink()
    report = check_config(config(mcpc(root)), samples=0)
    assert [p.path.rsplit('/', 1)[1] for p in report.problems] == ['3.jpg', '9.jpg']
    assert {p.kind for p in report.problems} == {'picture'}


def test_samples_look_at_some_only(root):
    for n in range(1, 6):
        (root / f'coco/train2017/{n}.jpg').unlink()
    assert len(check_config(config(mcpc(root)), samples=0).problems) == 5
    some = check_config(config(mcpc(root)), samples=2)
    assert len(some.problems) == 1 and some.looked_at == 3


def test_missing_and_broken_files(root):
    (problem,) = texts(check_config(config(mcpc(root, ann_file='mcpc/none.json'))))
    assert (
        'mcpc/none.json: no such file; build it with tools/dataset_converters/build_mcpc.py'
        in problem
    )
    (root / 'broken.json').write_text('{')
    (problem,) = texts(check_config(config(mcpc(root, ann_file='broken.json'))))
    assert 'broken.json' in problem and 'no json' in problem
    (root / 'other.json').write_text('{"images": [{"file_name": "1.jpg"}]}')
    (problem,) = texts(check_config(config(mcpc(root, ann_file='other.json'))))
    assert "not what a MCPCDataset reads: KeyError: 'source'" in problem
    (root / 'empty.json').write_text('{"images": []}')
    (problem,) = texts(check_config(config(mcpc(root, ann_file='empty.json'))))
    assert 'lists no picture' in problem


def test_other_files_of_a_data_set(root):
    dataset = dict(
        type='CocoDataset', data_root=str(root), ann_file='coco.json', data_prefix=dict(img='coco/train2017/'),
        bbox_file='boxes.json',
    )  # fmt: skip
    (problem,) = texts(check_config(config(dataset)))
    assert 'boxes.json: no such file' in problem
    mpii = dict(
        type='mmpose.MpiiDataset',
        data_root=str(root),
        ann_file='mpii.json',
        data_prefix=dict(img='mpii'),
    )
    (problem,) = texts(check_config(config(mpii)))
    assert problem.startswith(f'picture {root}/mpii/9.jpg')


def test_nested_data_sets_are_found_and_named_once(root):
    gone = mcpc(root, ann_file='gone.json')
    nested = dict(
        type='CombinedDataset',
        datasets=[mcpc(root), dict(type='RepeatDataset', times=2, dataset=gone)],
    )
    cfg = config(nested, val_dataloader=[dict(dataset=gone)], test_dataloader=None)
    names = [where for where, _ in datasets_of(cfg)]
    assert names == [
        'train_dataloader.dataset.datasets.0', 'train_dataloader.dataset.datasets.1.dataset',
        'val_dataloader.0.dataset',
    ]  # fmt: skip
    (problem,) = check_config(cfg).problems
    assert problem.where == names[1] and problem.kind == 'file'


def test_evaluators_read_files_too(root):
    cfg = config(
        mcpc(root),
        val_evaluator=[dict(type='X'), dict(type='CocoMetric', ann_file=str(root / 'no.json'))],
    )
    (problem,) = texts(check_config(cfg))
    assert 'no.json' in problem and 'val_evaluator.1.ann_file' in problem
    cfg = config(
        mcpc(root), test_evaluator=dict(type='CocoMetric', ann_file=str(root / 'coco.json'))
    )
    assert texts(check_config(cfg)) == []


def test_unknown_types(root, monkeypatch):
    """COCO-style files are understood whoever reads them; the rest is said, and an entry mends
    it.
    """
    known = dict(
        type='MyDataset',
        data_root=str(root),
        ann_file='coco.json',
        data_prefix=dict(img='coco/train2017'),
    )
    assert texts(check_config(config(known))) == []
    other = dict(type='MyDataset', data_root=str(root), data_prefix=dict(seq='seq'))
    report = check_config(config(other))
    assert not report.problems and 'MyDataset' in report.unchecked[0]
    odd = check_config(config(dict(type='MyDataset', data_root=str(root), ann_file='mpii.json')))
    assert not odd.problems and odd.unchecked
    monkeypatch.setitem(
        NEEDS,
        'MyDataset',
        lambda files: [files.folder('seq') / f'TS{n}' / 'annot.mat' for n in (1, 2)],
    )
    (root / 'seq' / 'TS1').mkdir(parents=True)
    assert {p.kind: p.path for p in check_config(config(other)).problems} == {
        'folder': f'{root}/seq/TS2', 'picture': f'{root}/seq/TS1/annot.mat'
    }  # fmt: skip


def test_a_config_without_data():
    (problem,) = texts(check_config(dict(model=dict(type='x'), train_dataloader=None)))
    assert 'no dataloader' in problem


def h36m_config(root, **changes):
    return config(dict(type='H36MImageDataset', data_root=str(root)) | changes)


@pytest.mark.parametrize('folder', ['human36m', 'h36m'])
def test_human36m(h36m_root, folder):
    for options, count in ((dict(), 160), (dict(test_mode=True, protocol=2), 45)):
        entry = h36m_config(h36m_root, ann_file=f'{folder}/arrays', **options)
        report = check_config(entry, samples=0)
        assert texts(report) == [] and report.looked_at in (count, count + 1)


def test_human36m_with_parts_missing(h36m, two_subjects):
    (problem,) = texts(check_config(h36m_config(two_subjects)))
    assert 'human36m/arrays/header.json: no such file' in problem and 'convert_h36m.py' in problem
    h36m.write_3dmppe(two_subjects, (1, 5))
    h36m.convert(two_subjects)
    folder = two_subjects / 'human36m/images/s_01_act_02_subact_01_ca_01'
    folder.rename(folder.with_name('moved'))
    options = dict(ann_file='arrays', subjects=[1, 5])
    (problem,) = texts(check_config(h36m_config(two_subjects, **options)))
    assert f'{folder.name}: no such folder, it should hold 2' in problem
    assert texts(check_config(h36m_config(two_subjects, **options | dict(subjects=[5])))) == []
    (problem,) = texts(check_config(h36m_config(two_subjects, ann_file='arrays')))
    assert 'arrays: ' in problem and 'convert_h36m.py' in problem
    options |= dict(bbox_root_file='x.json', test_mode=True, frame_step=5, subjects=[5])
    (problem,) = texts(check_config(h36m_config(two_subjects, **options)))
    assert 'x.json' in problem
    for bad in (dict(subjects=[2]), dict(protocol=1, subjects=[1]), dict(frame_step=0)):
        (problem,) = texts(check_config(h36m_config(two_subjects, **bad)))
        assert problem.startswith('config H36MImageDataset')


def test_muco(h36m, tmp_path):
    (problem,) = texts(check_config(config(dict(type='MuCoDataset', data_root=str(tmp_path)))))
    assert 'muco/MuCo-3DHP.json: no such file' in problem
    h36m.write_muco(tmp_path, [h36m.muco_person(1, 0, (0.0, 0.0, 3000.0))])
    entry = dict(type='MuCoDataset', data_root=str(tmp_path))
    assert texts(check_config(config(entry))) == []
    (tmp_path / 'muco/augmented_set/1/0.jpg').unlink()
    (problem,) = texts(check_config(config(entry | dict(ann_file='muco/MuCo-3DHP.json'))))
    assert 'augmented_set/1/0.jpg' in problem


def mupots_config(root, **changes):
    metric = dict(
        type='MuPoTS3DPCK', data_root=str(root), ann_file='mupots/MuPoTS-3D.json',
        sequences_dir='mupots/MultiPersonTestSet',
    )  # fmt: skip
    entry = dict(type='MuPoTSDataset', data_root=str(root), test_mode=True) | changes
    return dict(
        val_dataloader=dict(dataset=entry), test_dataloader=dict(dataset=entry), val_evaluator=metric,
        test_evaluator=metric,
    )  # fmt: skip


def test_mupots(mupots, tmp_path, monkeypatch):
    problems = texts(check_config(mupots_config(tmp_path)))
    assert len(problems) == 2 and all(
        'mupots/MuPoTS-3D.json: no such file' in problem for problem in problems
    )
    mupots.write(tmp_path)
    report = check_config(mupots_config(tmp_path))
    assert texts(report) == [] and report.looked_at == 4 + 1 + 4  # pictures, json, .mat
    place = tmp_path / 'mupots/MultiPersonTestSet'
    for name in ('TS1/img_000001.jpg', 'TS2/annot.mat', 'TS2/occlusion.mat'):
        (place / name).unlink()
    problems = texts(check_config(mupots_config(tmp_path)))
    for name, problem in zip(
        ('TS1/img_000001', 'TS2/annot', 'TS2/occlusion'), problems, strict=True
    ):
        assert name in problem and ('not there' in problem or 'no such file' in problem)
    assert 'val_evaluator.0.sequences_dir' in problems[1]
    # Files of boxes are written by tools, into the working folder or below the data root.
    work = tmp_path / 'work'
    work.mkdir()
    monkeypatch.chdir(work)
    mupots.write(tmp_path)
    for key, tool in (('bbox_root_file', 'predict_roots'), ('boxes_file', 'detect_persons')):
        (problem,) = texts(check_config(mupots_config(tmp_path, **{key: 'x.json'})))
        assert f'x.json: no such file; write it with tools/{tool}.py' in problem
        for folder in (work, tmp_path):
            (folder / 'x.json').touch()
            assert texts(check_config(mupots_config(tmp_path, **{key: 'x.json'}))) == []
            (folder / 'x.json').unlink()
