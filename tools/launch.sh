# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
# Sourced by dist_train.sh, dist_test.sh, slurm_train.sh and slurm_test.sh.
# Python is $PYTHON, else the active environment's, else that of the checkout's .venv.
set -euo pipefail
TOOLS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
if [ -z "${PYTHON:-}" ]; then
    PYTHON=python
    if [ -z "${VIRTUAL_ENV:-}${CONDA_PREFIX:-}" ] && [ -x "$TOOLS/../.venv/bin/python" ]; then
        PYTHON="$TOOLS/../.venv/bin/python"
    fi
fi

# need COUNT NUMBER: print the comment at the head of the script and end, unless NUMBER >= COUNT.
need() {
    if [ "$2" -lt "$1" ]; then
        sed -n '3,/^[^#]/s/^# \{0,1\}//p' "$0" >&2
        exit 2
    fi
}

# run_dist N SCRIPT [arguments]: run SCRIPT in N processes a machine.
run_dist() {
    local n=$1 script=$2 nnodes=${NNODES:-1}
    shift 2
    local where=(--nnodes="$nnodes" --node-rank="${NODE_RANK:-0}"
        --master-addr="${MASTER_ADDR:-127.0.0.1}" --master-port="${PORT:-29500}")
    if [ "$nnodes" = 1 ] && [ -z "${PORT:-}" ]; then
        where=(--standalone)
    fi
    exec "$PYTHON" -m torch.distributed.run "${where[@]}" --nproc-per-node="$n" "$TOOLS/$script" "$@" \
        --launcher pytorch
}

# run_slurm PARTITION JOB_NAME SCRIPT [arguments]: run SCRIPT in $GPUS processes, $GPUS_PER_NODE a machine.
run_slurm() {
    local partition=$1 job_name=$2 script=$3 gpus=${GPUS:-8} per_node=${GPUS_PER_NODE:-8}
    shift 3
    if [ "$gpus" -lt "$per_node" ]; then
        per_node=$gpus
    fi
    # Jobs that share a first node meet on ports of their own, below those that Linux gives away.
    export MASTER_PORT="${MASTER_PORT:-$((10000 + (${SLURM_JOB_ID:-0} + $$) % 20000))}"
    # SRUN_ARGS is a list of words on purpose.
    # shellcheck disable=SC2086
    exec srun -p "$partition" --job-name="$job_name" --gres=gpu:"$per_node" --ntasks="$gpus" \
        --ntasks-per-node="$per_node" --cpus-per-task="${CPUS_PER_TASK:-5}" --kill-on-bad-exit=1 ${SRUN_ARGS:-} \
        "$PYTHON" -u "$TOOLS/$script" "$@" --launcher=slurm
}
