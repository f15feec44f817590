# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Commands of README and docs: read from the text, changed by rules, run in one working copy."""

from __future__ import annotations

import multiprocessing
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
#: In the order in which they are run: later pages use what earlier ones made.
PAGES = ['README.md'] + [
    f'docs/{name}.md'
    for name in (
        'install', 'data_mcpc', 'data_3d', 'train', 'paper', 'evaluate', 'inference', 'results',
        'performance', 'extend',
    )
]  # fmt: skip
LOG = 'command.log'
#: Imported once, by the process that all commands are forks of.
PRELOAD = ['docs_fixture', 'mmpose.apis', 'mmengine.runner', 'mmdet.registry', 'wsp_mm.register']


@dataclass(frozen=True)
class Rule:
    """What is done with the commands that ``pattern`` matches at their start.

    Attributes:
        skip: why they are not run.
        replace: (regular expression, text) pairs, applied in turn.
        options: ``KEY=VALUE`` texts that follow ``--cfg-options``.
        before: what is run first, bash or Python as the command is.
        needs: files, from the top of the checkout, without which they are not run.
    """

    pattern: str
    skip: str = ''
    replace: Sequence[tuple[str, str]] = ()
    options: Sequence[str] = ()
    before: str = ''
    needs: Sequence[str] = ()

    def changed(self, command: str) -> str:
        """The command that is run."""
        for old, new in self.replace:
            command = re.sub(old, new, command)
        if self.options:
            head, _, tail = command.partition(' --cfg-options')
            added = ' '.join(shlex.quote(option) for option in self.options)
            command = f'{head} --cfg-options {added}{tail}'  # what the page says comes last
        return command


@dataclass(frozen=True)
class Command:
    """One command line, or one block of Python, of a page."""

    page: str
    text: str
    python: bool = False


def blocks(page: str) -> Iterator[tuple[str, str]]:
    """Language and text of the fenced blocks of a page; of inline code the language is 'inline'."""
    text = (REPO / page).read_text()
    for match in re.finditer(r'^```(\w*)\n(.*?)^```|`([^`\n]+)`', text, flags=re.S | re.M):
        language, block, inline = match.groups()
        yield ('inline', inline) if inline else (language, block)


def commands(page: str) -> Iterator[Command]:
    """All commands of a page in order: of the blocks ``bash`` and ``python``, and in the text."""
    for language, block in blocks(page):
        if language == 'python':
            yield Command(page, block, python=True)
        elif language == 'bash':
            for line in block.replace('\\\n', ' ').splitlines():
                line = re.sub(r'(^|\s)#.*', '', line).strip()
                if line:
                    yield Command(page, re.sub(r' +', ' ', line))
        elif language == 'inline' and re.match(r'(python|make|tools/\w+\.sh) ', block):
            yield Command(page, block)


def working_copy(folder: Path) -> Path:
    """A checkout to run in. Tools write where they lie, so these are copies; others are links."""
    for path in REPO.iterdir():
        if path.name in ('configs', 'demo', 'tools'):
            shutil.copytree(path, folder / path.name)
        elif not path.name.startswith('.') and path.name not in ('data', 'work_dirs', 'outputs'):
            (folder / path.name).symlink_to(path)
    return folder


def execute(folder: str, script: str, words: Sequence[str], environment: dict[str, str]) -> None:
    """Run a script, or a text of Python without ``words``, in this process and ``folder``."""
    os.chdir(folder)
    with open(LOG, 'w') as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:0] = environment.get('PYTHONPATH', '').split(os.pathsep)
    if words:
        sys.argv = list(words)
        sys.path.insert(0, str(Path(script).resolve().parent))
        runpy.run_path(script, run_name='__main__')
    else:
        exec(compile(script, '<block>', 'exec'), {'__name__': '__main__'})


