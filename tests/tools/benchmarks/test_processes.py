# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import mmap
import os
import sys

import pytest


@pytest.fixture
def processes(repo, monkeypatch):
    monkeypatch.syspath_prepend(repo / 'tools' / 'benchmarks')
    import processes

    return processes


def test_asking_a_process(processes, tmp_path):
    script = tmp_path / 'one.py'
    script.write_text("import sys, json\nprint('by the way')\nprint(json.dumps(sys.argv[1:]))\n")
    assert processes.ask(script, 1, 'b') == ['1', 'b']
    script.write_text("raise ValueError('this is why')")
    with pytest.raises(RuntimeError, match='this is why'):
        processes.ask(script)


@pytest.mark.skipif(
    not sys.platform.startswith('linux'), reason='the kernel counts memory on Linux only'
)
def test_memory(processes):
    before = processes.memory()
    assert 0 < before['private'] <= before['rss'] and 0 < before['pss'] <= before['rss']
    with mmap.mmap(
        -1, 32 << 20, flags=mmap.MAP_PRIVATE
    ) as held:  # not from what other tests have freed
        held.write(bytes([1]) * (32 << 20))
        after = processes.memory(os.getpid())
    # between the two, the process may have taken some MB for itself
    assert 30 << 20 < after['private'] - before['private'] < 48 << 20
    with pytest.raises(RuntimeError, match='Linux only'):
        processes.memory(2**30)
