# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""What a config's test gives when everybody gets the mean training pose: what a network must beat.

Reads annotations only. Prints the tables of `tools/test.py`.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path

from wsp_mm.utils.cli import add_cfg_options

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument('config', help='configuration file with 3D training and test data')
    parser.add_argument(
        '--out', type=Path, help='also write all figures to this json, under the metric keys'
    )
    add_cfg_options(parser)
    return parser


def main(argv: list[str] | None = None) -> int:
    parser = build_parser()
    args = parser.parse_args(argv)

    from wsp_mm.utils.cli import load_config

    config = load_config(parser, args.config, args.cfg_options)
    from mmengine.registry import DefaultScope

    import wsp_mm.register  # noqa: F401
    from wsp_mm.apis.mean_pose import mean_pose_reference
    from wsp_mm.evaluation.pose3d_tables import summary_text
    from wsp_mm.utils.files import write_text_atomic

    try:
        with DefaultScope.overwrite_default_scope('mmpose'):
            scores = mean_pose_reference(config)
    except (OSError, ValueError) as error:
        print(f'mean_pose: {error}', file=sys.stderr)
        return 1
    prefix = next(iter(scores)).partition('/')[0]
    print(
        f'Mean of {scores[f"{prefix}/n_train"]} training poses\n{summary_text(scores, f"{prefix}/")}'
    )
    if args.out is not None:
        plain = {
            k: None if isinstance(v, float) and math.isnan(v) else v for k, v in scores.items()
        }
        write_text_atomic(args.out, json.dumps(plain, indent=2))
    return 0


if __name__ == '__main__':
    sys.exit(main())
