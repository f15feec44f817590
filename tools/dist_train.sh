#!/usr/bin/env bash
# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
# Train with several processes: tools/dist_train.sh CONFIG N [options of tools/train.py]
#
# N processes on this machine, one for each GPU (NCCL); without a GPU they share the CPU (gloo).
# Several machines: NNODES, NODE_RANK, MASTER_ADDR, PORT. On one machine a free port is chosen unless PORT is set.
. "$(dirname "$0")/launch.sh"
need 2 $#
run_dist "$2" train.py "$1" "${@:3}"
