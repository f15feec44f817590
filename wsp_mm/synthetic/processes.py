# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Work shared among processes of one thread each, so that bytes do not depend on how many there
are.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_EXCEPTION, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import TypeVar

from tqdm import tqdm

from wsp_mm.synthetic.layouts.files import WorldError

_THREADS = ('OMP_NUM_THREADS', 'MKL_NUM_THREADS', 'OPENBLAS_NUM_THREADS')

Request = TypeVar('Request')
Result = TypeVar('Result')


def in_processes(
    task: Callable[[Request], Result], requests: list[Request], workers: int, unit: str
) -> list[Result]:
    """Do ``task`` for every request in ``workers`` processes of one thread each; 0 means in this
    one.

    Returns:
        what the task returned, in the order of the requests.

    Raises:
        WorldError: a process died. Whatever the task raises; what has not begun by then is given
            up.
    """
    with progress(len(requests), unit) as bar:
        if not workers:
            results = []
            for request in requests:
                results.append(task(request))
                bar.update(1)
            return results
        if not requests:
            return []
        with _single_threaded():
            pool = ProcessPoolExecutor(
                max_workers=min(workers, len(requests)),
                mp_context=multiprocessing.get_context('spawn'),
                # An interrupt is for this process, which then lets the others finish their picture.
                initializer=signal.signal,
                initargs=(signal.SIGINT, signal.SIG_IGN),
            )
            try:
                futures = [pool.submit(task, request) for request in requests]
                for future in futures:
                    future.add_done_callback(lambda _: bar.update(1))
                wait(futures, return_when=FIRST_EXCEPTION)
                for future in futures:
                    if future.done() and future.exception():
                        raise future.exception()
                return [future.result() for future in futures]
            except BrokenProcessPool as error:
                raise WorldError(
                    'a worker process died, mostly for want of memory. Finished pictures are kept: run the '
                    'same command again, with fewer --workers'
                ) from error
            finally:
                pool.shutdown(cancel_futures=True)


@contextmanager
def _single_threaded() -> Iterator[None]:
    """Processes started within have one thread each."""
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, '1'))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def progress(total: int, unit: str) -> tqdm:
    """A progress bar; where the output is no terminal, a line now and then."""
    if sys.stderr.isatty():
        return tqdm(total=total, unit=f' {unit}')
    line = '{n_fmt} of {total_fmt}{unit}, {rate_fmt}, {elapsed} gone, {remaining} to go\n'
    return tqdm(total=total, unit=f' {unit}', mininterval=15, bar_format=line)
