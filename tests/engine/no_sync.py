# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Finds, on any device, what would make the host wait for a GPU."""

import torch
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten

# Operations whose result, or whose result's size, the host needs.
WAITS = {
    aten._local_scalar_dense,  # .item(), float(), bool(), tolist() of one
    aten.is_nonzero,
    aten.nonzero,
    aten.masked_select,
    aten.equal,
    aten.allclose,
    aten._unique2,
    aten.unique_dim,
    aten.repeat_interleave,
}
INDEXING = {aten.index, aten.index_put, aten.index_put_, aten._index_put_impl_}


class Waits(TorchDispatchMode):
    """Notes every operation that would wait, in forward and backward."""

    def __init__(self):
        super().__init__()
        self.found = []
        self.seen = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        packet = func.overloadpacket
        self.seen.add(str(packet))
        if packet in WAITS:
            self.found.append(str(packet))
        # A tensor from Python numbers, an index from a list among them: on its way to a GPU it is
        # waited for. One that shares numpy's memory (which cannot be resized) is not: its copy is
        # asked for, and can be asked for without waiting.
        if packet is aten.lift_fresh and args[0].untyped_storage().resizable():
            self.found.append('from Python numbers')
        if packet in INDEXING and any(
            index is not None and index.dtype == torch.bool for index in args[1]
        ):
            self.found.append('index by bool')
        return func(*args, **(kwargs or {}))
