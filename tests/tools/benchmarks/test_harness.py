# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import pytest


def test_asking_a_process(repo, monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(repo / 'tools' / 'benchmarks')
    from harness import ask

    script = tmp_path / 'one.py'
    script.write_text("import sys, json\nprint('by the way')\nprint(json.dumps(sys.argv[1:]))\n")
    assert ask(script, 1, 'b') == ['1', 'b']
    script.write_text("raise ValueError('this is why')")
    with pytest.raises(RuntimeError, match='this is why'):
        ask(script)
