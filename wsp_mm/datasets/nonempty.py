# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Moved to :mod:`wsp_mm.datasets.annotations`."""

from wsp_mm.datasets.annotations import build_nonempty  # noqa: F401
