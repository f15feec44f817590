#!/usr/bin/env python
# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Build MCPC, the multi-person images that relative depth is learned from, out of 2D pose data
sets.

Example:
    python tools/dataset_converters/build_mcpc.py --coco data/coco --mpii data/mpii \
        --posetrack18 data/posetrack18 --crowdpose data/crowdpose --out data/mcpc

docs/data_mcpc.md says where to get the sources and how their folders must look. Any subset of them
will do; --relative-human adds training images whose labels are layers that people annotated. Images
are never copied, and not even needed (then what they would have shown is counted as not checked).
"""

import argparse
import sys
from dataclasses import fields

from wsp_mm.datasets.annotations import AnnotationError
from wsp_mm.datasets.converters.mcpc.build import build_mcpc
from wsp_mm.datasets.converters.mcpc.options import BuildOptions
from wsp_mm.datasets.converters.mcpc.sources import SOURCES


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    for source in SOURCES:
        add(f'--{source.replace("_", "-")}', metavar='DIR', help=f'folder of {source}')
    add('--out', required=True, metavar='DIR', help='folder for the results')
    for option in fields(BuildOptions):
        if option.metadata:
            text = f'{option.metadata["help"]} (default: {option.default})'
            flag = '--' + option.name.replace('_', '-')
            add(flag, **{**option.metadata, 'default': option.default, 'help': text})
    add('--quiet', action='store_true', help='no progress bars and no table')
    return parser


def main(argv: list[str] | None = None) -> int:
    args = vars(build_parser().parse_args(argv))
    quiet = args.pop('quiet')
    roots = {source: root for source in SOURCES if (root := args.pop(source)) is not None}
    try:
        result = build_mcpc(BuildOptions(roots=roots, progress=not quiet, **args))
    except AnnotationError as error:
        print(f'build_mcpc: {error.kind}: {error}', file=sys.stderr)
        return 1
    except ValueError as error:
        print(f'build_mcpc: {error}', file=sys.stderr)
        return 2
    if not quiet:
        print(result.files['mcpc_table.md'].read_text())
        print(*(f'wrote {path}' for path in result.files.values()), sep='\n')
    return 0


if __name__ == '__main__':
    sys.exit(main())
