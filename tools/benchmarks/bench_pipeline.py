# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""From a JPEG to a training sample of 256 x 256: our pipelines against MMPose's own transforms.

Both make the same samples of the same generated files: a pair of persons as in pre-training, and
one person as in 3D finetuning. Pixels that differ by more than the interpolation's rounding, or
targets that differ, end the benchmark with an error. "Stock" decodes the whole image (LoadImage),
flips and warps all of it, builds heatmaps with MMPose's function in the worker and copies the
metainfo of every sample deeply, as MMPose's data sets do.

Two figures for each way: the work of one sample in one process (ms), and a loader with one worker
(samples/s).

Example:
    python tools/benchmarks/bench_pipeline.py --json work_dirs/bench/pipeline.json
"""

import argparse
import json
import statistics
import tempfile
import time
from copy import deepcopy
from functools import partial
from pathlib import Path

from harness import Table, finish, make_parser, measure

JOINTS = 16
# Of two roundings to 1/32 px: the mean and the largest difference of pixels that are allowed.
MEAN_DIFFERENCE, LARGEST_DIFFERENCE = 0.25, 24


def build_parser() -> argparse.ArgumentParser:
    parser = make_parser(__doc__, repeats=5)
    add = parser.add_argument
    add('--sizes', nargs='+', default=['1280x720', '640x480'], help='of the images, px')
    add('--images', type=int, default=48, help='files of each size')
    add('--samples', type=int, default=96, help='in each round')
    add('--no-worker', action='store_true', help='leave the loader out')
    return parser


def write_data(folder: Path, size: tuple[int, int], count: int) -> None:
    """Write images with the spectrum of photographs (1 / f) and an MCPC json with three persons in
    each.
    """
    import cv2
    import numpy as np

    rng = np.random.default_rng(0)
    w, h = size
    frequency = np.hypot(np.fft.fftfreq(h)[:, None], np.fft.rfftfreq(w)[None])
    frequency[0, 0] = 1 / max(size)
    images, annotations = [], []
    (folder / 'coco').mkdir(parents=True)
    for number in range(count):
        noise = rng.normal(size=(3, h, w // 2 + 1)) + 1j * rng.normal(size=(3, h, w // 2 + 1))
        field = np.fft.irfft2(noise / frequency, (h, w))
        # Colours vary less than brightness.
        field = field.mean(axis=0) + 0.3 * (field - field.mean(axis=0))
        pixels = np.clip(127 + 50 * field / field.std(), 0, 255).astype(np.uint8)
        path = str(folder / f'coco/{number}.jpg')
        cv2.imwrite(path, pixels.transpose(1, 2, 0), [cv2.IMWRITE_JPEG_QUALITY, 90])
        images.append(dict(id=number, source='coco', file_name=f'{number}.jpg', width=w, height=h))
        for _ in range(3):
            height = rng.uniform(0.35, 0.7) * h
            corner = np.array([rng.uniform(0.2, 0.5) * w, rng.uniform(0.05, 0.25) * h])
            side = np.array([0.4 * height, height])
            joints = corner + rng.uniform(0, 1, (JOINTS, 2)) * side
            annotations.append(
                dict(
                    id=len(annotations),
                    image_id=number,
                    bbox=[*corner, *side],
                    keypoints=np.column_stack([joints, np.full(JOINTS, 2)]).ravel().tolist(),
                    ground_y=corner[1] + height,
                    scale=height / 7,
                    area=0.4 * height**2,
                )
            )
    (folder / 'mcpc.json').write_text(json.dumps(dict(images=images, annotations=annotations)))


def build_ways(folder: Path) -> dict[str, dict]:
    """Task -> way -> data set; seeded, so that item i of both ways has the same random numbers."""
    import numpy as np
    from mmengine.config import Config
    from mmengine.registry import init_default_scope
    from mmpose.codecs.utils.gaussian_heatmap import generate_unbiased_gaussian_heatmaps
    from mmpose.datasets.datasets.base import BaseCocoStyleDataset
    from mmpose.datasets.transforms import RandomFlip
    from mmpose.registry import DATASETS, KEYPOINT_CODECS, TRANSFORMS
    from mmpose.structures.bbox import flip_bbox

    import wsp_mm.register  # noqa: F401
    from wsp_mm.codecs.pair_heatmap import PairHeatmapLabel
    from wsp_mm.datasets.mcpc import MCPCDataset
    from wsp_mm.datasets.transforms.pair import PairRandomFlip

    init_default_scope('mmpose')

    @DATASETS.register_module(force=True)
    class StockMCPCDataset(MCPCDataset):
        """Copies the metainfo as MMPose's data sets do."""

        get_data_info = BaseCocoStyleDataset.get_data_info

    @TRANSFORMS.register_module(force=True)
    class StockPairRandomFlip(PairRandomFlip):
        """Flips the image as MMPose does, to a mirrored view."""

        def transform(self, results):
            results = RandomFlip.transform(self, results)
            if results['flip']:
                size = results['img_shape'][::-1]
                results['pair_bboxes'] = flip_bbox(results['pair_bboxes'], size, 'xyxy')
            return results

    @KEYPOINT_CODECS.register_module(force=True)
    class StockPairHeatmapLabel(PairHeatmapLabel):
        """Makes the maps with MMPose's function."""

        field_mapping_table = dict(heatmaps='heatmaps')

        def encode(self, *args, **kwargs):
            encoded = super().encode(*args, **kwargs)
            labels, weights = encoded['keypoint_labels'][0], encoded['keypoint_weights'][0]
            size = self.heatmap_size
            maps, _ = generate_unbiased_gaussian_heatmaps(size, labels, weights, self.sigma)
            return dict(encoded, heatmaps=np.ascontiguousarray(maps))

    root, out = Path(__file__).resolve().parents[2] / 'configs', {}
    for task, config in (('pair', 'wsp_pretrain_r50.py'), ('person', 'posenet_h36m_mcpc_r50.py')):
        steps = Config.fromfile(root / config).train_dataloader.dataset.pipeline
        if task == 'person':
            steps = [dict(type='ConvertJoints', source='mcpc16', target='h36m18'), *steps]
        stock = [dict(type='LoadImage')]
        for step in deepcopy(steps):
            if step['type'] == 'PairRandomFlip':
                step['type'] = 'StockPairRandomFlip'
            if step['type'] == 'GenerateTarget' and task == 'pair':
                step['encoder']['type'] = 'StockPairHeatmapLabel'
            stock += [step] if step['type'] != 'LoadCropImage' else []
        out[task] = {}
        common = dict(item=task, ann_file='mcpc.json', data_root=str(folder))
        ways = dict(ours=('MCPCDataset', steps), stock=('StockMCPCDataset', stock))
        for way, (kind, pipeline) in ways.items():
            out[task][way] = DATASETS.build(dict(common, type=kind, pipeline=pipeline))
            out[task][way].set_item_seed(0, 0)
    return out


