# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Commands in a process of their own."""

import os
import subprocess


def run(*words, status=0, cwd=None, timeout=None, **environment) -> subprocess.CompletedProcess:
    """The finished process, of a changed environment; it must end with ``status`` (None: any)."""
    done = subprocess.run(
        [str(word) for word in words],
        env={**os.environ, **environment},
        cwd=cwd,
        timeout=timeout,
        capture_output=True,
        text=True,
    )
    assert status in (None, done.returncode), done.stdout[-4000:] + done.stderr[-4000:]
    return done
