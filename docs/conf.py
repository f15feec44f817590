# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Sphinx: the pages of this folder and the API from docstrings (`make docs`)."""

import importlib.metadata
import sys
from pathlib import Path

import sphinx.ext.napoleon

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

project, copyright = 'wsp_mm', 'The wsp_mm authors'
release = importlib.metadata.version('wsp_mm')
extensions = ['myst_parser', 'sphinx.ext.autodoc', 'sphinx.ext.napoleon']
html_theme = 'furo'
html_title = f'wsp_mm {release}'
myst_heading_anchors = 3  # links such as page.md#heading, as on GitHub
autodoc_typehints = 'none'  # signatures would be longer than the docstrings
autodoc_member_order = 'bysource'
napoleon_use_rtype = False
add_module_names = False

# It decides on private members, which are left out here, and fails on those that MMCV wraps.
sphinx.ext.napoleon._skip_member = lambda *_: None
