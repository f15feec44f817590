# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Predictions of `tools/test.py --dump` beside the box rules and, where it is known, true depth."""

import argparse
import sys
from pathlib import Path


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add, dumps = parser.add_argument, 'predictions (.npz) to add, each under a name'
    add('mcpc', type=Path, help='mcpc_test.json')
    add('--dump', nargs='*', default=[], metavar='NAME=FILE', help=dumps)
    add('--gt', type=Path, help="the world's folder ground_truth (embedded world only)")
    add('--out', type=Path, help='also write the table as json')
    add(
        '--trust', action='store_true',
        help="read pickles of MMPose's own --dump, too; this executes code in them",
    )  # fmt: skip
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    from wsp_mm.evaluation.controls import control_table, load_pairs, load_probs
    from wsp_mm.evaluation.tables import control_rows, stand_in_text, text_table
    from wsp_mm.utils.files import dump_json

    try:
        pairs = load_pairs(args.mcpc, args.gt)
        predictions = {}
        for text in args.dump:
            name, found, file = text.partition('=')
            if not found:
                raise ValueError(f'--dump takes NAME=FILE, got {text!r}')
            predictions[name] = load_probs(file, pairs, args.trust)
    except (OSError, ValueError) as error:
        print(f'rd_controls: {error}', file=sys.stderr)
        return 1
    controls = control_table(pairs, predictions)
    title = f'{len(pairs.ids)} pairs of {args.mcpc}'
    print(text_table(*control_rows(controls), title=title))
    print(stand_in_text(pairs.stand_in_shares()))
    if args.out:
        dump_json(args.out, controls)
    return 0


if __name__ == '__main__':
    sys.exit(main())
