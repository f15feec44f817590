# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Time and memory of the 3D expectation, against softmax over the volume and three sums.

A pass is forward and backward from given logits, the loss an L1 of the coordinates. Time: the ways
in turn in one process, and beside them the copy of the logits to new memory, which is what reading
them once and writing their gradient once costs. Memory: the most that a process holds beyond what
it held with the logits made, one fresh process a way; the gradient is part of it. Kept: what
autograd holds from forward to backward beside the logits.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable

from harness import Table, finish, make_parser, measure, reset_peak, status_bytes

STRAIGHT, OWN, COPY = 'softmax, three sums', 'own', 'copy of the logits'
MIB = 2**20


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = make_parser(__doc__)
    parser.add_argument('--batch', type=int, default=32)
    parser.add_argument('--joints', type=int, default=18)
    parser.add_argument(
        '--size', type=int, nargs=3, default=(64, 64, 64), metavar=('W', 'H', 'D'), help='cells'
    )
    parser.add_argument(
        '--dtype',
        choices=['float32', 'bfloat16', 'float16'],
        default='float32',
        help='of the logits',
    )
    parser.add_argument('--channels-last', action='store_true', help='memory layout of the logits')
    parser.add_argument('--device', default='cpu', help='cpu or cuda')
    parser.add_argument('--measure-memory-of', choices=[STRAIGHT, OWN], help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def make_case(args: argparse.Namespace):
    """Logits (B, K * D, H, W) and the ways: functions that do one pass and return the gradient."""
    import torch

    from wsp_mm.models.heads.soft_argmax import soft_argmax

    generator = torch.Generator().manual_seed(0)
    w, h, d = args.size
    logits = torch.empty((args.batch, args.joints * d, h, w), dtype=getattr(torch, args.dtype))
    if args.channels_last:
        logits = logits.to(memory_format=torch.channels_last)
    for (
        sample
    ) in logits:  # sample by sample: a float32 copy of everything would hide the peaks to come
        sample.copy_(3 * torch.randn(sample.shape, generator=generator))
    logits = logits.to(args.device).requires_grad_()
    target = torch.rand((args.batch, args.joints, 3), generator=generator).to(args.device) * min(
        args.size
    )

    def one_pass(plain: bool):
        logits.grad = None
        (soft_argmax(logits, args.joints, plain=plain) - target).abs().mean().backward()
        return logits.grad

    ways = {
        STRAIGHT: lambda: one_pass(True),
        OWN: lambda: one_pass(False),
        COPY: lambda: logits.detach().clone(),
    }
    return logits, ways


def measure_memory(args: argparse.Namespace) -> int:
    """Peak of one pass beyond the logits, bytes; call it in a fresh process."""
    import torch

    logits, ways = make_case(args)
    small = argparse.Namespace(**{**vars(args), 'batch': 1, 'joints': 1, 'size': (4, 4, 4)})
    make_case(small)[1][
        args.measure_memory_of
    ]()  # what PyTorch sets up once is not the pass's memory
    if logits.is_cuda:
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        ways[args.measure_memory_of]()
        return torch.cuda.max_memory_allocated() - before
    before = reset_peak()
    ways[args.measure_memory_of]()
    return status_bytes('VmHWM') - before


def kept_bytes(logits, way: Callable[[], object]) -> int:
    """What autograd keeps for backward beside the logits themselves."""
    import torch

    storages: dict[int, int] = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        way()
    storages.pop(logits.untyped_storage().data_ptr(), None)
    return sum(storages.values())


def gradients_differ_by(args: argparse.Namespace, **changes) -> float:
    """Largest difference between both ways' gradients, relative to the largest gradient."""
    _, ways = make_case(argparse.Namespace(**{**vars(args), **changes}))
    own, straight = ways[OWN]().double(), ways[STRAIGHT]().double()
    return ((own - straight).abs().max() / straight.abs().max()).item()


def notes(args: argparse.Namespace, logits) -> list[str]:
    """What bounds the path, and which version of it ran."""
    from wsp_mm.models.heads.soft_argmax import _in_memory_order, _kernels_for

    element = logits.element_size()
    straight = element + 40 + (element if element < 4 else 0)
    version = (
        'the Triton kernels' if _kernels_for(_in_memory_order(logits, args.joints)[0]) else 'pieces'
    )
    differences = [
        f'{gradients_differ_by(args, batch=1, dtype=dtype):.1e} in {dtype}'
        for dtype in (args.dtype, 'float64')
    ]
    return [
        f'"{OWN}" ran as {version}.',
        f'Bytes a cell, counting every tensor once per operation: {OWN} {3 * element} (logits read forward and '
        f'backward, gradient written), {STRAIGHT} {straight} at least (softmax read and written, read by each '
        f"sum; three gradients added up, softmax's backward). Exponentials a cell: {OWN} 2, {STRAIGHT} 1. "
        f'{logits.numel() / 1e6:.0f} million cells: {OWN} moves {3 * element * logits.numel() / 1e9:.2f} GB.',
        f'"{COPY}" reads and writes {2 * element} bytes a cell, to fresh memory as a gradient is: the floor '
        'under every way.',
        f'Gradients of both ways (one sample) differ by {" and ".join(differences)}, relative to the largest.',
    ]


def tables(args: argparse.Namespace) -> list[Table]:
    import torch

    size, layout = (
        ' x '.join(map(str, args.size)),
        'channels-last' if args.channels_last else 'contiguous',
    )
    title = (
        f'Expectation, forward and backward: B {args.batch}, {args.joints} joints, {size} cells, {args.dtype}, '
        f'{layout}, {args.device}'
    )
    if torch.device(args.device).type == 'cuda' and not torch.cuda.is_available():
        return [Table(title, 'ms', notes=['Not measured: no GPU is visible.'])]

    memory = {}
    for way in (STRAIGHT, OWN):
        command = [sys.executable, __file__, *sys.argv[1:], '--measure-memory-of', way]
        answer = subprocess.run(command, check=True, stdout=subprocess.PIPE)
        memory[way] = int(answer.stdout)
    logits, ways = make_case(args)
    kept = {way: kept_bytes(logits, ways[way]) for way in memory}
    seconds = measure(ways, args.repeats, torch.cuda.synchronize if logits.is_cuda else None)
    logits.grad = None
    return [
        Table(
            title,
            'ms',
            STRAIGHT,
            {way: [1e3 * s for s in values] for way, values in seconds.items()},
            notes(args, logits),
        ),
        Table(
            'Its extra peak memory', 'MiB', STRAIGHT, {way: [n / MIB] for way, n in memory.items()}
        ),
        Table(
            'Kept from forward to backward',
            'MiB',
            STRAIGHT,
            {way: [n / MIB] for way, n in kept.items()},
        ),
    ]


def main() -> None:
    args = parse_args()
    if args.measure_memory_of:
        print(measure_memory(args))
    else:
        finish(tables(args), args)


if __name__ == '__main__':
    main()
