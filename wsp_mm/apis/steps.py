# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Chains of commands that can be stopped, resumed and repeated: each step runs once for what it
depends on.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import TypeVar

from wsp_mm.utils.files import write_text_atomic

Result = TypeVar('Result')


class StepFailed(RuntimeError):
    """A command of the chain ended with an error; the message names it and its log."""


class _Ended(StepFailed):
    """A command was ended because another one failed."""


def usable_cores() -> list[int]:
    """Processor cores that this process may run on."""
    if hasattr(os, 'sched_getaffinity'):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


class Steps:
    """Runs commands in order and remembers which are done.

    A step is skipped when its command, the files it reads and the text it depends on are those of
    its last success and everything it wrote is still there.

    Args:
        folder: where stamps and logs are kept.
        root: working directory of the commands.
        echo: called with one line before and after each step.
    """

    def __init__(self, folder: str | Path, root: str | Path = '.', echo=print) -> None:
        self.folder, self.root, self.echo = Path(folder), Path(root), echo
        self.folder.mkdir(parents=True, exist_ok=True)
        self.seconds: dict[str, float] = {}
        self._lane = threading.local()
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen] = set()
        self._stopped = False

    def together(
        self, jobs: Sequence[Callable[[], Result]], cores: Sequence[int] | None = None
    ) -> list[Result]:
        """Run independent jobs side by side, as many at a time as there are cores, and return their
        results.

        A small network gains little from a second core (a third or so here), a second training
        gains all of it. Steps that the jobs run get an equal share of the cores
        (``OMP_NUM_THREADS``), and their lines carry the step's name. Jobs begin in order: long ones
        belong first.

        Args:
            jobs: called without arguments, each in a thread of its own.
            cores: processor cores to share; default: those that this process may use.

        Raises:
            StepFailed: of the first job that fails; commands of the others are ended.
        """
        count = len(usable_cores() if cores is None else cores)
        slots = min(count, len(jobs))
        if slots < 2:
            return [job() for job in jobs]

        def work(job: Callable[[], Result]) -> Result:
            self._lane.threads = max(1, count // slots)
            try:
                return job()
            finally:
                self._lane.threads = None

        with ThreadPoolExecutor(slots) as pool:
            futures = [pool.submit(work, job) for job in jobs]
            try:
                _, pending = wait(futures, return_when=FIRST_EXCEPTION)
                if pending:
                    self._stop(pending)
            except BaseException:
                self._stop(futures)
                raise
        self._stopped = False
        errors = [
            future.exception()
            for future in futures
            if not future.cancelled() and future.exception()
        ]
        # Commands that were ended fail, too; the one that failed by itself says why.
        for error in sorted(errors, key=lambda error: isinstance(error, _Ended)):
            raise error
        return [future.result() for future in futures]

    def _stop(self, futures: Iterable[Future]) -> None:
        """End the commands that run, and begin no other."""
        for future in futures:
            future.cancel()
        with self._lock:
            self._stopped = True
            for process in self._running:
                process.terminate()

    def run(
        self,
        name: str,
        command: Sequence[str | Path],
        reads: Sequence[str | Path] = (),
        writes: Sequence[str | Path] = (),
        depends: str = '',
        env: Mapping[str, str] | None = None,
    ) -> float:
        """Run a Python tool unless it is done.

        Args:
            command: script and arguments; the interpreter in use is put before it.
            reads: files whose change asks for the step again.
            writes: files that must be there afterwards.
            depends: text whose change asks for the step again (the whole config of a training,
                say).
            env: variables added to the environment.

        Returns:
            Seconds the step took when it last ran.

        Raises:
            StepFailed: the command failed or left out a file it should have written.
        """
        command = [sys.executable, *map(str, command)]
        stamp = self.folder / f'{name}.stamp.json'
        key = self._key(command, reads, depends)
        done = json.loads(stamp.read_text()) if stamp.is_file() else {}
        if done.get('key') == key and all((self.root / path).exists() for path in writes):
            self.echo(f'[{name}] up to date')
            self.seconds[name] = done['seconds']
            return done['seconds']
        stamp.unlink(missing_ok=True)
        self.echo(f'[{name}] {" ".join(command[1:])}')
        start = time.monotonic()
        self._call(name, command, env)
        missing = [str(path) for path in writes if not (self.root / path).exists()]
        if missing:
            raise StepFailed(f'{name} ended well but did not write {", ".join(missing)}')
        seconds = round(time.monotonic() - start, 1)
        # The key is taken again: a file both read and written belongs to the finished state.
        write_text_atomic(
            stamp, json.dumps({'key': self._key(command, reads, depends), 'seconds': seconds})
        )
        self.echo(f'[{name}] done in {seconds:.0f} s')
        self.seconds[name] = seconds
        return seconds

    def fresh_or_same(
        self, work_dir: str | Path, identity: Sequence[str], reads: Sequence[str | Path]
    ) -> None:
        """Give a training with another identity or other data an empty work dir, and mark it with
        this one.

        Going on from the checkpoints of another training would train nothing. A work dir of the
        same training stays, to be resumed. One that holds checkpoints of another is kept under
        another name: they may have cost days.

        Args:
            identity: config and options. reads: files, of which size and date count.
        """
        stats = [(self.root / file).stat() for file in reads]
        files = [
            f'{file}:{stat.st_size}:{stat.st_mtime_ns}'
            for file, stat in zip(reads, stats, strict=True)
        ]
        key = hashlib.sha256('\n'.join([*identity, *files]).encode()).hexdigest()
        work_dir = self.root / work_dir
        marker = work_dir / 'training.sha256'
        if work_dir.exists() and not (marker.is_file() and marker.read_text() == key):
            self._put_aside(work_dir)
        work_dir.mkdir(parents=True, exist_ok=True)
        marker.write_text(key)

    def _put_aside(self, work_dir: Path) -> None:
        if not any(work_dir.glob('*.pth')):
            shutil.rmtree(work_dir)
            return
        places = (
            work_dir.with_name(f'{work_dir.name}.old-{number}') for number in itertools.count(1)
        )
        place = next(place for place in places if not place.exists())
        work_dir.rename(place)
        print(
            f'{work_dir}: its checkpoints are of another config, other options or other data, or not of this '
            f'chain; they are kept in {place.name}, and the training begins anew',
            flush=True,
        )

    def _call(self, name: str, command: Sequence[str], env: Mapping[str, str] | None) -> None:
        log = self.folder / f'{name}.log'
        threads = getattr(self._lane, 'threads', None)
        share = {} if threads is None else {'OMP_NUM_THREADS': str(threads)}
        lane = '' if threads is None else f'[{name}] '
        with log.open('w') as file:
            process = self._start(name, command, {**os.environ, **share, **(env or {})})
            try:
                for line in process.stdout:
                    file.write(line)
                    sys.stdout.write(lane + line)
                    sys.stdout.flush()
            except BaseException:
                process.terminate()
                raise
            finally:
                process.wait()
                with self._lock:
                    self._running.discard(process)
        if process.returncode != 0:
            error = _Ended if self._stopped else StepFailed
            raise error(f'{name} failed with status {process.returncode}; its output is in {log}')

    def _start(self, name: str, command: Sequence[str], env: Mapping[str, str]) -> subprocess.Popen:
        with self._lock:
            if self._stopped:
                raise _Ended(f'{name} was not begun: another step failed')
            process = subprocess.Popen(
                command,
                cwd=self.root,
                env=env,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors='replace',
            )
            self._running.add(process)
        return process

    def _key(self, command: Sequence[str], reads: Sequence[str | Path], depends: str) -> str:
        digest = hashlib.sha256(json.dumps([list(command[1:]), depends]).encode())
        for path in reads:
            path = self.root / path
            if not path.is_file():
                raise StepFailed(f'{path} is missing')
            stat = path.stat()
            digest.update(f'{path.name}:{stat.st_size}:{stat.st_mtime_ns};'.encode())
        return digest.hexdigest()
