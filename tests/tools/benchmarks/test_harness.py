# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import pytest
from growth import exponent, sizes_up_to
from harness import ask


def test_asking_a_process(tmp_path):
    script = tmp_path / 'one.py'
    script.write_text("import sys, json\nprint('by the way')\nprint(json.dumps(sys.argv[1:]))\n")
    assert ask(script, 1, 'b') == ['1', 'b']
    script.write_text("raise ValueError('this is why')")
    with pytest.raises(RuntimeError, match='this is why'):
        ask(script)


def test_exponents():
    sizes = sizes_up_to(320)
    assert sizes == [20, 80, 320]
    for power in (0, 1, 2):
        assert exponent(sizes, [3.0 * size**power for size in sizes]) == pytest.approx(power)
    with pytest.raises(ValueError, match='at least 16'):
        sizes_up_to(15)
    with pytest.raises(ValueError, match='no exponent'):
        exponent([1, 4], [0.0, 1.0])
