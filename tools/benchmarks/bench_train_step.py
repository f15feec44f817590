# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""The training step (copy to the device, forward, loss, backward, Adam) in the ways that the
configs offer.

float32, in PyTorch's own layout; then bfloat16, channels-last and a compiled step are added one by
one. Samples are made up and lie on the host, so nothing waits for loading. Three tables: samples/s
(all ways in turn), peak memory of a step beyond the weights, and the losses of a number of
iterations from the same weights over the same batches, with float32 from other weights beside them
as a measure of noise.

    python tools/benchmarks/bench_train_step.py --device cuda                # R50, 256 px, B 64
    python tools/benchmarks/bench_train_step.py --device cuda --task h36m

On a processor it is R18 at 64 px by default: it shows that the ways run and learn alike, and no
GPU's speed.
"""

import argparse
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

from harness import Table, finish, make_parser, measure, peak_bytes, set_by_device

REPO = Path(__file__).resolve().parents[2]
CONFIGS = {'pairs': 'configs/wsp_pretrain_r50.py', 'h36m': 'configs/posenet_h36m_r50.py'}
FEATURES = {18: 512, 34: 512, 50: 2048, 101: 2048, 152: 2048}
#: Way of computing -> whether in bfloat16, channels-last, compiled.
WAYS = {
    'float32': (False, False, False),
    'bfloat16': (True, False, False),
    'bfloat16 + channels_last': (True, True, False),
    'bfloat16 + channels_last + compile': (True, True, True),
}


def add_network_arguments(parser: argparse.ArgumentParser, batch: str) -> None:
    """Add the options that say which network is trained, of what size, and where."""
    add = parser.add_argument
    add('--task', choices=list(CONFIGS), default='pairs')
    add('--device', default='cpu')
    add('--depth', type=int, choices=list(FEATURES), help='of the ResNet: 50 on a GPU, else 18')
    add('--side', type=int, help='of the input, px: 256 on a GPU, else 64')
    add('--batch', type=int, help=batch)


def build_parser() -> argparse.ArgumentParser:
    parser = make_parser(__doc__)
    add_network_arguments(parser, '64 on a GPU, else 4')
    parser.add_argument('--steps', type=int, help='timed together as one round')
    parser.add_argument('--iterations', type=int, help='of the loss curve')
    parser.add_argument('--ways', nargs='+', choices=list(WAYS), help='the first is the reference')
    return parser


def make_config(task: str, way: str, depth: int, side: int, deconv: int = 256):
    """Return the task's config with another size of network or image, and a way of computing."""
    from mmengine.config import Config

    cfg = Config.fromfile(REPO / CONFIGS[task])
    cfg.model.backbone.update(depth=depth, init_cfg=None)
    cfg.model.head.update(in_channels=FEATURES[depth], deconv_out_channels=(deconv,) * 3)
    size = (side // 4,) * (2 if task == 'pairs' else 3)
    cfg.model.head.decoder.update(input_size=(side, side), heatmap_size=size)
    cfg.optim_wrapper.enabled, cfg.default_hooks.channels_last.enabled, cfg.compile = WAYS[way]
    return cfg


def make_step(cfg, device: str, seed: int = 0) -> Callable[[dict], dict]:
    """Return a function that trains on one batch (as the loader gives it) and returns what goes to
    the log.
    """
    import torch
    from mmengine.optim import build_optim_wrapper
    from mmengine.registry import init_default_scope
    from mmpose.registry import HOOKS, MODELS

    import wsp_mm.register  # noqa: F401

    init_default_scope('mmpose')
    torch.backends.cudnn.benchmark = True
    torch.manual_seed(seed)
    model = MODELS.build(cfg.model)
    model.init_weights()
    model.to(device).train()
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    hook = HOOKS.build(cfg.default_hooks.channels_last)
    hook.before_run(SimpleNamespace(model=model, optim_wrapper=wrapper))
    train_step = torch.compile(model.train_step) if cfg.compile else model.train_step
    return lambda batch: train_step(batch, wrapper)


def make_batches(task: str, count: int, size: int, side: int) -> list[dict]:
    """Return batches as the loader gives them: 8-bit images of noise and labels, on the host."""
    import torch
    from mmengine.structures import InstanceData
    from mmpose.structures import PoseDataSample

    generator = torch.Generator().manual_seed(0)

    def uniform(*shape: int) -> torch.Tensor:
        return torch.rand(shape, generator=generator)

    def sample() -> PoseDataSample:
        ones = torch.ones(1, 18)
        labels = dict(keypoint_labels=uniform(1, 18, 3) * side / 4, keypoint_weights=ones)
        labels['depth_weights'] = ones.clone()
        if task == 'pairs':
            corners = uniform(1, 2, 2) * side / 2
            labels = dict(
                pair_bboxes_input=torch.cat((corners, corners + side / 2), dim=-1),
                keypoint_labels=(corners[:, :, None] + uniform(1, 2, 16, 2) * side / 2) / 4,
                keypoint_weights=torch.ones(1, 2, 16),
                depth_labels=(uniform(1, 1) > 0.5).float().expand(1, 16).clone(),
                depth_weights=torch.ones(1, 16),
                joint_order=uniform(1, 16),
            )
        one = PoseDataSample(metainfo=dict(input_size=(side, side)))
        one.gt_instance_labels = InstanceData(**labels)
        return one

    return [
        dict(
            inputs=[(uniform(3, side, side) * 256).byte() for _ in range(size)],
            data_samples=[sample() for _ in range(size)],
        )
        for _ in range(count)
    ]


def fresh(batch: dict) -> dict:
    """Return a batch that a step may move to the device, while the original stays on the host."""
    samples = [sample.clone() for sample in batch['data_samples']]
    return dict(inputs=list(batch['inputs']), data_samples=samples)


def losses(step: Callable[[dict], dict], batches: Sequence[dict], iterations: int) -> list[float]:
    """Return the losses of that many iterations over the batches in turn."""
    return [float(step(fresh(batches[i % len(batches)]))['loss']) for i in range(iterations)]


def main() -> None:
    args = build_parser().parse_args()
    ways = list(WAYS), [way for way in WAYS if 'compile' not in way]
    set_by_device(args, depth=(50, 18), side=(256, 64), batch=(64, 4), ways=ways)
    set_by_device(args, steps=(20, 3), iterations=(200, 20))
    logging.disable(logging.INFO)  # MMEngine lists every weight that it sets
    batches = make_batches(args.task, 8, args.batch, args.side)
    sizes = (args.depth, args.side, 256 if args.device.startswith('cuda') else 64)
    steps, curves = {}, {}
    for way in args.ways:
        steps[way] = make_step(make_config(args.task, way, *sizes), args.device)
        curves[way] = losses(steps[way], batches, args.iterations)
    reference = args.ways[0]
    other = make_step(make_config(args.task, reference, *sizes), args.device, seed=1)
    curves[f'{reference}, other weights'] = losses(other, batches, args.iterations)
    del other

    def several(step: Callable[[dict], dict]) -> Callable[[], object]:
        count = (args.repeats + 1) * args.steps  # copied beforehand
        copies = iter([fresh(batches[i % len(batches)]) for i in range(count)])
        return lambda: [step(next(copies)) for _ in range(args.steps)]

    timed = {way: several(step) for way, step in steps.items()}
    seconds = measure(timed, args.repeats, args.device)
    samples = args.steps * args.batch
    size = f'R{args.depth}, {args.side} px, B {args.batch}'
    speed = Table(f'Training step, {args.task}, {size}, {args.device}', 'samples/s', reference)
    speed.rows = {way: [samples / value for value in values] for way, values in seconds.items()}
    memory = Table('Peak memory of a step beyond the weights', 'MiB', reference)
    for way, step in steps.items():
        batch = fresh(batches[0])
        memory.rows[way] = [peak_bytes(lambda: step(batch), args.device) / 2**20]  # noqa: B023
    curve = Table(f'Losses of {args.iterations} iterations', 'loss', reference, curves)
    curve.notes = ['Ratios are taken iteration by iteration.']
    finish([speed, memory, curve], args)


if __name__ == '__main__':
    main()
