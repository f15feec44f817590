#!/usr/bin/env bash
# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
# Train under Slurm: tools/slurm_train.sh PARTITION JOB_NAME CONFIG WORK_DIR [options of tools/train.py]
#
# GPUS (8), GPUS_PER_NODE (8), CPUS_PER_TASK (5), MASTER_PORT and SRUN_ARGS are read from the environment.
# Python: $PYTHON, else the active environment's, else this checkout's .venv.
set -euo pipefail
if [ $# -lt 4 ]; then
    sed -n '3,6s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
PARTITION=$1
JOB_NAME=$2
CONFIG=$3
WORK_DIR=$4
shift 4
GPUS=${GPUS:-8}
GPUS_PER_NODE=${GPUS_PER_NODE:-8}
if [ "$GPUS" -lt "$GPUS_PER_NODE" ]; then
    GPUS_PER_NODE=$GPUS
fi
. "$(dirname "$0")/launch.sh"
# Jobs that share a first node meet on ports of their own, below those that Linux gives away.
export MASTER_PORT="${MASTER_PORT:-$((10000 + (${SLURM_JOB_ID:-0} + $$) % 20000))}"
# SRUN_ARGS is a list of words on purpose.
# shellcheck disable=SC2086
exec srun -p "$PARTITION" --job-name="$JOB_NAME" --gres=gpu:"$GPUS_PER_NODE" --ntasks="$GPUS" \
    --ntasks-per-node="$GPUS_PER_NODE" --cpus-per-task="${CPUS_PER_TASK:-5}" --kill-on-bad-exit=1 ${SRUN_ARGS:-} \
    "$PYTHON" -u "$TOOLS/train.py" "$CONFIG" --work-dir="$WORK_DIR" --launcher=slurm "$@"
