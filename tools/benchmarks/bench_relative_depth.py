# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""What the relative-depth branch costs beside a plain heatmap head.

A pass is forward, loss and backward from the backbone's features to their gradient and the
weights'. Three ways:

- plain: MMPose's HeatmapHead with the same deconvolutions and the same heatmap loss (its accuracy,
  which is computed on the host, switched off);
- own: RelativeDepthHead;
- naive: the same head with Eq. 5 written as it stands, features times mask for every joint and
  person, (B, 2, J, D, h, w), and then the mean over the box.

Time: all in turn in one process. Peak memory: what a second pass holds beyond model, features and
targets, one fresh process a way. Kept memory: what autograd keeps between forward and backward,
counted tensor by tensor, which is exact and the same on every device.

    python tools/benchmarks/bench_relative_depth.py --device cuda                      # B 64
    python tools/benchmarks/bench_relative_depth.py --device cuda --precision bfloat16
    python tools/benchmarks/bench_relative_depth.py --batch 64 --repeats 2             # on a processor: minutes
"""

import argparse
import json
import logging
import os
import sys
from contextlib import nullcontext

from harness import Table, finish, make_parser, measure, reset_peak, status_bytes
from processes import ask

WAYS = ('plain', 'own', 'naive')


def build_parser() -> argparse.ArgumentParser:
    parser = make_parser(__doc__)
    parser.add_argument('--batch', type=int, help='pairs; by default 64 on a GPU, 8 on a processor')
    parser.add_argument(
        '--naive-batch', type=int, help='pairs where the naive way takes part, default --batch'
    )
    parser.add_argument('--joints', type=int, default=16)
    parser.add_argument(
        '--channels', type=int, default=256, help='D, channels of the deconvolutions'
    )
    parser.add_argument('--in-channels', type=int, default=2048, help="of the backbone's features")
    parser.add_argument('--map', type=int, default=64, help='side of the heatmaps, cells')
    parser.add_argument('--device', default='cpu')
    parser.add_argument(
        '--precision', choices=['float32', 'bfloat16'], default='float32', help='autocast'
    )
    parser.add_argument('--channels-last', action='store_true')
    parser.add_argument('--measure-memory-of', choices=WAYS, help=argparse.SUPPRESS)
    return parser


def make_samples(batch: int, args: argparse.Namespace) -> list:
    """Pairs with everything that the losses read, on the device."""
    import torch
    from mmengine.structures import InstanceData, PixelData
    from mmpose.structures import PoseDataSample

    generator = torch.Generator().manual_seed(0)
    side = 4 * args.map
    samples = []
    for _ in range(batch):
        corners = torch.rand((1, 2, 2), generator=generator) * side / 2
        sample = PoseDataSample(metainfo=dict(input_size=(side, side)))
        ones = torch.ones((1, args.joints), device=args.device)
        sample.gt_instance_labels = InstanceData(
            pair_bboxes_input=torch.cat((corners, corners + side / 2), dim=-1).to(args.device),
            heatmap_weights=ones,
            keypoint_weights=ones,
            depth_weights=ones,
            depth_labels=torch.randint(2, (1, args.joints), generator=generator).to(ones),
        )
        maps = torch.rand((args.joints, args.map, args.map), generator=generator)
        sample.gt_fields = PixelData(heatmaps=maps.to(args.device))
        samples.append(sample)
    return samples


def make_pass(way: str, batch: int, args: argparse.Namespace):
    """A function that does one pass, and the tensors that were there before it."""
    import torch
    from mmpose.models.heads import HeatmapHead

    from wsp_mm.models.heads.relative_depth_head import RelativeDepthHead

    class NaiveHead(RelativeDepthHead):
        def _heatmaps_and_pair_features(self, features, inside, targets):
            masks = self.final_layer(features)
            filtered = (
                features.float()[:, None, None] * masks.float()[:, None, :, None]
            )  # (B, 1, J, D, h, w)
            filtered = filtered * inside[:, :, None, None]  # (B, 2, J, D, h, w)
            return masks, filtered.sum((4, 5)) / inside.sum((2, 3)).clamp(min=1)[:, :, None, None]

    torch.manual_seed(0)
    common = dict(
        in_channels=args.in_channels,
        out_channels=args.joints,
        deconv_out_channels=(args.channels,) * 3,
        deconv_kernel_sizes=(4, 4, 4),
    )
    loss = dict(type='HeatmapL2Loss')
    if way == 'plain':
        head = HeatmapHead(**common, loss=loss)
    else:
        head = dict(own=RelativeDepthHead, naive=NaiveHead)[way](
            **common, num_sampled_joints=None, heatmap_loss=loss
        )
    logging.disable(logging.INFO)  # MMEngine lists every weight that it sets
    head.init_weights()
    logging.disable(logging.NOTSET)
    head.to(args.device)
    side = args.map // 8
    feats = torch.randn(
        (batch, args.in_channels, side, side), generator=torch.Generator().manual_seed(1)
    )
    feats = feats.to(args.device)
    if args.channels_last:
        head.to(memory_format=torch.channels_last)
        feats = feats.to(memory_format=torch.channels_last)
    feats.requires_grad_()
    samples = make_samples(batch, args)
    on = args.precision == 'bfloat16'

    def one_pass(hooks=None):
        feats.grad = None
        with torch.autocast(feats.device.type, torch.bfloat16, enabled=on), hooks or nullcontext():
            losses = head.loss((feats,), samples, train_cfg=dict(compute_acc=False))
            total = sum(value for name, value in losses.items() if 'loss' in name)
        total.backward()
        return feats.grad

    there = [feats, *head.parameters(), *head.buffers()]
    return one_pass, there + [sample.gt_fields.heatmaps for sample in samples]


def kept_bytes(one_pass, there: list) -> int:
    """Bytes of all distinct storages that autograd keeps for backward beyond those that were there
    before.
    """
    import torch

    storages: dict[int, int] = {}
    held = []  # keeps them alive, so that no address is used twice

    def pack(tensor):
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage.nbytes()
        held.append(storage)
        return tensor

    one_pass(torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor))
    known = {tensor.untyped_storage().data_ptr() for tensor in there}
    return sum(size for address, size in storages.items() if address not in known)


def measure_memory(args: argparse.Namespace) -> dict[str, int]:
    """Peak and kept bytes of one pass; call it in a fresh process."""
    import torch

    one_pass, there = make_pass(args.measure_memory_of, args.batch, args)
    one_pass()  # what is set up once, and the weights' gradients, are not the pass's
    if args.device.startswith('cuda'):
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        one_pass()
        torch.cuda.synchronize()
        peak = torch.cuda.max_memory_allocated() - before
    else:
        before = reset_peak()
        one_pass()
        peak = status_bytes('VmHWM') - before
    return dict(peak=peak, kept=kept_bytes(one_pass, there))


def notes(batch: int, args: argparse.Namespace) -> list[str]:
    """What the branch adds, in bytes and operations."""
    cells = batch * args.map**2
    width = 2 if args.precision == 'bfloat16' else 4
    feature_map = cells * args.channels * width / 2**20
    products = 3 * 2 * 2 * args.joints * args.channels * cells / 1e9
    d, c = args.channels, args.in_channels
    taps = 4  # of a 4 x 4 kernel at stride 2, on each cell of the output
    deconvolutions = 3 * 2 * taps * d * (c * cells / 16 + d * cells / 4 + d * cells) / 1e9
    masks = 2 * args.joints * cells * 4 / 2**20
    return [
        f'B {batch}: the last feature map is {feature_map:.0f} MiB. The branch reads it once more forward; in '
        'backward the pass that serves the heatmaps serves it as well. Its products are '
        f'{products:.1f} GFLOP, the deconvolutions {deconvolutions:.0f} (both with backward). So bytes bound '
        f'it where the device does more than {products * 1e9 / (feature_map * 2**20):.0f} operations a byte.',
        f'Not kept: masks cut out person by person ({masks:.0f} MiB) and a float32 copy of the features.',
    ]


def main() -> None:
    args = build_parser().parse_args()
    on_gpu = args.device.startswith('cuda')
    args.batch = args.batch or (64 if on_gpu else 8)
    args.naive_batch = args.naive_batch or args.batch
    if args.measure_memory_of:
        print(json.dumps(measure_memory(args)))
        return
    import torch

    sizes = f'J {args.joints}, D {args.channels}, {args.map} x {args.map} cells, {args.precision}, {args.device}'
    tables = []
    for batch in dict.fromkeys((args.batch, args.naive_batch)):
        ways = [way for way in WAYS if way != 'naive' or batch == args.naive_batch]
        passes = {way: make_pass(way, batch, args)[0] for way in ways}
        seconds = measure(passes, args.repeats, torch.cuda.synchronize if on_gpu else None)
        del passes
        time = Table(
            f'Forward + backward, B {batch}, {sizes}', 'ms', 'plain', notes=notes(batch, args)
        )
        time.rows = {way: [1e3 * value for value in values] for way, values in seconds.items()}
        # glibc would serve blocks below 32 MiB from a heap whose holes look like use; fixed, it
        # maps them.
        os.environ['MALLOC_MMAP_THRESHOLD_'] = str(1 << 17)
        command = [*sys.argv[1:], '--batch', str(batch), '--measure-memory-of']
        memory = {way: ask(__file__, *command, way) for way in ways}
        tables.append(time)
        for kind, title in (('peak', 'Peak memory of a pass'), ('kept', 'Kept for backward')):
            rows = {way: [memory[way][kind] / 2**20] for way in ways}
            tables.append(Table(f'{title}, B {batch}, {sizes}', 'MiB', 'plain', rows))
    if not on_gpu:
        tables[0].notes.append('GPU: not measured. Command: bench_relative_depth.py --device cuda')
    finish(tables, args)


if __name__ == '__main__':
    main()
