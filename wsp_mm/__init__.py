# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Weakly-supervised pre-training for monocular 3D human pose, as an MMPose plugin.

Importing the package is free of side effects: configs register its components with
``custom_imports = dict(imports=['wsp_mm.register'])``.
"""

__version__ = '0.2.0'
