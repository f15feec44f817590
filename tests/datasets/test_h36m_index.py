# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import copy
import json
import os
import pickle

import numpy as np
import pytest

from wsp_mm.datasets.h36m_image import H36MImageDataset
from wsp_mm.datasets.h36m_index import check_fresh, read_header, read_index


@pytest.fixture
def tool(load_tool):
    return load_tool('dataset_converters/index_h36m')


@pytest.fixture
def root(lab, tmp_path):
    lab.write_3dmppe(tmp_path, (1, 5, 11), pictures=False)
    lab.write_mmpose(tmp_path)
    return tmp_path


def write(tool, root, *more):
    subjects = [] if '--subjects' in more else ['--subjects', '1', '5', '11']
    return tool.main(['--data-root', str(root), '--quiet', *subjects, *more])


def load(root, **kwargs):
    return H36MImageDataset(str(root), **(dict(subjects=[1, 5], check_pictures=False) | kwargs))


@pytest.mark.parametrize('layout, folder', [('3dmppe', 'human36m'), ('mmpose', 'h36m')])
@pytest.mark.parametrize(
    'options', [dict(), dict(subjects=[11], test_mode=True), dict(actions='Walking')]
)
def test_the_index_gives_what_the_files_give(tool, root, layout, folder, options):
    assert write(tool, root, '--layout', layout, '--out', f'{folder}/h36m.index') == 0
    index = load(root, layout='index', ann_path=f'{folder}/h36m.index', **options)
    files = load(root, layout=layout, **options)
    assert len(index) == len(files)
    for i in range(len(files)):
        a, b = files.get_data_info(i), index.get_data_info(i)
        assert a.keys() == b.keys()
        for key in a:
            assert (
                np.array_equal(a[key], b[key])
                if isinstance(a[key], np.ndarray)
                else a[key] == b[key]
            ), key
    assert index.table.skipped == files.table.skipped or not options.get('test_mode')


def test_rows_are_mapped_and_shared(tool, root):
    write(tool, root)
    dataset = load(root, layout='index')
    rows = dataset.table.rows
    assert isinstance(rows.joints, np.memmap) and not rows.joints.flags.writeable
    # A worker that is started afresh maps the file again: what is sent to it is a path.
    sent = pickle.dumps(dataset.table)
    assert len(sent) < 500 and isinstance(pickle.loads(sent).rows.joints, np.memmap)
    assert copy.deepcopy(dataset).table is dataset.table


def test_what_the_index_does_not_hold(tool, root):
    write(tool, root, '--subjects', '1', '11')
    with pytest.raises(
        ValueError, match=r'h36m.index: it holds subjects \(1, 11\).*Write it again'
    ):
        load(root, layout='index')
    assert len(load(root, layout='index', subjects=[1], frame_step=10)) == 16
    with pytest.raises(ValueError, match=r'multiples of \(5, 64\), but .* multiples of 3 are'):
        load(root, layout='index', subjects=[1], frame_step=3)


def test_a_stale_index_is_noticed(tool, root):
    write(tool, root)
    path, source = (
        root / 'human36m' / 'h36m.index',
        root / 'human36m/annotations/Human36M_subject5_camera.json',
    )
    assert check_fresh(path, root) == []
    old = source.read_text()
    os.utime(source, ns=(1, 1))
    (note,) = check_fresh(path, root)
    assert str(source) in note and '--touch' in note
    assert tool.main(['--data-root', str(root), '--quiet', '--touch']) == 0
    assert check_fresh(path, root) == []
    assert len(load(root, layout='index')) == 64

    source.write_text(old.replace('1', '2', 1))  # as long as before
    os.utime(source, ns=(2, 2))
    with pytest.raises(ValueError, match=r'subject5_camera\.json has changed since'):
        load(root, layout='index')
    assert tool.main(['--data-root', str(root), '--touch']) == 1
    source.write_text(old + ' ')
    with pytest.raises(ValueError, match='has changed'):
        load(root, layout='index')
    source.unlink()
    assert len(load(root, layout='index')) == 64  # the sources may go


def test_a_moved_tree(tool, root):
    write(tool, root)
    moved = root.with_name('moved')
    root.rename(moved)
    assert (
        len(load(moved, layout='index')) == 64
        and check_fresh(moved / 'human36m/h36m.index', moved) == []
    )


def test_broken_and_missing_indices(tool, root):
    with pytest.raises(ValueError, match=r'h36m.index: no index can be read here .*index_h36m.py'):
        load(root, layout='index')
    write(tool, root)
    path = root / 'human36m' / 'h36m.index'
    content = path.read_bytes()
    for size, said in (
        (len(content) - 100, 'cut off'),
        (len(content) // 2, 'cut off'),
        (50, 'no index of'),
    ):
        path.write_bytes(content[:size])
        with pytest.raises(ValueError, match=said):
            read_index(path)
    path.write_bytes(content.replace(b'"version": 2', b'"version": 9'))
    with pytest.raises(ValueError, match='version 9, not 2'):
        read_header(path)
    # The first version's takes are right in 3DMPPE's layout alone.
    path.write_bytes(content.replace(b'"version": 2', b'"version": 1'))
    assert read_header(path)['version'] == 1
    path.write_bytes(path.read_bytes().replace(b'"layout": "3dmppe"', b'"layout": "mmpose"'))
    with pytest.raises(ValueError, match='version 1, not 2'):
        read_header(path)


def test_a_bad_record_leaves_the_old_index(tool, root, capsys):
    write(tool, root)
    path = root / 'human36m' / 'h36m.index'
    before = path.read_bytes()
    source = root / 'human36m/annotations/Human36M_subject5_joint_3d.json'
    content = json.loads(source.read_text())
    content['2']['1']['0'][3][2] = float('nan')
    source.write_text(json.dumps(content))
    assert write(tool, root) == 1
    assert 'subject5_joint_3d.json' in capsys.readouterr().err and path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir() if p.is_file()] == ['h36m.index']
    assert write(tool, root, '--skip-bad') == 0
    assert sum(read_index(path).skipped.values()) == 3 + 1  # the broken video's three, and one pose


def test_bad_arguments(tool, root):
    for more in (['--subjects', '2'], ['--steps', '0'], ['--convention-tolerance', '-1']):
        with pytest.raises(SystemExit) as error:
            write(tool, root, *more)
        assert error.value.code == 2


def test_summary(tool, root, capsys):
    assert tool.main(['--data-root', str(root), '--subjects', '11']) == 0
    said = capsys.readouterr().out
    assert (
        'left out 3 frames of the video that is broken' in said
        and 'wrote' in said
        and '45 frames' in said
    )
    assert '104 videos are not there: s_11_act_03_subact_01_ca_01' in said
