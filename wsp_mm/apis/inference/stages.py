# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Stages of a stream that work at the same time, each in a thread of its own.

A stage is an iterator over what the stage before it yields. In a thread it makes its next item
while the last one is being worked on behind it, and begins no further one before that was taken: a
stage holds one item, whatever the length of the stream. Torch, OpenCV and the codecs give up
Python's lock while they compute, so one process is enough. Items come out in order, and an error
comes out in place of the item that it prevented.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

#: What a closing stream waits for a stage that is busy or stuck (a camera that says nothing), s.
PATIENCE = 20.0

_ITEM, _ERROR, _END = range(3)


class Ahead(Iterator):
    """An iterator whose next item is made in a thread while the last one is in use.

    Args:
        items: what to run; from now on the thread's alone. Closed there, where it has ``close``.
        name: of the thread.
        context: entered in the thread for as long as it works (a CUDA stream, say).

    Attributes:
        stalled: s that the thread waited for its item to be taken.
        starved: s that the taker waited for an item.
    """

    def __init__(
        self,
        items: Iterator,
        name: str,
        context: Callable[[], AbstractContextManager] = nullcontext,
    ) -> None:
        self.name, self.stalled, self.starved = name, 0.0, 0.0
        self._items, self._context = items, context
        self._out: queue.SimpleQueue[tuple[int, Any]] = queue.SimpleQueue()
        self._go = threading.Semaphore(1)
        self._halted = self._over = False
        self._thread = threading.Thread(target=self._run, name=f'wsp-{name}', daemon=True)
        self._thread.start()

    def _run(self) -> None:
        end: tuple[int, Any] = (_END, None)
        try:
            with self._context():
                while self._allowed():
                    try:
                        item = next(self._items)
                    except StopIteration:
                        break
                    self._out.put((_ITEM, item))
                    del item  # or it would live on while the next one is made
        except BaseException as error:  # whatever it is, the taker is who must hear of it
            end = (_ERROR, error)
        try:
            close = getattr(self._items, 'close', None)
            if close is not None:
                close()
        except BaseException as error:
            end = end if end[0] == _ERROR else (_ERROR, error)
        self._items = None
        self._out.put(end)

    def _allowed(self) -> bool:
        began = time.perf_counter()
        self._go.acquire()
        self.stalled += time.perf_counter() - began
        return not self._halted

    def __next__(self) -> Any:
        if self._over:
            raise StopIteration
        began = time.perf_counter()
        kind, content = self._out.get()
        self.starved += time.perf_counter() - began
        if kind == _ITEM:
            self._go.release()
            return content
        self._over = True
        if kind == _ERROR:
            raise content
        raise StopIteration

    def halt(self) -> None:
        """Ask for an end: the thread makes no further item, and who waits for one gets the end."""
        self._halted = True
        self._go.release()
        self._out.put((_END, None))

    def join(self, seconds: float) -> bool:
        """Wait for the thread; whether it ended in time. Called in the thread itself it does not
        wait.
        """
        if self._thread is not threading.current_thread():
            self._thread.join(max(seconds, 0.0))
        return not self._thread.is_alive()


class Stages:
    """The stages of one stream; leaving the context ends them all, however it is left.

    ::

        with Stages(overlap=True) as stages:
            read = stages.add('reading', pictures())
            for answer in stages.add('network', (look(picture) for picture in read)):
                ...

    Args:
        overlap: run every stage in a thread. Without, ``add`` gives back what it is given: the same
            calls, one after the other, in the caller's thread.
        waiting: name of a stage -> s that it waited, for its input and for its item to be taken;
            filled in when the context is left. The taker of the last stage is called ``taker``.
    """

    def __init__(
        self, overlap: bool, waiting: Counter[str] | None = None, taker: str = 'taker'
    ) -> None:
        self.overlap, self.taker = overlap, taker
        self.waiting: Counter[str] = Counter() if waiting is None else waiting
        self._running: list[Ahead] = []

    def add(
        self,
        name: str,
        items: Iterator,
        context: Callable[[], AbstractContextManager] = nullcontext,
    ) -> Iterator:
        """Another stage behind the others; see :class:`Ahead`."""
        if not self.overlap:
            return items
        self._running.append(Ahead(items, name, context))
        return self._running[-1]

    def __enter__(self) -> Stages:
        return self

    def __exit__(self, *error: object) -> None:
        for (
            stage
        ) in self._running:  # all of them before any is waited for: they wait for each other
            stage.halt()
        until = time.monotonic() + PATIENCE
        for stage in self._running:
            stage.join(until - time.monotonic())
        names = [stage.name for stage in self._running[1:]] + [self.taker]
        for stage, taker in zip(self._running, names, strict=False):
            self.waiting[stage.name] += stage.stalled
            self.waiting[taker] += stage.starved
