# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Time and memory of the integral head's expectation, against softmax over the volume and three sums.

Each measured pass is forward and backward from given logits, the loss an L1 of the coordinates. Time: both
ways in turn in one process, so that a busy machine slows both. Memory: the most that a process holds beyond
what it held with the logits made, one fresh process a way (the gradient of the logits is part of it).
"""

import argparse
import ctypes
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

WAYS = ('own', 'plain')


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description='Benchmark the 3D soft-argmax against its plain form.')
    parser.add_argument('--batch', type=int, default=32)
    parser.add_argument('--joints', type=int, default=18)
    parser.add_argument(
        '--size', type=int, nargs=3, default=(64, 64, 64), metavar=('W', 'H', 'D'), help='cells'
    )
    parser.add_argument('--dtype', choices=['float32', 'bfloat16'], default='float32', help='of the logits')
    parser.add_argument('--channels-last', action='store_true', help='memory layout of the logits')
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--repeats', type=int, default=7, help='timed passes of each way, after one to warm up')
    parser.add_argument('--json', help='write the figures to this file, too')
    parser.add_argument('--measure-memory-of', choices=WAYS, help=argparse.SUPPRESS)
    return parser


def make_case(args: argparse.Namespace):
    """Logits (B, K * D, H, W) and a function that does one pass of a way and returns the gradient."""
    import torch

    from wsp_mm.models.heads.soft_argmax import soft_argmax

    generator = torch.Generator().manual_seed(0)
    w, h, d = args.size
    logits = torch.empty((args.batch, args.joints * d, h, w), dtype=getattr(torch, args.dtype))
    if args.channels_last:
        logits = logits.to(memory_format=torch.channels_last)
    for sample in logits:  # sample by sample: a float32 copy of everything would hide the peaks to come
        sample.copy_(3 * torch.randn(sample.shape, generator=generator))
    logits = logits.to(args.device).requires_grad_()
    target = torch.rand((args.batch, args.joints, 3), generator=generator).to(args.device) * min(args.size)

    def one_pass(way: str):
        logits.grad = None
        loss = (soft_argmax(logits, args.joints, plain=way == 'plain') - target).abs().mean()
        loss.backward()
        if logits.device.type == 'cuda':
            torch.cuda.synchronize()
        return logits.grad

    return logits, one_pass


def measure_memory(args: argparse.Namespace) -> int:
    """Peak of one pass beyond the logits, bytes; call it in a fresh process."""
    import torch

    logits, one_pass = make_case(args)
    small = argparse.Namespace(**{**vars(args), 'batch': 1, 'joints': 1, 'size': (4, 4, 4)})
    make_case(small)[1](args.measure_memory_of)  # what PyTorch sets up once is not the pass's memory
    if logits.device.type == 'cuda':
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        one_pass(args.measure_memory_of)
        return torch.cuda.max_memory_allocated() - before
    trim = getattr(ctypes.CDLL(None), 'malloc_trim', None)
    if trim is not None:  # glibc keeps what was freed: the pass would take from there unseen
        trim(0)
    before = _status_bytes('VmRSS')
    Path('/proc/self/clear_refs').write_text('5')  # the peak starts anew from here
    one_pass(args.measure_memory_of)
    return _status_bytes('VmHWM') - before


def _status_bytes(key: str) -> int:
    for line in Path('/proc/self/status').read_text().splitlines():
        if line.startswith(f'{key}:'):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f'/proc/self/status has no {key}: memory is measured on Linux only')


def benchmark(args: argparse.Namespace) -> dict:
    """All figures: seconds and bytes of both ways and their ratios (own / plain)."""
    import torch

    from wsp_mm.utils.machine import machine

    command = [sys.executable, __file__, *sys.argv[1:]]
    memory = {}
    for way in WAYS:
        answer = subprocess.run([*command, '--measure-memory-of', way], check=True, stdout=subprocess.PIPE)
        memory[way] = int(answer.stdout)

    _, one_pass = make_case(args)
    difference = (one_pass('own').float() - one_pass('plain').float()).abs().max().item()
    seconds = {way: [] for way in WAYS}
    for _ in range(args.repeats):
        for way in WAYS:
            start = time.perf_counter()
            one_pass(way)
            seconds[way].append(time.perf_counter() - start)
    ratios = [own / plain for own, plain in zip(seconds['own'], seconds['plain'], strict=True)]
    return dict(
        machine=f'{machine()}, {torch.get_num_threads()} thread(s)',
        case=dict(
            batch=args.batch,
            joints=args.joints,
            size=list(args.size),
            dtype=args.dtype,
            channels_last=args.channels_last,
            device=args.device,
            repeats=args.repeats,
        ),
        seconds=seconds,
        extra_peak_bytes=memory,
        time_ratio=statistics.median(ratios),
        time_ratio_range=[min(ratios), max(ratios)],
        memory_ratio=memory['own'] / memory['plain'],
        largest_gradient_difference=difference,
    )


def main() -> None:
    args = build_parser().parse_args()
    if args.measure_memory_of:
        print(measure_memory(args))
        return
    result = benchmark(args)
    print(result['machine'])
    print('case: ' + ', '.join(f'{key} {value}' for key, value in result['case'].items()))
    for way in WAYS:
        times = result['seconds'][way]
        print(
            f'{way:>6}: {statistics.median(times):7.3f} s (median; {min(times):.3f} to {max(times):.3f}), '
            f'extra peak memory {result["extra_peak_bytes"][way] / 2**20:8.1f} MiB'
        )
    low, high = result['time_ratio_range']
    print(
        f'own / plain: time {result["time_ratio"]:.3f} (median; {low:.3f} to {high:.3f}), '
        f'memory {result["memory_ratio"]:.3f}'
    )
    if args.json:
        Path(args.json).write_text(json.dumps(result, indent=2) + '\n')


if __name__ == '__main__':
    main()
