# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""How often the perspective rule (Eq. 1-4) contradicts true depth, measured on an embedded world.

python tools/analysis_tools/label_noise.py --world data/synthetic [--out DIR] [--ankle lowest|mean]
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from wsp_mm.synthetic.label_noise import TITLES, label_noise, markdown, plot, pretty, rows_of
from wsp_mm.synthetic.layouts.files import WorldError, write_bytes, write_json


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.split('\n\n')[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument(
        '--world', type=Path, default=Path('data/synthetic'), help='folder of tools/make_world.py'
    )
    parser.add_argument(
        '--out', type=Path, help='folder for label_noise.{json,md,png} (default: WORLD/label_noise)'
    )
    parser.add_argument(
        '--ankle',
        choices=('lowest', 'mean'),
        default='lowest',
        help='where two ankles are labelled',
    )
    return parser.parse_args(argv)


def show(result: dict[str, float], console: Console) -> None:
    """Print the result as one table with a section for every axis."""
    table = Table(title='Perspective rule against true depth: wrong in ...')
    for column in ('', '% of pairs', '% of joints', 'pairs'):
        table.add_column(column, justify='left' if not column else 'right')
    for axis, title in TITLES.items():
        if axis != 'all':
            table.add_section()
            table.add_row(f'[bold]{title}[/bold]', '', '', '')
        for name, person, joint, n in rows_of(result, axis):
            figures = ('-' if math.isnan(value) else f'{value:.1f}' for value in (person, joint))
            table.add_row(pretty(name), *figures, str(n))
    console.print(table)
    console.print(f'Pairs with level ankles, left out: {int(result["ties"])}')


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    out = args.out or args.world / 'label_noise'
    try:
        result = label_noise(args.world, args.ankle)
        # nan is no json: an empty bin is null
        plain = {
            k: None if isinstance(v, float) and math.isnan(v) else v for k, v in result.items()
        }
        write_json(out / 'label_noise.json', plain)
        write_bytes(out / 'label_noise.md', markdown(result).encode())
        plot(result, out / 'label_noise.png')
    except (WorldError, OSError) as error:
        print(f'label_noise: {error}', file=sys.stderr)
        return 1
    show(result, Console())
    print(f'Written: {out}/label_noise.json, label_noise.md, label_noise.png')
    return 0


if __name__ == '__main__':
    sys.exit(main())
