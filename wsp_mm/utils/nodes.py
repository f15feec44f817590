# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""The dicts of a config, however deep they lie."""

from collections.abc import Iterator, Mapping
from typing import Any


def config_nodes(node: Any) -> Iterator[Any]:
    """Yield every dict below a node of a config, the node itself first; what the caller changes in
    one holds for those below.
    """
    if isinstance(node, Mapping):
        yield node
        node = node.values()
    elif not isinstance(node, (list, tuple)):
        return
    for value in node:
        yield from config_nodes(value)