def check_same(ours, stock, count: int) -> None:
    """Compare the samples of two data sets: pixels and targets up to rounding.

    Raises:
        SystemExit: they differ by more.
    """
    for index in range(count):
        one, two = ours[index % len(ours)], stock[index % len(stock)]
        off = (one['inputs'].int() - two['inputs'].int()).abs().float()
        if off.mean() > MEAN_DIFFERENCE or off.max() > LARGEST_DIFFERENCE:
            raise SystemExit(
                f'sample {index}: pixels differ by {off.mean():.3f}, up to {off.max():g}'
            )
        labels, expected = (sample['data_samples'].gt_instance_labels for sample in (one, two))
        if 'joint_order' in labels:
            steps = ours.pipeline.transforms
            codec = next(step.encoder for step in steps if hasattr(step, 'encoder'))
            maps, _ = codec.heatmaps(labels.keypoint_labels, labels.keypoint_weights)
            difference = (maps[0].amax(0) - two['data_samples'].gt_fields.heatmaps).abs().max()
            if difference > 1e-5:
                raise SystemExit(f'sample {index}: heatmaps differ by up to {difference}')
        for key, value in expected.items():
            # nan: not known
            difference = (labels[key].nan_to_num() - value.nan_to_num()).abs().max()
            if not difference <= 1e-3:
                raise SystemExit(f'sample {index}: {key} differs by up to {difference:g}')


def one_pass(dataset, samples: int) -> None:
    """Make ``samples`` samples."""
    for index in range(samples):
        dataset[index % len(dataset)]


def worker_rate(dataset, samples: int) -> float:
    """Samples/s of a loader with one worker, from its second batch on."""
    from mmengine.dataset import pseudo_collate
    from torch.utils.data import DataLoader, Subset

    batch = 16
    order = [index % len(dataset) for index in range(samples + batch)]
    loader = DataLoader(
        Subset(dataset, order), batch_size=batch, num_workers=1, collate_fn=pseudo_collate
    )
    batches = iter(loader)
    next(batches)
    start = time.perf_counter()
    got = sum(len(content['inputs']) for content in batches)
    return got / (time.perf_counter() - start)


def main() -> None:
    args = build_parser().parse_args()
    import cv2
    import torch

    from wsp_mm.datasets.transforms.load_image import part_decoder

    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    tables = []
    for text in args.sizes:
        with tempfile.TemporaryDirectory() as folder:
            write_data(Path(folder), tuple(map(int, text.split('x'))), args.images)
            size = statistics.mean(file.stat().st_size for file in Path(folder, 'coco').iterdir())
            for task, ways in build_ways(Path(folder)).items():
                check_same(ways['ours'], ways['stock'], min(args.samples, 2 * args.images))
                label = f'{task}, {text}, {size / 1000:.0f} kB'
                table = Table(f'One sample: {label}', 'ms', reference='stock')
                passes = {way: partial(one_pass, data, args.samples) for way, data in ways.items()}
                for way, values in measure(passes, args.repeats).items():
                    table.rows[way] = [1000 * value / args.samples for value in values]
                tables.append(table)
                if not args.no_worker:
                    title = f'Loader with one worker: {label}'
                    rates = Table(title, 'samples/s', reference='stock')
                    for _ in range(args.repeats):
                        for way, data in ways.items():
                            rates.rows.setdefault(way, []).append(worker_rate(data, args.samples))
                    tables.append(rates)
    parts = 'parts of JPEGs are decoded' if part_decoder() else 'nvImageCodec is not installed'
    tables[0].notes.append(f'{parts}. Both ways make the same samples: checked in this run.')
    finish(tables, args)


if __name__ == '__main__':
    main()
