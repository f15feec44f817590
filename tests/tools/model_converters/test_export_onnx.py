# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import sys

import pytest
from inference_fixture import make_network

for needed in ('onnx', 'onnxscript', 'onnxruntime'):
    pytest.importorskip(needed, reason='needs the extra [onnx]')


@pytest.mark.slow
def test_a_file_appears_only_when_it_is_right(load_tool, capsys, tmp_path, monkeypatch):
    from wsp_mm.apis import export_onnx

    tool, out = load_tool('model_converters/export_onnx'), tmp_path / 'root.onnx'
    network = [str(path) for path in make_network(tmp_path, 'quickstart/root_muco_lite0')]
    tool.main([*network, str(out), '--check'])
    assert out.is_file() and 'root_depth: ' in capsys.readouterr().out

    out.unlink()
    monkeypatch.setitem(export_onnx.TOLERANCES, 'root_depth', -1.0)
    with pytest.raises(SystemExit, match='root_depth'):
        tool.main([*network, str(out), '--check'])
    assert not out.exists()
    monkeypatch.setitem(sys.modules, 'onnxruntime', None)
    with pytest.raises(SystemExit, match=r'pip install .wsp_mm\[onnx\]'):
        tool.main([*network, str(out), '--check'])
    with pytest.raises(SystemExit, match=r'gone\.pth'):
        tool.main([network[0], str(tmp_path / 'gone.pth'), str(out)])
