# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""What tools and users call. ``WSPInferencer`` is imported when it is asked for: torch is slow."""


def __getattr__(name: str):
    if name == 'WSPInferencer':
        from wsp_mm.apis.inferencer import WSPInferencer

        return WSPInferencer
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
