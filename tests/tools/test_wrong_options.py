# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Words of a command line that do not go together are explained, before anything is read."""

import pytest

DETECT = ['c', 'p', '--out', 'b.json']


@pytest.mark.parametrize(
    ('tool', 'words', 'named'),
    [
        ('detect_persons', DETECT, '--images --ann'),
        ('detect_persons', [*DETECT, '--images', 'x', '--ann', 'y'], 'not allowed with'),
        ('detect_persons', [*DETECT, '--ann', 'y'], '--img-root'),
        ('detect_persons', [*DETECT, '--images', 'x', '--img-root', 'y'], '--img-root'),
        ('predict_roots', ['--gt', '--ann', 'a', '--out', 'r'], '--k-value'),
        ('predict_roots', ['c', 'p', '--gt', '--ann', 'a', '--out', 'r'], '--images'),
        ('predict_roots', ['c', 'p', '--k-value', '--gt', '--ann', 'a', '--out', 'r'], '--k-value'),
        ('predict_roots', ['--k-value', '--gt', '--out', 'r'], '--ann'),
        ('predict_roots', ['--k-value', '--out', 'r'], '--boxes --gt'),
        ('dataset_converters/make_world', ['--workers', '0'], '--workers'),
        ('dataset_converters/make_world', ['--worlds', 'moon'], 'moon'),
        ('dataset_converters/make_world', ['--worlds', 'lab'], 'h36m'),
    ],
)
def test_wrong_options(tool, words, named, load_tool, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        load_tool(tool).main(words)
    assert stop.value.code == 2 and named in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
