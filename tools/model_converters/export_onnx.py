# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Export a network with its decoding to ONNX: 3D pose, order of two persons, or root depth.

    python tools/model_converters/export_onnx.py CONFIG CHECKPOINT OUT.onnx --check

:mod:`wsp_mm.apis.export_onnx` describes inputs and outputs. The file answers as the inferencer does
for the same crop; without the mirrored input (``--cfg-options model.test_cfg.flip_test=False``) in
half the time. Needs the extra ``onnx``.
"""

import argparse
import sys

from wsp_mm.utils.cli import TRUST_HELP, add_cfg_options, config_from_args, printable


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='of a 3D, pre-training or root-depth network')
    parser.add_argument('checkpoint', help='its weights')
    parser.add_argument('out_file', metavar='OUT.onnx', help='the file to write')
    text = 'compare onnxruntime with torch before the file is written'
    parser.add_argument('--check', action='store_true', help=text)
    add_cfg_options(parser)
    parser.add_argument('--trust-checkpoint', action='store_true', help=TRUST_HELP)
    return parser


def main(argv: list[str] | None = None) -> None:
    parser = build_parser()
    args = parser.parse_args(argv)
    cfg = config_from_args(parser, args)
    from wsp_mm.apis.export_onnx import check_onnx, export_onnx
    from wsp_mm.apis.models import load_network
    from wsp_mm.utils.checkpoint import CheckpointError
    from wsp_mm.utils.files import atomic_file

    try:
        network = load_network(cfg, args.checkpoint, 'cpu', trust=args.trust_checkpoint or None)
        content = export_onnx(network)
        differences = check_onnx(network, content) if args.check else {}
        with atomic_file(args.out_file) as file:
            file.write(content)
    except ModuleNotFoundError as error:
        if not str(error.name).startswith('onnx'):
            raise
        sys.exit(f"{error}: install the extra, pip install 'wsp_mm[onnx]'")
    except (CheckpointError, OSError, ValueError) as error:
        sys.exit(printable(error))
    print(f'{args.out_file} ({len(content) / 1e6:.1f} MB): {network.kind}')
    for name, difference in differences.items():
        print(f'{name}: onnxruntime and torch differ by at most {difference:.1g}')


if __name__ == '__main__':
    main()
