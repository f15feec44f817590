#!/usr/bin/env bash
# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
# Train with several processes: tools/dist_train.sh CONFIG N [options of tools/train.py]
#
# N processes on this machine, one for each GPU (NCCL); without a GPU they share the CPU (gloo).
# Several machines: NNODES, NODE_RANK, MASTER_ADDR, PORT. On one machine a free port is chosen unless PORT is set.
# Python: $PYTHON, else the active environment's, else this checkout's .venv.
set -euo pipefail
if [ $# -lt 2 ]; then
    sed -n '3,7s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
CONFIG=$1
N=$2
shift 2
. "$(dirname "$0")/launch.sh"
launch "$N" "$TOOLS/train.py" "$CONFIG" --launcher pytorch "$@"
