#!/usr/bin/env bash
# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
# Train under Slurm: tools/slurm_train.sh PARTITION JOB_NAME CONFIG WORK_DIR [options of tools/train.py]
#
# GPUS (8), GPUS_PER_NODE (8), CPUS_PER_TASK (5), MASTER_PORT and SRUN_ARGS are read from the environment.
. "$(dirname "$0")/launch.sh"
need 4 $#
run_slurm "$1" "$2" train.py "$3" --work-dir="$4" "${@:5}"
