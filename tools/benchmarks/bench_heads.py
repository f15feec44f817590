# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""What the relative-depth branch costs beside a plain heatmap head, and the 3D expectation beside
PyTorch's own softmax.

--head relative_depth: forward, losses and backward, from the backbone's features to their gradient.

- plain: MMPose's HeatmapHead with the same deconvolutions and the same heatmap loss;
- own: RelativeDepthHead;
- two functions: the same, with a convolution and then masked_pooling;
- naive: the same head with Eq. 5 written as it stands, features times mask for every joint and
  person, (B, 2, J, D, h, w), and then the mean over the box.

--head integral: forward and backward from the logits of 64^3 volumes.

- plain: softmax over the volume, three sums;
- own: soft_argmax.

Time: all in turn in one process. Peak memory: what a second pass holds beyond model, inputs and
targets, one fresh process a way. Kept memory: what autograd keeps between forward and backward,
counted tensor by tensor, which is exact and the same on every device.

    python tools/benchmarks/bench_heads.py --device cuda --precision bfloat16 --channels-last
    python tools/benchmarks/bench_heads.py --head integral --device cuda
    python tools/benchmarks/bench_heads.py --batch 64 --repeats 2   # on a processor: minutes
"""

import argparse
import json
import logging
import sys
from contextlib import nullcontext
from types import SimpleNamespace
from unittest import mock

from harness import Table, ask, finish, make_parser, measure, peak_bytes, set_by_device

WAYS = dict(relative_depth=('plain', 'own', 'two functions', 'naive'), integral=('plain', 'own'))


def build_parser() -> argparse.ArgumentParser:
    parser = make_parser(__doc__)
    parser.add_argument('--head', choices=list(WAYS), default='relative_depth')
    parser.add_argument('--ways', nargs='+', help='some of the ways; the first is the reference')
    parser.add_argument('--batch', type=int, help='samples: 64 on a GPU, 8 on a processor')
    parser.add_argument('--map', type=int, default=64, help='side of the heatmaps, px')
    parser.add_argument('--channels', type=int, default=256, help='of the deconvolutions')
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--precision', choices=['float32', 'bfloat16'], default='float32')
    parser.add_argument('--channels-last', action='store_true')
    parser.add_argument('--measure-memory-of', help=argparse.SUPPRESS)
    return parser


def relative_depth_pass(way: str, args: argparse.Namespace):
    """Return a function that does one pass, and the tensors that were there before it."""
    import torch
    from mmpose.models.heads import HeatmapHead

    from wsp_mm.models import relative_depth_head
    from wsp_mm.models.ops.masked_pooling import masked_pooling

    def two_functions(features, layer, inside, joints, *_):
        heatmaps = layer(features)
        return heatmaps, masked_pooling(features, heatmaps.unflatten(1, (1, joints)), inside)

    def naive(features, layer, inside, joints, *_):
        heatmaps = layer(features)
        filtered = features.float()[:, None, None] * heatmaps.float()[:, None, :, None]
        filtered = filtered * inside[:, :, None, None]  # (B, 2, J, D, h, w)
        return heatmaps, filtered.sum((4, 5)) / inside.sum((2, 3))[:, :, None, None]

    side, joints = 4 * args.map, 16
    codec = dict(type='PairHeatmapLabel', input_size=(side, side), heatmap_size=(args.map,) * 2)
    common = dict(in_channels=2048, out_channels=joints, decoder=codec)
    common['deconv_out_channels'] = (args.channels,) * 3
    if way == 'plain':
        head = HeatmapHead(**common, loss=dict(type='HeatmapL2Loss'))
    else:
        head = relative_depth_head.RelativeDepthHead(**common, num_sampled_joints=None)
    head.to(args.device)
    samples = make_pairs(args, head.decoder, joints, shared=way == 'plain')
    feats = torch.randn(args.batch, 2048, args.map // 8, args.map // 8, device=args.device)
    if args.channels_last:
        head.to(memory_format=torch.channels_last)
        feats = feats.to(memory_format=torch.channels_last)
    feats.requires_grad_()
    replaced = {'two functions': two_functions, 'naive': naive}.get(way)
    patch = mock.patch.object(relative_depth_head, 'heatmaps_and_pooling', replaced)

    def one_pass():
        with patch if replaced else nullcontext():
            losses = head.loss((feats,), samples, train_cfg=dict(compute_acc=False))
        return sum(value for name, value in losses.items() if 'loss' in name), feats

    there = [feats, samples[0].gt_fields.heatmaps, *head.parameters(), *head.buffers()]
    return one_pass, there


def make_pairs(args: argparse.Namespace, codec, joints: int, shared: bool) -> list:
    """Return pairs with everything that the losses read, on the device; ``shared``: as
    HeatmapHead reads it.
    """
    import torch
    from mmengine.structures import InstanceData

    corners = torch.rand(args.batch, 2, 2) * 2 * args.map
    places = corners[:, :, None] + torch.rand(args.batch, 2, joints, 2) * 2 * args.map
    labels = InstanceData(
        pair_bboxes_input=torch.cat((corners, corners + 2 * args.map), dim=-1),
        keypoint_labels=places / 4,
        keypoint_weights=torch.ones(args.batch, 2, joints),
        joint_order=torch.rand(args.batch, joints),
        depth_labels=torch.randint(2, (args.batch, joints)).float(),
        depth_weights=torch.ones(args.batch, joints),
    ).to(args.device)
    maps, weights = codec.heatmaps(labels.keypoint_labels, labels.keypoint_weights)
    if shared:
        maps, labels.keypoint_weights = maps.amax(1), weights.amax(1)
    return [
        SimpleNamespace(gt_instance_labels=labels[i], gt_fields=SimpleNamespace(heatmaps=maps[i]))
        for i in range(args.batch)
    ]


def integral_pass(way: str, args: argparse.Namespace):
    """Return a function that does one pass, and the tensors that were there before it."""
    import torch

    from wsp_mm.models.ops.soft_argmax import expectation, softmax_marginals

    joints, size = 18, args.map
    layout = torch.channels_last if args.channels_last else torch.contiguous_format
    dtype = getattr(torch, args.precision)
    logits = torch.randn(args.batch, joints * size, size, size, device=args.device, dtype=dtype)
    logits = logits.contiguous(memory_format=layout).requires_grad_()
    weights = torch.randn(args.batch, joints, 3, device=args.device)

    def one_pass():
        marginals = softmax_marginals(logits, joints, plain=way == 'plain')
        return (expectation(marginals) * weights).sum(), logits

    return one_pass, [logits, weights]


def make_pass(way: str, args: argparse.Namespace):
    """Return a function that does one pass, with backward, and the tensors that were there before
    it. Its argument is a context for the forward pass.
    """
    import torch
    from mmengine.registry import init_default_scope

    import wsp_mm.register  # noqa: F401

    init_default_scope('mmpose')
    torch.manual_seed(0)
    make = dict(relative_depth=relative_depth_pass, integral=integral_pass)[args.head]
    forward, there = make(way, args)
    autocast = torch.autocast(args.device, torch.bfloat16, enabled=args.precision == 'bfloat16')

    def one_pass(context=None):
        with autocast, context or nullcontext():
            total, inputs = forward()
        total.backward()
        inputs.grad = None  # the next pass is to find none: its own belongs to its memory

    return one_pass, there


def kept_bytes(one_pass, there: list) -> int:
    """Return the bytes of all storages that autograd keeps for backward, but for those that were
    there before.
    """
    import torch

    held = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        held[storage.data_ptr()] = storage  # alive, so that no address is used twice
        return tensor

    one_pass(torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor))
    known = {tensor.untyped_storage().data_ptr() for tensor in there}
    return sum(storage.nbytes() for address, storage in held.items() if address not in known)


def measure_memory(args: argparse.Namespace) -> dict[str, int]:
    """Return peak and kept bytes of one pass; to be called in a fresh process."""
    one_pass, there = make_pass(args.measure_memory_of, args)
    one_pass()  # what is set up once, and the weights' gradients, are not the pass's
    return dict(peak=peak_bytes(one_pass, args.device), kept=kept_bytes(one_pass, there))


def main() -> None:
    args = build_parser().parse_args()
    set_by_device(args, batch=(64, 8))
    logging.disable(logging.INFO)  # MMEngine lists every weight that it sets
    if args.measure_memory_of:
        print(json.dumps(measure_memory(args)))
        return
    ways = args.ways or WAYS[args.head]
    # glibc then gives every large block back when it is freed, so that a peak is exact
    exact, options = dict(MALLOC_MMAP_THRESHOLD_=str(2**20)), (*sys.argv[1:], '--measure-memory-of')
    memory = {way: ask(__file__, *options, way, **exact) for way in ways}
    passes = {way: make_pass(way, args)[0] for way in ways}
    seconds = measure(passes, args.repeats, args.device)
    layout = 'channels-last' if args.channels_last else 'contiguous'
    title = f'{args.head}: B {args.batch}, {args.map} px, {args.precision}, {layout}, {args.device}'
    time = Table(title, 'ms', ways[0])
    time.rows = {way: [1e3 * value for value in values] for way, values in seconds.items()}
    tables = [time]
    for key, what in dict(peak='Peak memory of a pass', kept='Kept for backward').items():
        rows = {way: [memory[way][key] / 2**20] for way in ways}
        tables.append(Table(what, 'MiB', ways[0], rows))
    finish(tables, args)


if __name__ == '__main__':
    main()
