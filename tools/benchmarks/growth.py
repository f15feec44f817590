# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""How a cost grows with the data: the same at 1x, 4x and 16x, with the exponent that fits.

Linear is an exponent of 1, which is the same as a cost a record that stays constant. What every run
pays once (imports, caches) is to be kept out of what is measured, or small sizes look expensive and
the exponent small.
"""

import math
import statistics
from collections.abc import Mapping, Sequence

from harness import Table

FACTORS = (1, 4, 16)


def sizes_up_to(largest: int) -> list[int]:
    """``largest`` and a quarter and a sixteenth of it, ascending.

    Raises:
        ValueError: too small to be divided by 16.
    """
    if largest < FACTORS[-1]:
        raise ValueError(
            f'growth over 1x, 4x, 16x needs at least {FACTORS[-1]} records, not {largest}'
        )
    return [largest * factor // FACTORS[-1] for factor in FACTORS]


def exponent(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """The p of ``cost ~ size ** p``: slope of the least-squares line through the logarithms.

    Raises:
        ValueError: fewer than two sizes, or one that is not positive.
    """
    if len(sizes) < 2 or min(*sizes, *costs) <= 0:
        raise ValueError(f'no exponent fits sizes {list(sizes)} with costs {list(costs)}')
    x, y = [math.log(size) for size in sizes], [math.log(cost) for cost in costs]
    return statistics.linear_regression(x, y).slope


def growth_table(
    title: str, seconds: Mapping[int, Sequence[float]], record: str, notes: Sequence[str] = ()
) -> Table:
    """Time a record at each size, against that at the smallest; the exponent and the totals are a
    note.

    Args:
        seconds: size in records -> seconds of the whole, one a round.
        record: what is counted, for instance 'persons'.
        notes: more of them.
    """
    sizes = sorted(seconds)
    names = {size: f'{size // sizes[0]}x: {size:,} {record}' for size in sizes}
    table = Table(title, f'us for each of the {record}', names[sizes[0]])
    for size in sizes:
        table.rows[names[size]] = [1e6 * value / size for value in seconds[size]]
    totals = [statistics.median(seconds[size]) for size in sizes]
    whole = ', '.join(f'{total:.3g} s' for total in totals)
    fit = f'{record} ^ {exponent(sizes, totals):.2f}'
    table.notes = [f'Time ~ {fit} (1 is linear); in all {whole}.', *notes]
    return table
