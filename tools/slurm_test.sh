#!/usr/bin/env bash
# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
# Evaluate under Slurm: tools/slurm_test.sh PARTITION JOB_NAME CONFIG CHECKPOINT [options of tools/test.py]
#
# GPUS (8), GPUS_PER_NODE (8), CPUS_PER_TASK (5), MASTER_PORT and SRUN_ARGS are read from the environment.
. "$(dirname "$0")/launch.sh"
need 4 $#
run_slurm "$1" "$2" test.py "$3" "$4" "${@:5}"
