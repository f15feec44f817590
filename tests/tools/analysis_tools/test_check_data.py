# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import json

import pytest
from PIL import Image


@pytest.fixture
def run(load_tool, tmp_path, capsys):
    """``run(*datasets, options=(), **more)``: exit status and output for a config over these data
    sets.
    """
    main = load_tool('analysis_tools/check_data').main

    def run(*datasets, options=(), **more):
        nested = dict(type='ConcatDataset', datasets=list(datasets))
        content = dict(train_dataloader=dict(dataset=nested), **more)
        config = tmp_path / 'config.py'
        lines = [f'{name} = {value!r}\n' for name, value in content.items()]
        config.write_text("custom_imports = dict(imports=['wsp_mm.register'])\n" + ''.join(lines))
        return main([str(config), *options]), capsys.readouterr().out

    return run


def box(key, image):
    points = [[10 + k, 20 + 3 * k, 2] for k in range(17)]
    keypoints = [value for point in points for value in point]
    return dict(
        id=key, image_id=image, category_id=1, iscrowd=0, bbox=[5, 5, 40, 60], area=2400,
        keypoints=keypoints, num_keypoints=17, ground_y=key, scale=5,
    )  # fmt: skip


@pytest.fixture
def root(tmp_path):
    """MCPC of two sources, whose images 2 and 3 of six are missing, and a COCO file."""
    images = [dict(id=n, source='coco', file_name=f'train2017/{n}.jpg') for n in range(5)]
    images += [dict(id=5, source='mpii', file_name='images/5.jpg')]
    people = [box(10 * n + k, n) for n in range(6) for k in (1, 2)]
    for person in people:
        person['keypoints'] = person['keypoints'][:48]
    mcpc = dict(images=images, annotations=people)
    coco = dict(
        images=[dict(id=n, file_name=f'{n}.jpg', width=64, height=80) for n in range(3)],
        annotations=[box(n, n) for n in range(3)],
        categories=[dict(id=1, name='person')],
    )
    for name, content in (('mcpc.json', mcpc), ('coco.json', coco)):
        (tmp_path / name).write_text(json.dumps(content))
    for name in (*(f'coco/train2017/{n}.jpg' for n in (0, 1, 4)), 'mpii/images/5.jpg'):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new('RGB', (64, 80)).save(tmp_path / name)
    return tmp_path


def mcpc(root, **changes):
    return dict(type='MCPCDataset', data_root=str(root), ann_file='mcpc.json') | changes


def coco(root, **changes):
    files = dict(ann_file='coco.json', data_prefix=dict(img='coco/train2017/'))
    return dict(type='CocoDataset', data_root=str(root), **files) | changes


def test_missing_images(run, root):
    wrapped = dict(type='RepeatDataset', times=2, dataset=coco(root))
    status, shown = run(mcpc(root), mcpc(root), wrapped)
    assert status == 1 and 'datasets.0: MCPCDataset: 2 of 6' in shown and 'docs/data_*.md' in shown
    assert f'{root}/coco/train2017: 2 of' in shown and '2.jpg' in shown and '3.jpg' in shown
    assert 'datasets.1:' not in shown  # the same again
    assert 'datasets.2.dataset: CocoDataset: 1 of 3' in shown
    status, shown = run(mcpc(root), options=['--all', '--shown', '1'])
    assert status == 1 and '2.jpg' in shown and '3.jpg' not in shown and 'and 1 more' in shown
    for n in (2, 3):
        Image.new('RGB', (64, 80)).save(root / f'coco/train2017/{n}.jpg')
    status, shown = run(mcpc(root), wrapped, options=['--all'])
    assert status == 0 and shown.endswith('all there (9 images and files looked for)\n')


def test_all_images_are_decoded(run, root):
    whole = (root / 'coco/train2017/0.jpg').read_bytes()
    for n, content in enumerate((b'', whole[:-300], b'<html>not found</html>')):
        (root / f'coco/train2017/{n + 1}.jpg').write_bytes(content)
    status, shown = run(mcpc(root), options=['--all'])
    assert status == 1 and '3 images cannot be decoded' in shown
    assert '1.jpg: empty file' in shown and '2.jpg: ' in shown and '3.jpg: ' in shown
    assert run(mcpc(root))[0] == 0  # without --all they are not opened
    shown = run(mcpc(root), options=['--all', '--shown', '1'])[1]
    assert '2.jpg' not in shown and 'and 2 more' in shown


def test_some_images_alone(run, root):
    status, shown = run(mcpc(root), options=['--samples', '1'])
    assert (status, shown) == (0, 'all there (2 images and files looked for)\n')
    (root / 'mpii/images/5.jpg').unlink()  # of each folder the first is looked for
    assert run(mcpc(root), options=['--samples', '1'])[0] == 1


def test_data_sets_of_another_root_are_looked_at(run, root):
    """Data sets that differ in anything but the pipeline are looked at one by one."""
    status, shown = run(coco(root), coco(root, data_root=f'{root}/elsewhere', pipeline=[]))
    assert status == 1 and 'datasets.1: CocoDataset' in shown and 'elsewhere/coco.json' in shown


@pytest.mark.parametrize(
    ('changes', 'named'),
    [
        (dict(ann_file='gone.json'), 'gone.json'),
        (dict(type='NoSuchDataset'), 'NoSuchDataset'),
        (dict(type='MpiiDataset'), 'MpiiDataset'),
        (dict(type='MuCoDataset', ann_file='coco.json'), 'coco.json'),
        (dict(type='MuPoTSDataset', ann_file='no.json', boxes_file='b.json'), 'no.json'),
    ],
)
def test_missing_and_broken_files(run, root, changes, named):
    status, shown = run(mcpc(root) | changes)
    assert status == 1 and 'train_dataloader.dataset.datasets.0' in shown and named in shown


def test_metrics_read_files_too(run, root):
    metric = dict(type='MuPoTS3DPCK', ann_file='no.json', data_root=str(root))
    status, shown = run(coco(root), val_evaluator=[dict(type='AUC'), metric], test_evaluator=metric)
    assert status == 1 and 'val_evaluator.1: MuPoTS3DPCK' in shown and 'no.json' in shown
    assert 'test_evaluator' not in shown


def test_bad_arguments(load_tool, run, root, tmp_path):
    for options in (['--samples', '0'], ['--shown', '-1']):
        with pytest.raises(SystemExit, match='2'):
            run(mcpc(root), options=options)
    with pytest.raises(SystemExit, match='2'):
        load_tool('analysis_tools/check_data').main([str(tmp_path / 'none.py')])
    status, shown = run(options=['--cfg-options', 'train_dataloader=None'])
    assert status == 1 and 'no dataloader' in shown
