# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Networks that come with the package, found by name.

``model_zoo/metafile.yml`` lists them in OpenMMLab's model-index format. A collection is a set of
networks that work together; ``Metadata.Role`` says what each one is for.
"""

from collections.abc import Iterable
from pathlib import Path

import yaml

from wsp_mm.apis.images import InputError
from wsp_mm.config_path import config_root
from wsp_mm.utils.checkpoint import BrokenCheckpointError
from wsp_mm.utils.files import file_sha256

#: The set that is used where none is named.
DEFAULT = 'wsp-lite0'
#: 3D pose, root depth, detector, order of persons.
ROLES = ('pose', 'root', 'det', 'order')


def zoo_folder() -> Path:
    """The folder ``model_zoo``: beside the configurations, in a checkout or a wheel."""
    return config_root().parent / 'model_zoo'


def read_zoo(folder: str | Path | None = None) -> dict[str, dict[str, dict]]:
    """Read the metafile.

    Args:
        folder: that it lies in; default: :func:`zoo_folder`.

    Returns:
        name of a set or of a network -> role -> the network's entry in the metafile.

    Raises:
        FileNotFoundError: there is no metafile.
    """
    text = (Path(folder or zoo_folder()) / 'metafile.yml').read_text(encoding='utf-8')
    named: dict[str, dict[str, dict]] = {}
    for entry in yaml.safe_load(text)['Models']:
        for name in (entry['In Collection'], entry['Name']):
            named.setdefault(name, {})[entry['Metadata']['Role']] = entry
    return named


def find_networks(
    name: str, roles: Iterable[str] = ROLES, folder: str | Path | None = None
) -> dict[str, tuple[Path, Path]]:
    """Find the networks of a name, and check that their weights are what the metafile says.

    Args:
        name: of a set (``wsp-lite0``) or of one network (``wsp-lite0-pose``).
        roles: that are wanted; others are neither looked for nor checked.
        folder: of the metafile; default: :func:`zoo_folder`. Paths in it are relative to the folder
            above.

    Returns:
        role -> (configuration, weights).

    Raises:
        InputError: no such name, or none of its networks has one of the roles.
        FileNotFoundError: the configuration or the weights are not there.
        BrokenCheckpointError: the weights are another file than the metafile's.
    """
    folder, roles = Path(folder or zoo_folder()), tuple(roles)
    named = read_zoo(folder)
    if name not in named:
        known = ', '.join(sorted(named))
        raise InputError(f'no networks are named {name!r}; there are: {known}')
    found = {role: entry for role, entry in named[name].items() if role in roles}
    if roles and not found:
        what = f'{name} is for {", ".join(named[name])}, not for {", ".join(roles)}'
        raise InputError(f'{what}: name another one of {", ".join(sorted(named))}')
    return {role: _files(entry, folder) for role, entry in found.items()}


def _files(entry: dict, folder: Path) -> tuple[Path, Path]:
    """Return the checked configuration and weights of an entry in the metafile."""
    config, weights = (folder.parent / entry[key] for key in ('Config', 'Weights'))
    for file in (config, weights):
        if not file.is_file():
            remedy = 'get the whole repository or install the wheel again, or name networks of '
            remedy += 'your own (pose=, det=; of demo/infer.py --pose-config, --det-config, ...)'
            raise FileNotFoundError(f'{file} of {entry["Name"]} is not there: {remedy}')
    promised, digest = entry['Metadata']['SHA256'], file_sha256(weights)
    if digest != promised:
        raise BrokenCheckpointError(
            f'{weights} has SHA-256 {digest}, {folder / "metafile.yml"} promises {promised}: '
            'get the file again'
        )
    return config, weights
