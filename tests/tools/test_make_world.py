# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
from collections import Counter

import pytest

from wsp_mm.synthetic import builder
from wsp_mm.synthetic.plan import WorldError
from wsp_mm.synthetic.worlds import WORLDS

TOOL = 'dataset_converters/make_world'


@pytest.fixture
def made(monkeypatch):
    """What the tool asks the builder for, in place of making it."""
    calls = []

    def make_world(out, world, preset, seed, workers):
        calls.append((out.name, world, preset, seed, workers))
        if seed == 7:
            raise WorldError('seed 7 is unlucky')
        if seed == 8:
            raise KeyboardInterrupt
        counts = {(world, 'train'): (30, 50), (world, 'val'): (10, 9)}
        return builder.Report(0 if seed == 1 else 40, 40, 2.0, workers, counts)

    monkeypatch.setattr(builder, 'make_world', make_world)
    return calls


def test_all_worlds_by_default_or_some_in_their_order(call_tool, load_tool, made, tmp_path):
    out = tmp_path / 'world'
    status, printed, _ = call_tool(TOOL, '--out', out, '--workers', '2')
    assert status == 0
    assert [call[1:] for call in made] == [(name, 'small', 0, 2) for name in [*WORLDS][:4]]
    assert 'mupots: 40 images made in 2.0 s (10.0 images/s a worker), 40 were there' in printed
    assert Counter(printed.split())['val'] == 4 and '236' in printed  # annotated persons in all
    made.clear()
    some = ['--worlds', 'muco', 'wild', '--preset', 'tiny', '--seed', '1']
    assert call_tool(TOOL, '--out', out, *some)[0] == 0
    assert [call[1] for call in made] == ['wild', 'muco']
    assert tuple(WORLDS) == load_tool(TOOL).WORLDS


@pytest.mark.parametrize(
    ('words', 'status', 'named'),
    [
        (['--preset', 'huge'], 1, 'tiny, small, full'),
        (['--seed', '7'], 1, 'seed 7 is unlucky'),
        (['--seed', '8'], 130, 'same command'),
    ],
)
def test_errors_end_with_a_message(words, status, named, call_tool, made, tmp_path):
    found, _, error = call_tool(TOOL, '--out', tmp_path, *words)
    assert found == status and named in error and len(made) == ('--seed' in words)
