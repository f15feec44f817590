# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Predictions of `tools/test.py --dump` beside the box rules and, where it is known, true depth."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('mcpc', type=Path, help='mcpc_test.json')
    parser.add_argument(
        '--dump',
        nargs='*',
        default=[],
        metavar='NAME=FILE',
        help='predictions to add, each under a name',
    )
    parser.add_argument('--truth', type=Path, help="the world's truth folder (embedded world only)")
    parser.add_argument('--out', type=Path, help='also write the table as json')
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    from rich.console import Console
    from rich.table import Table

    from wsp_mm.apis.rd_report import without_nan
    from wsp_mm.apis.rd_study import control_rows
    from wsp_mm.evaluation.controls import control_table, load_pairs, load_predictions
    from wsp_mm.utils.files import write_text_atomic
    from wsp_mm.visualization.report import cell

    try:
        pairs = load_pairs(args.mcpc, args.truth)
        predictions = {}
        for text in args.dump:
            name, found, file = text.partition('=')
            if not found:
                raise ValueError(f'--dump takes NAME=FILE, got {text!r}')
            predictions[name] = load_predictions(file, pairs)
    except (OSError, ValueError) as error:
        print(f'rd_controls: {error}', file=sys.stderr)
        return 1
    controls = control_table(pairs, predictions)
    header, rows = control_rows(controls)
    table = Table(*header, title=f'{len(pairs.ids)} pairs of {args.mcpc}')
    for row in rows:
        table.add_row(*(cell(value) for value in row))
    Console(width=160).print(table)
    if args.out:
        plain = {name: without_nan(row) for name, row in controls.items()}
        write_text_atomic(args.out, json.dumps(plain, indent=2))
    return 0


if __name__ == '__main__':
    sys.exit(main())
