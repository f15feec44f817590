# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Make ``.venv`` with everything that wsp_mm needs; ``make setup`` calls it through
``setup_env.sh``.

Standard library only. Repeating it costs a second: a stamp in ``.venv`` remembers a hash of the
requirements. A set-up that failed half-way can simply be started again; pip keeps what it has
compiled.

Environment: ``MAX_JOBS`` (compiler processes for mmcv), ``MMCV_CUDA=1`` (build mmcv's CUDA
operators, which none of our models needs; wants nvcc of torch's CUDA version), ``SKIP_WARM_UP=1``
(leave the embedded world's caches cold).
"""

import argparse
import ctypes
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / '.venv'
STAMP = VENV / '.wsp_setup'
LOG = ROOT / '.setup' / 'setup.log'
REQUIREMENTS = ('build', 'runtime', 'openmmlab', 'mmpose', 'synthetic', 'fast', 'tests', 'dev')
DISK_GB = 12
PROOF = 'import cv2, mmcv.ops, xtcocotools.mask, mmpose.models'
WARM_UP = """
from wsp_mm.synthetic.scene import SceneRequest, generate_scene
generate_scene(SceneRequest(scene_id=0, source='coco', split='train', file_name='warm_up.jpg', width=96,
height=96,
                            num_persons=2, seed=0))
"""


def say(message: str) -> None:
    print(f'set-up: {message}', flush=True)


# ---------------------------------------------------------------------------------------------- what must be
# there
def python_problems() -> list[tuple[str, str, str]]:
    """What this Python lacks: rows of (what, apt packages, dnf packages)."""
    minor = f'python{sys.version_info[0]}.{sys.version_info[1]}'
    problems = []
    if not (Path(sysconfig.get_paths()['include']) / 'Python.h').is_file():
        problems.append((f'headers of {minor}', f'{minor}-dev', f'{minor}-devel'))
    if any(importlib.util.find_spec(name) is None for name in ('venv', 'ensurepip')):
        problems.append((f'venv of {minor}', f'{minor}-venv', minor))
    return problems


def compiler() -> str | None:
    """The C++ compiler that a build would use: ``$CXX``, g++, c++ or clang++; None when none
    runs.
    """
    for name in (os.environ.get('CXX'), 'g++', 'c++', 'clang++'):
        if name and shutil.which(name.split()[0]):
            with tempfile.TemporaryDirectory() as folder:
                source = Path(folder) / 'probe.cpp'
                source.write_text(
                    '#include <vector>\nint main() { return std::vector<int>(1)[0]; }\n'
                )
                done = subprocess.run(
                    [*name.split(), '-c', str(source), '-o', f'{source}.o'], capture_output=True
                )
            if done.returncode == 0:
                return name
    return None


def has_library(name: str) -> bool:
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


def system_problems() -> list[tuple[str, str, str]]:
    """What the machine lacks: rows of (what, apt packages, dnf packages)."""
    problems = []
    if compiler() is None:
        problems.append(('a C++ compiler', 'g++', 'gcc-c++'))
    if not has_library('libGL.so.1'):
        problems.append(('libGL', 'libgl1', 'mesa-libGL'))
    if not (has_library('libglib-2.0.so.0') and has_library('libgthread-2.0.so.0')):
        problems.append(('libglib', 'libglib2.0-0', 'glib2'))
    return problems


def explain(problems: Iterable[tuple[str, str, str]]) -> str:
    """One line: what is missing, and what installs it."""
    what, apt, dnf = zip(*problems, strict=True)
    return (
        f'missing: {", ".join(what)}. Install with: sudo apt-get install {" ".join(apt)}'
        f'   (Debian, Ubuntu)   or: sudo dnf install {" ".join(dnf)}   (Fedora, RHEL)'
    )


def disk_problem(folder: Path, needed_gb: float) -> str | None:
    """A message when the disk of ``folder`` has too little room."""
    free_gb = shutil.disk_usage(folder).free / 1e9
    if free_gb >= needed_gb:
        return None
    return f'{folder} has {free_gb:.1f} GB free, about {needed_gb:g} GB are needed: clone elsewhere'


def check_system() -> None:
    """Stop with one line a problem when something is missing that pip cannot install."""
    problems = python_problems() + system_problems()
    lines = [explain(problems)] if problems else []
    lines += [line for line in [disk_problem(ROOT, DISK_GB if not VENV.exists() else 2)] if line]
    for line in lines:
        say(line)
    if lines:
        sys.exit(1)


# ------------------------------------------------------------------------------------------------------ how it
# runs
def fingerprint() -> str:
    """Changes with the requirements, the package's metadata, this script and the place of the
    checkout.
    """
    digest = hashlib.sha256(str(ROOT).encode())
    files = [ROOT / 'requirements' / f'{name}.txt' for name in (*REQUIREMENTS, 'constraints')] + [
        ROOT / 'setup.py',
        Path(__file__),
    ]
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()


def is_ready() -> bool:
    if not STAMP.is_file() or STAMP.read_text().strip() != fingerprint():
        return False
    return (
        subprocess.run([python(), '-c', 'import wsp_mm'], capture_output=True, cwd='/').returncode
        == 0
    )


def python() -> str:
    return str(VENV / 'bin' / 'python')


class Progress:
    """One living line on a terminal, a line every half minute elsewhere; it beats while a step is
    silent.
    """

    def __init__(self, what: str) -> None:
        self.what, self.start, self.detail = what, time.monotonic(), ''
        self.tty = sys.stdout.isatty()
        self.over = threading.Event()
        self.beat = threading.Thread(target=self._beat, daemon=True)
        self.beat.start()

    def _beat(self) -> None:
        while not self.over.wait(1 if self.tty else 30):
            if self.tty:
                print(f'\r\033[Kset-up: {self.text()[:100]}', end='', flush=True)
            else:
                say(self.text())

    def text(self) -> str:
        """What the screen shows: the step, what it is at, and the time since its start."""
        seconds = int(time.monotonic() - self.start)
        return f'{self.what} {self.detail} ({seconds // 60}:{seconds % 60:02d})'

    def feed(self, line: str) -> None:
        """Take one line of pip's output: ninja's counter, or what pip is doing."""
        if counter := re.match(r'\s*\[(\d+)/(\d+)\]', line):
            self.detail = f'[{counter.group(1)}/{counter.group(2)} files compiled]'
        elif found := re.match(
            r'\s*(Collecting|Downloading|Building|Installing|Preparing)\b.{0,60}', line
        ):
            self.detail = ' '.join(found.group(0).split())

    def done(self, result: str = 'done') -> None:
        """End the line."""
        self.over.set()
        self.beat.join()
        if self.tty:
            print('\r\033[K', end='')
        self.detail = result
        say(self.text())


def run(what: str, command: list[str], **extra_env: str) -> None:
    """Run a step with its output in the log and its progress on the screen; stop everything when it
    fails.
    """
    progress = Progress(what)
    env = {**os.environ, 'PIP_DISABLE_PIP_VERSION_CHECK': '1', 'PYTHONUNBUFFERED': '1', **extra_env}
    # The user's own site and path must not leak into the environment that is being built.
    for name in ('PYTHONPATH', 'PYTHONHOME', 'PIP_USER', 'PIP_TARGET', 'PIP_PREFIX'):
        env.pop(name, None)
    tail: list[str] = []
    with LOG.open('a', encoding='utf-8') as log:
        log.write(f'\n$ {" ".join(command)}\n')
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors='replace',
            env=env,
            cwd=ROOT,
        )
        for line in process.stdout:
            log.write(line)
            log.flush()
            tail = [*tail[-24:], line]
            progress.feed(line)
        code = process.wait()
    progress.done('FAILED' if code else 'done')
    if code:
        print(f'\n{"".join(tail)}')
        say(
            f'{what} failed (exit {code}); the whole log is {LOG}. Mend what it says and start again.'
        )
        sys.exit(1)


def pip(what: str, *arguments: str, **extra_env: str) -> None:
    run(what, [python(), '-m', 'pip', 'install', *arguments], **extra_env)


def requirement_args(*names: str) -> list[str]:
    files = [word for name in names for word in ('-r', str(ROOT / 'requirements' / f'{name}.txt'))]
    return [*files, '-c', str(ROOT / 'requirements' / 'constraints.txt')]


def compiler_jobs() -> int:
    """Compiler processes: one a core, and 2 GB of memory for each."""
    try:
        memory_gb = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30
    except (ValueError, OSError):
        memory_gb = 4.0
    return max(1, min(len(os.sched_getaffinity(0)), int(memory_gb // 2)))


def imports(statement: str) -> bool:
    done = subprocess.run([python(), '-c', statement], capture_output=True, text=True, cwd='/')
    with LOG.open('a', encoding='utf-8') as log:
        log.write(f'\n$ python -c "{statement}"\n{done.stderr}')
    return done.returncode == 0


def install() -> None:
    """All steps, each of which does nothing when it was done before."""
    LOG.parent.mkdir(exist_ok=True)
    LOG.unlink(missing_ok=True)
    STAMP.unlink(missing_ok=True)
    if (
        not (VENV / 'bin' / 'python').exists()
        or subprocess.run([python(), '-m', 'pip', '--version'], capture_output=True).returncode
    ):
        run('virtual environment', [sys.executable, '-m', 'venv', '--clear', str(VENV)])
    pip('torch and build tools', *requirement_args('build'))
    pip('libraries', *requirement_args('runtime', 'fast', 'synthetic', 'tests', 'dev'))

    jobs = os.environ.get('MAX_JOBS') or str(compiler_jobs())
    say(
        f'mmcv and xtcocotools are compiled now unless pip has them cached: about 20 core-minutes, {jobs} jobs'
    )
    # With a GPU in sight mmcv would compile CUDA operators, for which most machines have no
    # compiler.
    cuda = os.environ.get('MMCV_CUDA') == '1'
    env = {
        'MAX_JOBS': jobs,
        **({'FORCE_CUDA': '1'} if cuda else {'CUDA_VISIBLE_DEVICES': '-1', 'FORCE_CUDA': '0'}),
    }
    openmmlab = ['-v', '--no-build-isolation', *requirement_args('openmmlab')]
    pip('mmengine, mmcv, mmdet, xtcocotools', *openmmlab, **env)
    if cuda or not imports('import mmcv.ops, xtcocotools.mask'):
        # pip's cache held one that was built for another torch or numpy, or without operators.
        pins = (ROOT / 'requirements' / 'openmmlab.txt').read_text().splitlines()
        again = [pin for pin in pins if pin.startswith(('onedl-mmcv', 'xtcocotools'))]
        again = [
            '-v',
            '--no-build-isolation',
            '--no-deps',
            '--force-reinstall',
            '--no-cache-dir',
            *again,
        ]
        pip('mmcv and xtcocotools, compiled here', *again, '--no-binary', 'xtcocotools', **env)
    pip('mmpose', '--no-deps', *requirement_args('mmpose'))
    pip('wsp_mm (editable)', '--no-deps', '--no-build-isolation', '-e', str(ROOT))
    run('imports of cv2, mmcv.ops, xtcocotools, mmpose.models', [python(), '-c', PROOF])
    if (
        os.environ.get('SKIP_WARM_UP') != '1'
        and (ROOT / 'wsp_mm' / 'synthetic' / 'scene.py').is_file()
    ):
        run("the embedded world's caches (bodies, ray-casting kernels)", [python(), '-c', WARM_UP])
    STAMP.write_text(fingerprint() + '\n')


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        '--force', action='store_true', help='go through all steps even when the stamp is right'
    )
    parser.add_argument('--check', action='store_true', help='only check the machine')
    parser.add_argument(
        '--check-python',
        action='store_true',
        help='only check this Python; exit 1 when it lacks parts',
    )
    args = parser.parse_args()
    if args.check_python:
        sys.exit(bool(python_problems()))
    if not args.check and not args.force and is_ready():
        return
    check_system()
    if args.check:
        say('this machine has what is needed')
        return
    start = time.monotonic()
    say(f'making {VENV} with {sys.executable} (Python {sys.version.split()[0]}); log: {LOG}')
    install()
    say(f'ready in {(time.monotonic() - start) / 60:.1f} minutes')


if __name__ == '__main__':
    main()
