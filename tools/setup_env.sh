#!/usr/bin/env bash
# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
# Make .venv with everything that wsp_mm needs. Repeating it costs a second; a set-up that failed
# half-way can be started again.
#
#   PYTHON=...          the interpreter, instead of the first of python3.11, 3.12, 3.10
#   MAX_JOBS=...        compiler processes for mmcv; default: one a core
#   MMCV_CUDA=1         build mmcv's CUDA operators, which none of our models needs
#   SKIP_WARM_UP=1      do not fill the cache of the embedded world's bodies
set -euo pipefail
cd "$(dirname "$0")/.."

say() { echo "set-up: $*"; }
fail() { echo "set-up: $*" >&2; exit 1; }
# A child must not see the user's own packages, and stays quiet about pip's age.
unset PYTHONPATH PYTHONHOME PIP_USER PIP_TARGET PIP_PREFIX
export PIP_DISABLE_PIP_VERSION_CHECK=1

# --- the machine ----------------------------------------------------------------------------------
usable() { "$1" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null; }
complete() {  # headers and venv are packages of their own on Debian and Fedora
    "$1" -c 'import ensurepip, os, sysconfig, venv
os.stat(os.path.join(sysconfig.get_paths()["include"], "Python.h"))' 2>/dev/null
}
python=
for candidate in ${PYTHON:-python3.11 python3.12 python3.10 python3 python}; do
    usable "$candidate" || continue
    python=${python:-$candidate}
    if complete "$candidate"; then python=$candidate; break; fi
done
[ -n "$python" ] || fail "${PYTHON:+PYTHON=$PYTHON: }no working Python 3.10, 3.11 or 3.12. Install one:" \
    "sudo apt-get install python3.11 python3.11-dev python3.11-venv | sudo dnf install python3.11 python3.11-devel"

packages=(setup.py tools/setup_env.sh requirements/*.txt)
stamp=$(cat "${packages[@]}" <(pwd) | sha256sum | cut -d' ' -f1)
if [ "$(cat .venv/.wsp_setup 2>/dev/null)" = "$stamp" ] && .venv/bin/python -c 'import wsp_mm' 2>/dev/null; then
    exit 0
fi

apt=() dnf=()
need() { apt+=("$1"); dnf+=("$2"); }
name=$("$python" -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
complete "$python" || need "$name-dev $name-venv" "$name-devel"
loads() { "$python" -c "import ctypes; ctypes.CDLL('$1')" 2>/dev/null; }
echo 'int main() { return 0; }' | ${CXX:-c++} -x c++ -o /dev/null - 2>/dev/null || need g++ gcc-c++
loads libGL.so.1 || need libgl1 mesa-libGL
loads libgthread-2.0.so.0 || need libglib2.0-0 glib2
[ ${#apt[@]} = 0 ] || fail "missing. Install with: sudo apt-get install ${apt[*]} (Debian, Ubuntu)" \
    "| sudo dnf install ${dnf[*]} (Fedora, RHEL)"
free=$(df -Pk . | awk 'NR == 2 { print int($4 / 1e6) }')
[ -d .venv ] || [ "$free" -ge 12 ] || fail "$PWD has $free GB free, 12 GB are needed: clone elsewhere"

# --- the steps ------------------------------------------------------------------------------------
mkdir -p .setup
log=$PWD/.setup/setup.log
: >"$log"
rm -f .venv/.wsp_setup
watch_compiler() {  # a sign of life every half minute
    while sleep 30; do say "... $((SECONDS / 60)) min $(grep -o '\[[0-9]*/[0-9]*\] c++' "$log" | tail -n 1)"; done
}
step() {  # step WHAT COMMAND...: output goes to the log; a failure shows its end
    local what=$1 code=0 start=$SECONDS
    shift
    say "$what"
    echo "\$ $*" >>"$log"
    watch_compiler & local watcher=$!
    "$@" >>"$log" 2>&1 || code=$?
    kill $watcher 2>/dev/null; wait $watcher 2>/dev/null || true
    [ $code = 0 ] || { tail -n 25 "$log" >&2; fail "$what failed; the whole log is $log"; }
    say "$what: done in $((SECONDS - start)) s"
}
pip() { .venv/bin/python -m pip install -c requirements/constraints.txt "$@"; }
files() { printf -- '-r requirements/%s.txt ' "$@"; }
# mmcv is most of the set-up. Python's own flags compile it with debug symbols, which take two
# thirds of the time. With a GPU in sight it would compile CUDA operators as well.
openmmlab() {
    if [ "${MMCV_CUDA:-0}" = 1 ]; then export FORCE_CUDA=1; else export FORCE_CUDA=0 CUDA_VISIBLE_DEVICES=-1; fi
    CFLAGS='-g0 -O2' MAX_JOBS=${MAX_JOBS:-$(nproc)} pip -v --no-build-isolation "$@" $(files openmmlab)
}
proof() { .venv/bin/python -c 'import cv2, mmcv.ops, xtcocotools.mask, mmpose.models'; }

say "making .venv with $python ($("$python" -V)); log: $log"
.venv/bin/python -m pip --version >/dev/null 2>&1 || step 'virtual environment' "$python" -m venv --clear .venv
step 'torch and build tools' pip $(files build)
step 'libraries' pip $(files runtime fast synthetic timm onnx tests dev)
step 'mmengine, mmcv (compiled, unless pip has it in its cache), mmdet, xtcocotools' openmmlab
step 'mmpose' pip --no-deps $(files mmpose)
step 'wsp_mm' pip --no-deps --no-build-isolation -e .
# pip's cache may hold an mmcv or xtcocotools that was built for another torch or numpy.
proof >>"$log" 2>&1 || step 'mmcv and xtcocotools again' openmmlab --no-deps --force-reinstall --no-cache-dir
step 'imports of cv2, mmcv.ops, xtcocotools, mmpose.models' proof
[ "${SKIP_WARM_UP:-0}" = 1 ] || step "the bodies' cache" .venv/bin/python -c 'import anny; anny.Anny()'
echo "$stamp" >.venv/.wsp_setup
say "ready in $((SECONDS / 60)) min $((SECONDS % 60)) s"
