# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""The worlds: which images each has, and how its scenes are made.

Each is a module with ``PRESETS`` (name -> options of ``plan``), ``plan(seed, **options)`` (images
by number), ``SETTINGS`` (source -> settings of its scenes) and ``FOLDERS`` (under the world's
folder, all its own).
"""

from . import h36m, muco, mupots, photo, relative_human, wild

#: Name -> world, in the order in which they are made.
WORLDS = {
    'wild': wild, 'h36m': h36m, 'muco': muco, 'mupots': mupots, 'photo': photo,
    'relative_human': relative_human,
}  # fmt: skip
