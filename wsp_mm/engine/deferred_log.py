# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Losses go to the log without the training step waiting for them.

MMEngine turns every logged value into a number in the iteration that made it, and for that the host
waits until the device has finished the iteration: four or five times an iteration, for a line every
50. Here values stay where they are until somebody reads them, and then all that are waiting come in
one copy.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import torch
from mmengine.hooks import RuntimeInfoHook
from mmengine.logging import HistoryBuffer, MessageHub
from mmpose.registry import HOOKS
from torch import Tensor

# Values that wait at most, so that a run that nobody reads the log of does not pile them up.
MOST_WAITING = 10_000


class DeferredBuffer(HistoryBuffer):
    """A history whose latest values may still be on their way.

    Whoever reads it (the log line, a scheduler, a checkpoint) finds the numbers that an ordinary
    one would hold: reading fetches what waits, in this and in all buffers that share the queue.
    Copied or pickled it becomes an ordinary one, so checkpoints hold MMEngine's own classes alone.

    Args:
        queue: what waits, shared by the buffers of a message hub.
        buffer: the history so far.
    """

    def __init__(self, queue: DeferredQueue, buffer: HistoryBuffer | None = None) -> None:
        values, counts = buffer.data if buffer is not None else ([], [])
        super().__init__(max_length=buffer.max_length if buffer is not None else 1_000_000)
        self._queue = queue
        self._log_history, self._count_history = np.array(values), np.array(counts)

    @property
    def _log_history(self) -> np.ndarray:
        self._queue.fetch()
        return self._values

    @_log_history.setter
    def _log_history(self, values: np.ndarray) -> None:
        self._values = values

    @property
    def _count_history(self) -> np.ndarray:
        self._queue.fetch()
        return self._counts

    @_count_history.setter
    def _count_history(self, counts: np.ndarray) -> None:
        self._counts = counts

    def defer(self, value: Tensor) -> None:
        """Note a value that is one number, wherever it lies, with a count of 1."""
        self._queue.put(self, value)

    def extend(self, values: list[int | float]) -> None:
        """Append numbers: what ``update`` would do with one after the other."""
        ones = np.ones(len(values), dtype=int)
        if len(self._values):
            values, ones = np.append(self._values, values), np.append(self._counts, ones)
        # numpy's empty array is of floats; integers stay integers as in a buffer that starts with
        # one
        self._values, self._counts = np.array(values)[-self.max_length :], ones[-self.max_length :]

    def __reduce__(self):
        values, counts = self.data
        return HistoryBuffer, (values.copy(), counts.copy(), self.max_length)


class DeferredQueue:
    """Values of several buffers in the order in which they came."""

    def __init__(self) -> None:
        self._waiting: list[tuple[DeferredBuffer, Tensor]] = []

    def put(self, buffer: DeferredBuffer, value: Tensor) -> None:
        self._waiting.append((buffer, value.detach().reshape(())))
        if len(self._waiting) >= MOST_WAITING:
            self.fetch()

    def fetch(self) -> None:
        """Turn all that wait into numbers: one copy from the device for each type of number."""
        waiting, self._waiting = self._waiting, []
        by_kind = defaultdict(list)
        for index, (_, value) in enumerate(waiting):
            by_kind[value.device, value.dtype].append(index)
        numbers: list = [None] * len(waiting)
        for indices in by_kind.values():
            fetched = torch.stack([waiting[index][1] for index in indices]).tolist()
            for index, number in zip(indices, fetched, strict=True):
                numbers[index] = number
        by_buffer = defaultdict(list)
        for (buffer, _), number in zip(waiting, numbers, strict=True):
            by_buffer[buffer].append(number)
        for buffer, values in by_buffer.items():
            buffer.extend(values)


def defer_scalar(hub: MessageHub, queue: DeferredQueue, key: str, value: Tensor) -> None:
    """``hub.update_scalar(key, value)`` that does not wait for the value."""
    buffer = hub.log_scalars.get(key)
    if not isinstance(buffer, DeferredBuffer):
        if buffer is None:
            hub.update_scalar(
                key, 0.0
            )  # notes that the key goes into checkpoints; the number is not kept
        buffer = hub.log_scalars[key] = DeferredBuffer(queue, buffer)
    buffer.defer(value)


@HOOKS.register_module()
class DeferredRuntimeInfoHook(RuntimeInfoHook):
    """MMEngine's hook of the same name, ``default_hooks.runtime_info``, without a wait in every
    iteration.

    The log, the checkpoints and the json files hold exactly what they would with MMEngine's.
    """

    def __init__(self) -> None:
        super().__init__()
        self.queue = DeferredQueue()

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Note the model's outputs."""
        for key, value in (outputs or {}).items():
            if isinstance(value, Tensor) and value.numel() == 1:
                defer_scalar(runner.message_hub, self.queue, f'train/{key}', value)
            else:
                runner.message_hub.update_scalar(f'train/{key}', value)