class Shell:
    """Runs commands one after the other, each page in a terminal of its own.

    From the second page on the worlds in data/synthetic lie in data/, too, as real data would.

    A tool in Python is a fork of a process that has imported torch and MMPose: that spares each
    the seconds of its imports. Anything else is a command of bash.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.environment = folder, {}
        self.processes = multiprocessing.get_context('forkserver')
        self.processes.set_forkserver_preload(PRELOAD)
        self.new_page()

    def new_page(self) -> None:
        """Forget what was exported."""
        path = [str(Path(sys.executable).parent), os.environ['PATH']]
        found = os.pathsep.join([str(REPO), str(REPO / 'tests')])
        own = dict(PATH=os.pathsep.join(path), PYTHONPATH=found, PYTHON=sys.executable)
        self.environment = {**os.environ, **own}
        self.environment.pop('WSP_DATA', None)
        for path in (self.folder / 'data').glob('synthetic/*'):
            if not (link := self.folder / 'data' / path.name).exists():
                link.symlink_to(path)

    def run(self, command: Command, text: str, timeout: float = 180) -> str:
        """Run ``text``, the command as changed; return what went wrong, or ''."""
        if command.python:
            name = re.match(r'# (\w+\.py)\n', text)
            if name:  # a file that the page asks to save
                (self.folder / name[1]).write_text(text)
                return ''
            return self._fork(text, (), {}, timeout)
        text = re.sub(r'\$([A-Z_]+)', lambda name: self.environment[name[1]], text)
        words = [] if re.search(r'[$`|&;<>]', text) else shlex.split(text)
        given = {}
        while words and re.fullmatch(r'[A-Z_]+=.*', words[0]):
            name, _, given[name] = words.pop(0).partition('=')
        if words[:1] == ['python'] and words[1].endswith('.py'):
            return self._fork(words[1], words[1:], given, timeout)
        return self._bash(text, timeout)

    def _fork(self, script, words, given, timeout) -> str:
        log, environment = self.folder / LOG, {**self.environment, **given}
        arguments = str(self.folder), script, words, environment
        process = self.processes.Process(target=execute, args=arguments)
        process.start()
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            process.join()
            return f'took longer than {timeout} s\n{log.read_text()[-1500:]}'
        return '' if process.exitcode == 0 else log.read_text()[-1500:]

    def _bash(self, text, timeout) -> str:
        state = self.folder / 'environment'
        script = f'set -e\n{text}\nenv -0 > {shlex.quote(str(state))}'
        try:
            done = subprocess.run(
                ['bash', '-c', script], cwd=self.folder, env=self.environment, text=True,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=timeout,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            return f'took longer than {timeout} s\n{str(error.output)[-1500:]}'
        if done.returncode:
            return done.stdout[-1500:]
        pairs = (line.partition('=') for line in state.read_text().split('\0') if line)
        self.environment = {name: value for name, _, value in pairs}
        return ''


def run_pages(folder: Path, pages: Sequence[str], rules: Sequence[Rule]) -> list[str]:
    """Run all commands of the pages; print what was run and what was not; return the failures."""
    shell, done, failures = Shell(working_copy(folder)), set(), []
    for page in pages:
        shell.new_page()
        for command in commands(page):
            rule = next((r for r in rules if re.match(r.pattern, command.text)), None)
            title = f'{page}: {command.text.strip().splitlines()[0][:110]}'
            if rule is None:
                failures.append(f'{title}\nno rule says whether, and how, this is run')
                continue
            missing = [name for name in rule.needs if not (REPO / name).exists()]
            if reason := rule.skip or (f'without {", ".join(missing)}' if missing else ''):
                print(f'not run  {title}\n         {reason}', flush=True)
                continue
            text, start = rule.changed(command.text), time.monotonic()
            if text in done:
                continue
            problem = ''
            if rule.before and command.python:
                text = f'{rule.before}\n{text}'
            elif rule.before:
                problem = shell.run(Command(page, rule.before), rule.before)
            problem = problem or shell.run(command, text)
            if not text.startswith('export '):
                done.add(text)
            print(f'{time.monotonic() - start:5.1f} s  {title}', flush=True)
            if text != command.text:
                print(f'         as: {text}' if not command.python else '         changed')
            if problem:
                print(problem)
                failures.append(f'{title}\nrun as: {text}\n{problem}')
    return failures
