# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""From a JPEG to a training sample of 256 x 256: our pipelines against MMPose's own transforms.

Both make the same samples of the same generated files (pixels that differ, or targets by more than
rounding, end the benchmark with an error): a pair of persons as in pre-training, and one person as
in 3D finetuning. "Stock" decodes the whole picture (LoadImage), mirrors it, warps it
(TopdownAffine), builds heatmaps with MMPose's function in the worker and copies the metainfo of
every sample deeply, as MMPose's data sets do.

Two figures a way: the work of one sample in one process (ms), and a loader with one worker
(samples/s).

Example:
    python tools/benchmarks/bench_pipeline.py --json work_dirs/bench/pipeline.json
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections import defaultdict
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from pathlib import Path

from harness import Table, finish, make_parser, measure

JOINTS = 16
STAGES = ('read', 'decode', 'warp', 'targets', 'pack', 'rest')


def build_parser() -> argparse.ArgumentParser:
    parser = make_parser(__doc__, repeats=5)
    parser.add_argument(
        '--sizes', nargs='+', default=['1280x720', '640x480'], help='of the pictures, px'
    )
    parser.add_argument('--pictures', type=int, default=48, help='files of each size')
    parser.add_argument('--samples', type=int, default=96, help='in each round')
    parser.add_argument('--quality', type=int, default=90, help='of the JPEGs')
    parser.add_argument(
        '--no-worker', action='store_true', help='leave the loader with a worker out'
    )
    return parser


def write_data(folder: Path, size: tuple[int, int], count: int, quality: int) -> None:
    """Pictures with the spectrum of photographs (1 / f) and an MCPC json with three persons in
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
        field = field.mean(axis=0) + 0.3 * (
            field - field.mean(axis=0)
        )  # colours vary less than brightness
        picture = (
            np.clip(127 + 50 * field / field.std(), 0, 255).astype(np.uint8).transpose(1, 2, 0)
        )
        cv2.imwrite(
            str(folder / f'coco/{number}.jpg'), picture, [cv2.IMWRITE_JPEG_QUALITY, quality]
        )
        images.append(dict(id=number, source='coco', file_name=f'{number}.jpg', width=w, height=h))
        for _ in range(3):
            height = rng.uniform(0.35, 0.7) * h
            x, y = rng.uniform(0.2, 0.5) * w, rng.uniform(0.05, 0.25) * h
            joints = np.concatenate(
                [rng.uniform(0, 1, (JOINTS, 2)) * (height * 0.4, height), np.full((JOINTS, 1), 2)],
                1,
            )
            annotations.append(
                dict(
                    id=len(annotations),
                    image_id=number,
                    bbox=[x, y, height * 0.4, height],
                    keypoints=np.add(joints, (x, y, 0)).ravel().tolist(),
                    ground_y=y + height,
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
    from mmpose.registry import DATASETS, KEYPOINT_CODECS

    import wsp_mm.register  # noqa: F401
    from wsp_mm.codecs.pair_heatmap import PairHeatmapLabel
    from wsp_mm.datasets.mcpc import MCPCDataset

    init_default_scope('mmpose')

    @DATASETS.register_module(force=True)
    class StockMCPCDataset(MCPCDataset):
        """Copies the metainfo as MMPose's data sets do."""

        get_data_info = BaseCocoStyleDataset.get_data_info

    @KEYPOINT_CODECS.register_module(force=True)
    class StockPairHeatmapLabel(PairHeatmapLabel):
        """Makes the maps with MMPose's function."""

        def batch_heatmaps(self, cells, labelled):
            import torch

            maps, _ = generate_unbiased_gaussian_heatmaps(
                self.heatmap_size, cells[0].numpy(), labelled[0].numpy(), self.sigma
            )
            return torch.from_numpy(np.ascontiguousarray(maps))[None]

    root = Path(__file__).resolve().parents[2] / 'configs'
    stock_types = dict(ReadPicture='LoadImage', PersonTopdownAffine='TopdownAffine')
    out: dict[str, dict] = {}
    for task, config in (('pair', 'wsp_pretrain_r50.py'), ('person', 'posenet_h36m_mcpc_r50.py')):
        cfg = Config.fromfile(root / config)
        pipeline = cfg.train_dataloader.dataset.pipeline
        convert = []
        if task == 'person':
            convert = [dict(type='ConvertJoints', source='mcpc16', target='h36m18')]
        out[task] = {}
        for way in ('ours', 'stock'):
            steps = deepcopy([*convert, *pipeline])
            if way == 'stock':
                for step in steps:
                    step['type'] = stock_types.get(step['type'], step['type'])
                    if step['type'] == 'GenerateTarget' and task == 'pair':
                        step['encoder'] = dict(
                            step['encoder'], type='StockPairHeatmapLabel', on_device=False
                        )
            dataset = DATASETS.build(
                dict(
                    type='MCPCDataset' if way == 'ours' else 'StockMCPCDataset',
                    item=task,
                    ann_file='mcpc.json',
                    data_root=str(folder),
                    pipeline=steps,
                )
            )
            dataset.set_item_seed(0, 0)
            out[task][way] = dataset
    return out


