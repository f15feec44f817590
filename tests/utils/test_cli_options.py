# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import argparse

from wsp_mm.utils.cli import add_common_arguments, parse_cfg_options


def test_options_add_up():
    """As MMEngine's do, however often the option is given."""
    parser = argparse.ArgumentParser()
    add_common_arguments(parser)
    words = ['--cfg-options', 'a=1', '--work-dir', 'x', '--cfg-options', 'b.c=2', 'a=3']
    assert parse_cfg_options(parser, parser.parse_args(words).cfg_options) == {'a': 3, 'b.c': 2}
