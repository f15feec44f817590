# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import pytest


@pytest.fixture
def growth(repo, monkeypatch):
    monkeypatch.syspath_prepend(repo / 'tools' / 'benchmarks')
    import growth

    return growth


def test_exponents(growth):
    sizes = growth.sizes_up_to(320)
    assert sizes == [20, 80, 320]
    for power in (0, 1, 2):
        assert growth.exponent(sizes, [3.0 * size**power for size in sizes]) == pytest.approx(power)
    with pytest.raises(ValueError, match='at least 16'):
        growth.sizes_up_to(15)
    with pytest.raises(ValueError, match='no exponent'):
        growth.exponent([1, 4], [0.0, 1.0])
