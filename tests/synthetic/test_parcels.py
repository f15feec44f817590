# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""The machinery alone, with a kind of world that has neither bodies nor renderer."""

import json
import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from wsp_mm.synthetic.layouts.files import WorldError, write_json
from wsp_mm.synthetic.parcels import (
    Kind,
    make_parcels,
    parcel_is_done,
    read_records,
    verify_parcels,
)


@dataclass(frozen=True)
class Size:
    count: int


@dataclass(frozen=True)
class Request:
    scene_id: int
    seed: int


@dataclass(frozen=True)
class Note:
    scene_id: int
    value: float

    def to_dict(self) -> dict:
        return vars(self)


def plan(preset, seed):
    return [Request(number, seed) for number in range(preset.count)]


def names(request):
    return [
        (f'toy/a/{request.scene_id}.jpg', f'twin/{request.scene_id}.jpg'),
        (f'toy/b/{request.scene_id}.jpg', None),
    ]


def generate(request):
    rng = np.random.default_rng([request.seed, request.scene_id])
    images = [rng.integers(0, 255, (8, 8, 3), np.uint8) for _ in range(2)]
    return images, Note(request.scene_id, float(rng.random()))


def write(out, requests, records, report):
    write_json(out / 'toy/all.json', [record.value for record in records])
    report.paths.append(out / 'toy/all.json')


def check(record, request):
    return ['too large'] if record.value > 2 else []


def check_files(out, requests, records):
    values = json.loads((out / 'toy/all.json').read_text())
    return [] if values == [record.value for record in records] else ['all.json differs']


TOY = Kind(
    'toy', 1, ('toy', 'twin'), lambda name: Size(6), plan, names, generate, lambda data: Note(**data),
    ('scene_id',), write, check, check_files,
)  # fmt: skip


def contents(root: Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob('*')) if p.is_file()
    }


def test_everything_is_written_and_found_again(tmp_path):
    report = make_parcels(tmp_path, TOY, Size(6), 3, workers=0)
    assert (report.rendered, report.kept, report.paths) == (12, 0, [tmp_path / 'toy/all.json'])
    assert len(contents(tmp_path)) == 6 * 4 + 2
    for number in range(6):
        assert os.path.samefile(tmp_path / f'toy/a/{number}.jpg', tmp_path / f'twin/{number}.jpg')
    before = contents(tmp_path)
    report = make_parcels(tmp_path, TOY, Size(6), 3, workers=0)
    assert (report.rendered, report.kept) == (0, 12) and contents(tmp_path) == before
    assert verify_parcels(tmp_path, TOY, Size(6), 3, workers=0) == ([], 12)


@pytest.mark.parametrize('lost', ['toy/b/2.jpg', 'twin/2.jpg', 'records/toy/000002.json'])
def test_whatever_is_lost_is_made_again(tmp_path, lost):
    make_parcels(tmp_path, TOY, Size(4), workers=0)
    before = contents(tmp_path)
    (tmp_path / lost).unlink()
    (tmp_path / 'toy/a/0.jpg.7.part').write_bytes(b'half')
    assert not parcel_is_done(tmp_path, TOY, Request(2, 0))
    report = make_parcels(tmp_path, TOY, Size(4), workers=0)
    assert (report.rendered, report.kept) == (2, 6) and contents(tmp_path) == before
    assert os.path.samefile(tmp_path / 'toy/a/2.jpg', tmp_path / 'twin/2.jpg')


def test_an_interrupted_run_goes_on(tmp_path):
    def stops(request):
        if request.scene_id == 3:
            raise MemoryError('no more')
        return generate(request)

    with pytest.raises(
        WorldError, match=r'toy scene 3 cannot be made: MemoryError: no more \(Request'
    ):
        make_parcels(tmp_path / 'a', replace(TOY, generate=stops), Size(6), workers=0)
    assert not (tmp_path / 'a/toy/all.json').exists()
    assert make_parcels(tmp_path / 'a', TOY, Size(6), workers=0).kept == 6
    make_parcels(tmp_path / 'b', TOY, Size(6), workers=0)
    assert contents(tmp_path / 'a') == contents(tmp_path / 'b')


def test_only_its_own_folders_are_its_own(tmp_path):
    (tmp_path / 'coco').mkdir()
    (tmp_path / 'coco/real.jpg.1.part').write_bytes(b'of somebody else')
    make_parcels(tmp_path, TOY, Size(2), workers=0)
    assert (tmp_path / 'coco/real.jpg.1.part').is_file()
    with pytest.raises(
        WorldError,
        match=r'another world: .*seed is 0, asked for is 1.*rm -r .*\{world_toy.json,toy,',
    ):
        make_parcels(tmp_path, TOY, Size(2), seed=1, workers=0)
    with pytest.raises(WorldError, match='another world: format is 1'):
        make_parcels(tmp_path, replace(TOY, format=2), Size(2), workers=0)
    (tmp_path / 'other/twin').mkdir(parents=True)
    with pytest.raises(
        WorldError, match=r"holds \['twin'\] but no world_toy.json, so it may be real data"
    ):
        make_parcels(tmp_path / 'other', TOY, Size(2), workers=0)


def test_broken_records_are_named(tmp_path):
    make_parcels(tmp_path, TOY, Size(3), workers=0)
    path = tmp_path / 'records/toy/000001.json'
    for content, words in (
        ('{"scene_id": 1', 'not a scene record'), ('{"scene_id": 1}', 'not a scene record'),
        ('{"scene_id": 2, "value": 1}', 'scene_id is 2, the plan says 1'),
    ):  # fmt: skip
        path.write_text(content)
        with pytest.raises(WorldError, match=rf'000001.json: {words}'):
            list(read_records(tmp_path, TOY, plan(Size(3), 0)))


def test_verify_finds_what_was_changed(tmp_path):
    with pytest.raises(
        WorldError, match=r'6 scenes of the world toy .* are not there, the first is toy/a/0.jpg'
    ):
        verify_parcels(tmp_path, TOY, Size(6), workers=0)
    make_parcels(tmp_path, TOY, Size(6), workers=0)
    other = (tmp_path / 'toy/b/5.jpg').read_bytes()
    (tmp_path / 'toy/b/4.jpg').write_bytes(other)
    write_json(tmp_path / 'records/toy/000002.json', {'scene_id': 2, 'value': 3.5})
    problems, count = verify_parcels(tmp_path, TOY, Size(6), workers=0)
    assert count == 12
    assert [problem.partition(': ')[0] for problem in problems] == [
        'all.json differs', 'toy scene 2', 'toy scene 2', 'toy scene 4',
    ]  # fmt: skip
    assert 'too large' in problems[1] and 'toy/b/4.jpg is not what' in problems[3]
    problems, count = verify_parcels(tmp_path, TOY, Size(6), workers=0, count=2)
    assert count == 4 and problems == ['all.json differs']
