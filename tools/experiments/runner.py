# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Run the steps of an experiment: each once for what goes into it, side by side, resumable.

A step is a command with declared inputs and outputs. It is up to date when its command, its text
(the loaded config of a training, for instance) and the content of its input files are those of its
last run, and its outputs exist. File times, the number of cores and the number of workers do not
count. A stamp beside a step's first output records its last run, so experiments that share data
share the steps that make them.
"""

import argparse
import glob
import hashlib
import itertools
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from wsp_mm.utils.files import dump_json, file_sha256

TAIL = 20  # lines of a failed step's log that are shown


class StepFailed(RuntimeError):
    """A step that cannot run or ended with an error; the message names it and its log."""


@dataclass(frozen=True)
class Step:
    """One command of an experiment. Paths are relative to the current folder.

    Attributes:
        name: unique within an experiment.
        command: a Python script and its arguments.
        inputs: files that it reads, or patterns or folders of them. It waits for every earlier step
            with an output that is or holds one of them.
        outputs: files or folders that it writes.
        text: whatever else decides about the result.
        uncounted: further arguments, which do not change the result (the number of workers).
        resumes: the command continues what an unfinished run of the same step left in the folder of
            its first output. A folder that another run left there is put aside.
        alone: the command uses all cores by itself.
        seconds: expected duration, for the time that is left. After the first run, its own counts.
    """

    name: str
    command: Sequence[object]
    inputs: Sequence[Path] = ()
    outputs: Sequence[Path] = ()
    text: str = ''
    uncounted: Sequence[object] = ()
    resumes: bool = False
    alone: bool = False
    seconds: float = 10.0

    def needs(self, other: 'Step') -> bool:
        """Whether this step reads what another one writes."""
        return any(path.is_relative_to(out) for path in self.inputs for out in other.outputs)

    @property
    def stamp(self) -> Path:
        """File that records the last run."""
        return self.outputs[0].with_name(f'.{self.name}.step')


@dataclass
class _Run:
    """A step that is running."""

    step: Step
    process: subprocess.Popen
    start: float


class Runner:
    """Runs steps and knows how long each took.

    Args:
        folder: for the logs, and for the hashes of files, which are read again when they change.
        jobs: most steps at a time; default: one a core. A second core makes a small training
            faster by a third, a second training uses all of it.

    Attributes:
        seconds: name of every step that is done -> how long its last run took.
    """

    def __init__(self, folder: str | Path, jobs: int | None = None) -> None:
        self.folder, self.seconds = Path(folder), {}
        self.cores = len(os.sched_getaffinity(0))
        self.jobs = min(jobs or self.cores, self.cores)
        self._steps: Sequence[Step] = ()
        self._waiting: list[Step] = []
        self._running: list[_Run] = []
        self._hashes: dict[str, list] = _read(self.folder / 'hashes.json')
        self._pace = [0.0, 0.0]  # expected and measured seconds of the steps that ran

    def run(
        self, steps: Sequence[Step], after: Callable[[Step], object] = lambda step: None
    ) -> None:
        """Bring all steps up to date.

        Args:
            steps: in an order in which they could run one by one. Those that are ready begin in
                this order.
            after: called with each step that is done, whether it ran or was up to date.

        Raises:
            StepFailed: a step failed; those that ran beside it are ended.
        """
        self._steps, self._waiting, reasons = steps, list(steps), {}
        before = {s.name: {o.name for o in steps[:i] if s.needs(o)} for i, s in enumerate(steps)}
        handlers = {s: signal.signal(s, _interrupt) for s in (signal.SIGTERM, signal.SIGHUP)}
        try:
            while self._waiting or self._running:
                for run in [run for run in self._running if run.process.poll() is not None]:
                    self._running.remove(run)
                    self._finish(run)
                    after(run.step)
                ready = [s for s in self._waiting if before[s.name] <= self.seconds.keys()]
                for step in ready:
                    if step.name not in reasons:
                        reasons[step.name] = self.reason(step)
                current = [step for step in ready if not reasons[step.name]]
                for step in current:
                    self._waiting.remove(step)
                    self.seconds[step.name] = _read(step.stamp)['seconds']
                    self._say(f'{step.name} is up to date')
                    after(step)
                if not current:  # else others may be ready now
                    self._fill(ready, reasons)
                    self._show()
                    time.sleep(0.1)
        finally:
            _end([run.process for run in self._running])
            self._running.clear()
            if sys.stdout.isatty():
                print()
            for number, handler in handlers.items():
                signal.signal(number, handler)

    def _fill(self, ready: Sequence[Step], reasons: dict[str, str]) -> None:
        """Start steps in order while there is room; none overtakes one that needs all cores."""
        share = self.cores // max(1, min(len(ready) + len(self._running), self.jobs))
        for step in ready:
            alone = step.alone or any(run.step.alone for run in self._running)
            if self._running and (alone or len(self._running) >= self.jobs):
                break
            self._waiting.remove(step)
            self._running.append(self._start(step, self.cores if step.alone else share))
            self._say(f'{step.name} ({reasons[step.name]})')

    def reason(self, step: Step) -> str:
        """Why a step has to run; empty if it is up to date.

        Raises:
            StepFailed: an input is missing.
        """
        last, key = _read(step.stamp), self._key(step)
        if not last:
            return 'first run'
        changed = [n for n in {**key, **last['key']} if key.get(n) != last['key'].get(n)]
        if changed:
            more = ', ...' if len(changed) > 3 else ''
            return f'changed: {", ".join(changed[:3])}{more}'
        if last['seconds'] is None:
            return 'was not finished'
        return next((f'{path} is missing' for path in step.outputs if not path.exists()), '')

    def up_to_date(self, steps: Sequence[Step]) -> bool:
        """Whether every one of these steps is done as it stands; nothing is run."""
        try:
            current = not any(self.reason(step) for step in steps)
        except StepFailed:
            return False
        if current:
            self.seconds |= {step.name: _read(step.stamp)['seconds'] for step in steps}
        return current

    def _key(self, step: Step) -> dict[str, str]:
        """What the result of a step depends on: name -> text or hash."""
        key = {'command': ' '.join(map(str, step.command))}
        key['config'] = hashlib.sha256(step.text.encode()).hexdigest()
        for path in step.inputs:
            found = glob.glob(str(path), recursive=True)
            found += [file for folder in found for file in glob.glob(f'{folder}/*')]
            files = sorted(file for file in found if os.path.isfile(file))
            if not files:
                raise StepFailed(f'{step.name} needs {path}, which does not exist')
            key |= {file: self._hash(file) for file in files}
        return key

    def _hash(self, file: str) -> str:
        """Hash of a file's content, read only if its size or time has changed."""
        name, stat = os.path.abspath(file), os.stat(file)
        state = [stat.st_size, stat.st_mtime_ns]
        if self._hashes.get(name, [])[:2] != state:
            self._hashes[name] = [*state, file_sha256(file)]
            dump_json(self.folder / 'hashes.json', self._hashes, indent=None)
        return self._hashes[name][2]

    def _start(self, step: Step, threads: int) -> _Run:
        key, last = self._key(step), _read(step.stamp)
        folder = step.outputs[0].parent
        if step.resumes and folder.exists() and last.get('key') != key:
            _put_aside(folder)
        for path in step.outputs:
            path.parent.mkdir(parents=True, exist_ok=True)
        dump_json(step.stamp, dict(key=key, seconds=None, expected=self._expected(step)))
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._log(step).open('w') as log:
            process = subprocess.Popen(
                [sys.executable, *map(str, (*step.command, *step.uncounted))],
                env={**os.environ, 'OMP_NUM_THREADS': str(threads)},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # so that its own children can be ended with it
            )
        return _Run(step, process, time.monotonic())

    def _finish(self, run: _Run) -> None:
        step, log = run.step, self._log(run.step)
        if run.process.returncode:
            tail = '\n'.join(log.read_text(errors='replace').splitlines()[-TAIL:])
            raise StepFailed(
                f'{tail}\n{step.name} failed with status {run.process.returncode}, see {log}'
            )
        missing = [str(path) for path in step.outputs if not path.exists()]
        if missing:
            raise StepFailed(f'{step.name} did not write {", ".join(missing)}, see {log}')
        seconds = round(time.monotonic() - run.start, 1)
        self._pace[0] += self._expected(step)
        self._pace[1] += seconds
        self.seconds[step.name] = seconds
        dump_json(step.stamp, {**_read(step.stamp), 'seconds': seconds, 'expected': seconds})

    def _log(self, step: Step) -> Path:
        return self.folder / f'{step.name}.log'

    def _expected(self, step: Step) -> float:
        return _read(step.stamp).get('expected', step.seconds)

    def _status(self) -> str:
        """'step k of n' and the time left, by the steps' expected durations and the pace so far."""
        now = time.monotonic()
        left = [(step, self._expected(step)) for step in self._waiting]
        left += [(r.step, max(0.0, self._expected(r.step) + r.start - now)) for r in self._running]
        seconds = sum(seconds / (1 if step.alone else self.jobs) for step, seconds in left)
        pace = self._pace[1] / self._pace[0] if self._pace[0] else 1.0
        number = len(self._steps) - len(self._waiting)
        return f'step {number} of {len(self._steps)}, {math.ceil(seconds * pace / 60)} min left'

    def _say(self, text: str) -> None:
        """A line for each step, except on a terminal, which has :meth:`_show`."""
        if not sys.stdout.isatty():
            print(f'[{self._status()}] {text}', flush=True)

    def _show(self) -> None:
        """Keep the one line of a terminal up to date."""
        if sys.stdout.isatty():
            names = ', '.join(run.step.name for run in self._running)
            print(f'\r\033[K[{self._status()}] {names}', end='', flush=True)


def run_experiment(action: Callable[[argparse.Namespace], object], args: argparse.Namespace) -> int:
    """Call a tool's action in the root of the checkout and return the exit status.

    A failed step or Ctrl-C ends it with a message.
    """
    os.chdir(Path(__file__).resolve().parents[2])
    try:
        action(args)
    except StepFailed as error:
        print(f'{error}\nStopped. The same command goes on from here.', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print('\nStopped. The same command goes on from here.', file=sys.stderr)
        return 130
    return 0


def _read(path: Path) -> dict:
    return json.loads(path.read_text()) if path.is_file() else {}


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _end(processes: Sequence[subprocess.Popen], patience: float = 10.0) -> None:
    """End processes and their children."""
    for process in processes:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
    for process in processes:
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _put_aside(folder: Path) -> None:
    """Rename the folder of another training, or remove it if it holds no checkpoint."""
    if not any(folder.glob('*.pth')):
        shutil.rmtree(folder)
        return
    names = (folder.with_name(f'{folder.name}.old-{number}') for number in itertools.count(1))
    place = next(name for name in names if not name.exists())
    folder.rename(place)
    print(f'{folder} holds checkpoints of another training: kept in {place}', flush=True)
