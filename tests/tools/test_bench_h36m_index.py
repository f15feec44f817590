# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import sys

import pytest

pytest.importorskip('mmengine')


@pytest.mark.skipif(
    not sys.platform.startswith('linux'), reason="reads the kernel's count of a process's memory"
)
def test_generated_annotations_load_and_are_measured(load_tool, tmp_path):
    bench = load_tool('benchmarks/bench_h36m_index')
    bench.write_annotations(tmp_path, 1201)
    index = load_tool('dataset_converters/index_h36m')
    subjects = ['--subjects', '1', '5', '6', '7', '8']
    assert index.main(['--data-root', str(tmp_path), '--quiet', *subjects]) == 0
    for layout in ('3dmppe', 'index'):
        args = ['--out', str(tmp_path), '--workers', '0', '--measure', layout]
        figures = bench.measure(bench.build_parser().parse_args(args))
        assert figures['frames'] == 1201 and figures['seconds'] > 0
        assert 0 < figures['loaded']['anonymous'] <= figures['loaded']['rss']
