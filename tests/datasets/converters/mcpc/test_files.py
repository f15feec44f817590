# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import gc
import io
import json

import numpy as np
import pytest

from wsp_mm.datasets.converters.mcpc.coco_style import read_coco_style
from wsp_mm.datasets.converters.mcpc.files import (
    AtomicFiles,
    check_pictures,
    dump_records,
    load_json,
    picture_size,
    without_pictures,
)
from wsp_mm.datasets.converters.mcpc.records import BadDataError


@pytest.fixture
def data(tree, make, strict):
    """Three pictures of one person each; the second picture's size is not told."""
    images = [make.image(1), make.image(2, width=..., height=...), make.image(3)]
    path = tree.write('a.json', make.coco_file(images, [make.person(n, n) for n in (1, 2, 3)]))
    return read_coco_style(path, 'coco', 'train', 'coco17', 'train2017/', strict)


def test_no_picture_at_hand_is_allowed_and_counted(tree, data, strict):
    assert check_pictures(data, tree.root, strict) is data
    assert list(strict.unchecked.values()) == [3] and 'train2017' in strict.notes[0]


def test_hidden_files_are_no_pictures(tree, data, strict):
    tree.write('train2017/.gitkeep', '')
    check_pictures(data, tree.root, strict)
    assert list(strict.unchecked.values()) == [3]


def test_sizes_come_from_the_header(tree, data, strict):
    for n in (1, 2, 3):
        tree.picture(f'train2017/{n:012d}.jpg', size=(320, 200))
    data = check_pictures(data, tree.root, strict)
    assert (data.pictures[1].width, data.pictures[1].height) == (320, 200)
    assert data.pictures[0].width == 640  # told by the file, not asked of the picture
    assert not strict.unchecked and not strict.notes


def test_absent_pictures(tree, data, strict, lenient):
    tree.picture('train2017/000000000002.jpg')
    with pytest.raises(BadDataError, match=r'a\.json: picture 1: .*000000000001\.jpg') as error:
        check_pictures(data, tree.root, strict)
    assert error.value.kind == 'picture absent'
    data = check_pictures(data, tree.root, lenient)
    assert data.source_ids == [2] and data.picture.tolist() == [0] and len(data.pictures) == 1
    assert lenient.counts() == {'picture absent': 2}


def test_unreadable_pictures(tree, data, lenient):
    for n in (1, 3):
        tree.picture(f'train2017/{n:012d}.jpg')
    tree.write('train2017/000000000002.jpg', 'no picture')
    assert check_pictures(data, tree.root, lenient).source_ids == [1, 3]
    assert lenient.counts() == {'picture unreadable': 1}


def test_picture_size(tree):
    assert picture_size(tree.picture('a.png', size=(33, 44))) == (33, 44)


def test_without_pictures_renumbers(data):
    left = without_pictures(data, np.array([True, False, False]))
    assert left.source_ids == [2, 3] and left.picture.tolist() == [0, 1]
    assert [p.source_id for p in left.pictures] == [2, 3]
    assert without_pictures(data, np.zeros(3, dtype=bool)) is data


def test_atomic_files_appear_together(tmp_path):
    folder = tmp_path / 'new' / 'folder'
    with AtomicFiles(folder) as files:
        with files.open('a.txt') as file:
            file.write('a')
        assert not (folder / 'a.txt').exists()
        with files.open('b.txt') as file:
            file.write('b')
    assert sorted(p.name for p in folder.iterdir()) == ['a.txt', 'b.txt']
    assert (folder / 'a.txt').stat().st_mode & 0o444 == 0o444


def test_atomic_files_leave_nothing_after_an_error(tmp_path):
    (tmp_path / 'a.txt').write_text('old')

    def spoiled():
        with AtomicFiles(tmp_path) as files:
            with files.open('a.txt') as file:
                file.write('new')
            raise RuntimeError('on the way')

    with pytest.raises(RuntimeError, match='on the way'):
        spoiled()
    assert [p.name for p in tmp_path.iterdir()] == ['a.txt']
    assert (tmp_path / 'a.txt').read_text() == 'old'


def test_dump_records_is_json():
    file = io.StringIO()
    head, lists = (
        {'info': {'a': 1}},
        {'x': ({'n': n} for n in range(3)), 'y': iter(()), 'z': [{'s': 'é"'}]},
    )
    dump_records(file, head, lists)
    assert json.loads(file.getvalue()) == {
        'info': {'a': 1}, 'x': [{'n': 0}, {'n': 1}, {'n': 2}], 'y': [], 'z': [{'s': 'é"'}]
    }  # fmt: skip


def test_dump_records_refuses_nan():
    with pytest.raises(ValueError, match='JSON'):
        dump_records(io.StringIO(), {}, {'x': [{'n': float('nan')}]})


def test_load_json_leaves_the_collector_as_it_was(tree):
    path = tree.write('a.json', {'segmentation': [1], 'b': [{'licenses': 1, 'c': 2}]})
    assert load_json(path) == {'b': [{'c': 2}]} and gc.isenabled()
    gc.disable()
    try:
        load_json(path)
        assert not gc.isenabled()
    finally:
        gc.enable()
