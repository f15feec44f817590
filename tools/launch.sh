# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
# Sourced by dist_train.sh, dist_test.sh and slurm_train.sh.
# Sets TOOLS (this folder) and PYTHON: $PYTHON, else the active environment's, else the checkout's .venv, else python.
TOOLS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
if [ -z "${PYTHON:-}" ]; then
    if [ -z "${VIRTUAL_ENV:-}${CONDA_PREFIX:-}" ] && [ -x "$TOOLS/../.venv/bin/python" ]; then
        PYTHON="$TOOLS/../.venv/bin/python"
    else
        PYTHON=python
    fi
fi

# launch N SCRIPT [arguments]: run SCRIPT in N processes a machine.
launch() {
    local n=$1
    shift
    local nnodes=${NNODES:-1}
    local where=(--nnodes="$nnodes" --node-rank="${NODE_RANK:-0}"
        --master-addr="${MASTER_ADDR:-127.0.0.1}" --master-port="${PORT:-29500}")
    if [ "$nnodes" = 1 ] && [ -z "${PORT:-}" ]; then
        where=(--standalone)
    fi
    exec "$PYTHON" -m torch.distributed.run "${where[@]}" --nproc-per-node="$n" "$@"
}
