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


def test_a_table_tells_linear_from_quadratic(growth):
    linear = growth.growth_table(
        't', {n: [2e-3 * n, 2e-3 * n] for n in (10, 40, 160)}, 'rows', ['more']
    )
    assert (
        linear.rows['16x: 160 rows'] == pytest.approx([2000, 2000])
        and linear.reference == '1x: 10 rows'
    )
    assert linear.ratios('16x: 160 rows') == pytest.approx([1, 1])
    assert 'rows ^ 1.00' in linear.notes[0] and '0.02 s, 0.08 s, 0.32 s' in linear.notes[0]
    assert linear.notes[1:] == ['more']
    quadratic = growth.growth_table('t', {n: [1e-3 * n * n] for n in (10, 40, 160)}, 'rows')
    assert 'rows ^ 2.00' in quadratic.notes[0]
    assert quadratic.ratios('4x: 40 rows') == pytest.approx([4])
