#!/usr/bin/env bash
# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
# Make .venv: tools/setup_env.sh [--force]. Finds a Python and hands over to setup_env.py.
# PYTHON=/path/to/python overrides the search. Python 3.11 comes first because it was tested most.
set -euo pipefail
cd "$(dirname "$0")/.."

usable() {
    "$1" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' >/dev/null 2>&1
}

if [ -n "${PYTHON:-}" ]; then
    if ! usable "$PYTHON"; then
        echo "set-up: PYTHON=$PYTHON is no working Python 3.10, 3.11 or 3.12." >&2
        exit 1
    fi
    exec "$PYTHON" tools/setup_env.py "$@"
fi
# Debian and Fedora put headers and venv into packages of their own: prefer a Python that has them.
first=
for candidate in python3.11 python3.12 python3.10 python3 python; do
    if usable "$candidate"; then
        first=${first:-$candidate}
        if "$candidate" tools/setup_env.py --check-python >/dev/null 2>&1; then
            exec "$candidate" tools/setup_env.py "$@"
        fi
    fi
done
if [ -z "$first" ]; then
    echo "set-up: no Python 3.10, 3.11 or 3.12 found. Install one:" \
        "sudo apt-get install python3.11 python3.11-dev python3.11-venv | sudo dnf install python3.11 python3.11-devel" \
        "(or set PYTHON=/path/to/python)" >&2
    exit 1
fi
exec "$first" tools/setup_env.py "$@"
