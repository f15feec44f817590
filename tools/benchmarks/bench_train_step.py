# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""The training step (copy to the device, forward, loss, backward, Adam) in the ways that the
configs offer.

float32 is what `--cfg-options optim_wrapper.enabled=False` gives, PyTorch's own defaults; then bfloat16,
channels-last and the compiled backbone are added one by one. Samples are made up and lie on the
host, so nothing waits for loading. Three tables: samples/s (all ways in turn), peak memory of a
step beyond the weights, and the losses of a number of iterations from the same weights over the
same batches, with float32 from other weights beside them as a measure of noise.

    python tools/benchmarks/bench_train_step.py --device cuda                # R50, 256 px, B 64
    python tools/benchmarks/bench_train_step.py --device cuda --task h36m

On a processor it is R18 at 64 px by default: it shows that the ways run and learn alike, and no
GPU's speed.
"""

import argparse

from harness import Table, finish, make_parser, measure, reset_peak, status_bytes
from train_steps import CONFIGS, FEATURES, WAYS, config, fresh, losses, make_batches, make_step

REFERENCE = 'float32'


def build_parser() -> argparse.ArgumentParser:
    parser = make_parser(__doc__)
    parser.add_argument('--task', choices=list(CONFIGS), default='pairs')
    parser.add_argument('--device', default='cpu')
    parser.add_argument(
        '--depth', type=int, choices=list(FEATURES), help='of the ResNet: 50 on a GPU, else 18'
    )
    parser.add_argument('--side', type=int, help='of the input, px: 256 on a GPU, else 64')
    parser.add_argument('--batch', type=int, help='64 on a GPU, else 4')
    parser.add_argument(
        '--steps', type=int, help='timed together as one round: 20 on a GPU, else 3'
    )
    parser.add_argument('--iterations', type=int, help='of the loss curve: 200 on a GPU, else 20')
    parser.add_argument(
        '--ways', nargs='+', choices=list(WAYS), help='all on a GPU, else all but compile'
    )
    return parser


def complete(args: argparse.Namespace) -> argparse.Namespace:
    """Sizes that were not given, by device."""
    on_gpu = args.device.startswith('cuda')
    sizes = dict(depth=(50, 18), side=(256, 64), batch=(64, 4), steps=(20, 3), iterations=(200, 20))
    for name, (gpu, processor) in sizes.items():
        if getattr(args, name) is None:
            setattr(args, name, gpu if on_gpu else processor)
    args.ways = args.ways or [way for way in WAYS if on_gpu or 'compile' not in way]
    if REFERENCE not in args.ways:
        args.ways.insert(0, REFERENCE)
    return args


def peak_bytes(step, batch: dict, device: str) -> int:
    """Most that a step holds beyond what was there (weights, moments)."""
    import torch

    step(fresh(batch))
    if device.startswith('cuda'):
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        step(fresh(batch))
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before
    before = reset_peak()
    step(fresh(batch))
    return status_bytes('VmHWM') - before


def notes(args: argparse.Namespace) -> list[str]:
    import torch

    tf32 = 'allowed' if torch.backends.cudnn.allow_tf32 else 'not allowed'
    size = f'R{args.depth}, {args.side} x {args.side}, B {args.batch}'
    lines = [
        f'{size}. TF32 in convolutions, of float32 on GPUs that have it: {tf32} (PyTorch decides).'
    ]
    if not args.device.startswith('cuda'):
        lines.append(
            'No figure of a GPU. GPU: not measured. Command: bench_train_step.py --device cuda '
            '(and with --task h36m)'
        )
    return lines


def main() -> None:
    args = complete(build_parser().parse_args())
    import torch

    on_gpu = args.device.startswith('cuda')
    batches = make_batches(args.task, 8, args.batch, args.side, pinned=on_gpu)
    deconv = 256 if args.depth >= 50 or on_gpu else 64
    steps, curves = {}, {}
    for way in args.ways:
        steps[way] = make_step(config(args.task, way, args.depth, args.side, deconv), args.device)
        curves[way] = losses(steps[way], batches, args.iterations)
    other = make_step(
        config(args.task, REFERENCE, args.depth, args.side, deconv), args.device, seed=1
    )
    curves[f'{REFERENCE}, other weights'] = losses(other, batches, args.iterations)
    del other

    def several(step):
        rounds = (
            args.repeats + 1
        ) * args.steps  # copied beforehand: a step takes its batch to the device
        copies = iter([fresh(batches[i % len(batches)]) for i in range(rounds)])
        return lambda: [step(next(copies)) for _ in range(args.steps)]

    ways = {way: several(step) for way, step in steps.items()}
    seconds = measure(ways, args.repeats, torch.cuda.synchronize if on_gpu else None)
    samples = args.steps * args.batch
    speed = Table(
        f'Training step, {args.task}, {args.device}', 'samples/s', REFERENCE, notes=notes(args)
    )
    speed.rows = {way: [samples / value for value in values] for way, values in seconds.items()}
    memory = Table('Peak memory of a step beyond the weights', 'MiB', REFERENCE)
    memory.rows = {
        way: [peak_bytes(step, batches[0], args.device) / 2**20] for way, step in steps.items()
    }
    curve = Table(f'Losses of {args.iterations} iterations', 'loss', REFERENCE, curves)
    curve.notes = ['Ratios are taken iteration by iteration.', *_curve_lines(curves)]
    finish([speed, memory, curve], args)


def _curve_lines(curves: dict[str, list[float]], points: int = 9) -> list[str]:
    """The curves at some iterations, as a table."""
    total = len(next(iter(curves.values())))
    shown = sorted({round(i * (total - 1) / (points - 1)) for i in range(points)})
    head = ['iteration', *(str(i + 1) for i in shown)]
    rows = [[way, *(f'{values[i]:.4g}' for i in shown)] for way, values in curves.items()]
    return ['', *(f'| {" | ".join(cells)} |' for cells in (head, ['---'] * len(head), *rows))]


if __name__ == '__main__':
    main()