def check_same(ours, stock, count: int) -> None:
    """Same pixels; same targets up to float32 rounding.

    Raises:
        SystemExit: they are not.
    """
    import torch

    for index in range(count):
        one, two = ours[index % len(ours)], stock[index % len(stock)]
        if not torch.equal(one['inputs'], two['inputs']):
            difference = (one['inputs'].int() - two['inputs'].int()).abs().max()
            raise SystemExit(f'sample {index}: pixels differ by up to {difference} grey levels')
        labels, expected = (sample['data_samples'].gt_instance_labels for sample in (one, two))
        if 'heatmap_cells' in labels:
            codec = next(
                step for step in ours.pipeline.transforms if hasattr(step, 'encoder')
            ).encoder
            maps = codec.batch_heatmaps(labels.heatmap_cells, labels.heatmap_labelled)[0]
            difference = (maps - two['data_samples'].gt_fields.heatmaps).abs().max()
            if difference > 1e-5:
                raise SystemExit(f'sample {index}: heatmaps differ by up to {difference}')
        for key, value in expected.items():
            if not torch.equal(labels[key], value):
                raise SystemExit(f'sample {index}: {key} differs')


def one_pass(dataset, samples: int):
    """A function that makes ``samples`` samples."""

    def run() -> None:
        for index in range(samples):
            dataset[index % len(dataset)]

    return run


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


def stage_shares(dataset, samples: int) -> dict[str, float]:
    """Milliseconds a sample in each stage; timers cost some microseconds a call."""
    import cv2
    import mmcv

    from wsp_mm.datasets.picture import Picture

    spent: dict[str, float] = defaultdict(float)

    @contextmanager
    def timed(owner, name: str, stage: str, inner: tuple[str, ...] = ()):
        """Count the time in a function, less what is spent in the stages within it."""
        plain = getattr(owner, name)

        def wrapped(*args, **kwargs):
            before, start = sum(spent[key] for key in inner), time.perf_counter()
            try:
                return plain(*args, **kwargs)
            finally:
                within = sum(spent[key] for key in inner) - before
                spent[stage] += time.perf_counter() - start - within

        setattr(owner, name, wrapped)
        try:
            yield
        finally:
            setattr(owner, name, plain)

    steps = {type(step).__name__: step for step in dataset.pipeline.transforms}
    with ExitStack() as stack:
        stack.enter_context(timed(Picture, 'region', 'decode'))
        stack.enter_context(timed(mmcv, 'imfrombytes', 'decode'))
        stack.enter_context(timed(cv2, 'warpAffine', 'warp'))
        stack.enter_context(timed(cv2, 'remap', 'warp'))
        for name, step in steps.items():
            stage = {'ReadPicture': 'read', 'LoadImage': 'read', 'GenerateTarget': 'targets'}.get(
                name
            )
            stage = 'pack' if name.startswith('Pack') else stage
            if stage:
                stack.enter_context(
                    timed(step, 'transform', stage, inner=('decode',) if stage == 'read' else ())
                )
        start = time.perf_counter()
        one_pass(dataset, samples)()
        total = time.perf_counter() - start
    spent['rest'] = total - sum(spent.values())
    return {stage: 1000 * spent[stage] / samples for stage in STAGES}


def main() -> None:
    args = build_parser().parse_args()
    import cv2
    import torch

    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    from wsp_mm.datasets.picture import part_decoder

    tables = []
    for text in args.sizes:
        size = tuple(int(side) for side in text.split('x'))
        with tempfile.TemporaryDirectory() as folder:
            write_data(Path(folder), size, args.pictures, args.quality)
            bytes_a_file = statistics.mean(f.stat().st_size for f in Path(folder, 'coco').iterdir())
            for task, ways in build_ways(Path(folder)).items():
                check_same(ways['ours'], ways['stock'], min(args.samples, 2 * args.pictures))
                tables += measure_task(args, task, text, bytes_a_file, ways)
    parts = (
        'parts of pictures are decoded'
        if part_decoder()
        else 'nvImageCodec is not installed: whole pictures'
    )
    tables[0].notes.append(
        f'Of JPEGs {parts}. Both ways make the same pixels and targets: checked in this run.'
    )
    finish(tables, args)


def measure_task(
    args: argparse.Namespace, task: str, size: str, bytes_a_file: float, ways: dict
) -> list[Table]:
    """Time of a sample, loader with a worker, and the stages of both ways."""
    label = f'{task}, {size}, {bytes_a_file / 1000:.0f} kB'
    seconds = measure(
        {way: one_pass(dataset, args.samples) for way, dataset in ways.items()}, args.repeats
    )
    per_sample = Table(f'One sample: {label}', 'ms', reference='stock')
    for way, values in seconds.items():
        per_sample.rows[way] = [1000 * value / args.samples for value in values]
    tables = [per_sample]
    if not args.no_worker:
        rates = Table(f'Loader with one worker: {label}', 'samples/s', reference='stock')
        for _ in range(args.repeats):
            for way, dataset in ways.items():
                rates.rows.setdefault(way, []).append(worker_rate(dataset, args.samples))
        tables.append(rates)
    for way, dataset in ways.items():
        stages = Table(f'Stages of {way}: {label}', 'ms')
        for _ in range(args.repeats):
            for stage, value in stage_shares(dataset, args.samples).items():
                stages.rows.setdefault(stage, []).append(value)
        tables.append(stages)
    return tables


if __name__ == '__main__':
    main()
