# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Where the configuration files of an installed wsp_mm lie.

``python -m wsp_mm.config_path wsp_pretrain_r50`` prints a path, for ``tools/train.py`` or for the
``_base_`` of a configuration of your own. Works for wheels, editable installs and a plain checkout;
imports nothing heavy.
"""

import argparse
import difflib
import sys
from pathlib import Path


def config_root() -> Path:
    """The folder of configuration files: inside the installed package, or beside it in a checkout.

    Raises:
        FileNotFoundError: The package was copied without its configuration files.
    """
    package = Path(__file__).resolve().parent
    for folder in (package / '.mim' / 'configs', package.parent / 'configs'):
        if (folder / '_base_').is_dir():
            return folder
    raise FileNotFoundError(
        f'no configuration files beside {package}: install wsp_mm with pip, or run from a checkout'
    )


def available_configs() -> list[str]:
    """Names of all configurations, relative to :func:`config_root`, without ``.py``; ``_base_``
    last.
    """
    root = config_root()
    names = [path.relative_to(root).with_suffix('').as_posix() for path in root.rglob('*.py')]
    return sorted(names, key=lambda name: (name.startswith('_base_'), name))


def find_config(name: str) -> Path:
    """Find a configuration by its name.

    Args:
        name: As in ``configs/``: ``wsp_pretrain_r50``, ``wsp_pretrain_r50.py``,
            ``configs/wsp_pretrain_r50.py`` or ``_base_/default_runtime``.

    Returns:
        Absolute path of the file.

    Raises:
        FileNotFoundError: There is none of that name; the message lists similar ones.
    """
    wanted = name.removeprefix('./').removeprefix('configs/').removesuffix('.py')
    names = available_configs()
    if wanted in names:
        return config_root() / f'{wanted}.py'
    close = difflib.get_close_matches(wanted, names, n=5, cutoff=0.5)
    hint = f'Similar: {", ".join(close)}.' if close else f'There are: {", ".join(names)}.'
    raise FileNotFoundError(f'no configuration is named {wanted!r}. {hint}')


def main() -> None:
    parser = argparse.ArgumentParser(
        prog='python -m wsp_mm.config_path', description='Print the path of a configuration.'
    )
    parser.add_argument(
        'name', nargs='?', help='name, with or without .py; without it, all names are listed'
    )
    args = parser.parse_args()
    try:
        print(find_config(args.name) if args.name else '\n'.join(available_configs()))
    except FileNotFoundError as error:
        sys.exit(str(error))


if __name__ == '__main__':
    main()
