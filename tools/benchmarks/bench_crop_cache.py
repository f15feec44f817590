# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Training samples of one person from a crop cache against those from whole frames, and what the
cache costs.

The frames are generated: 1000 x 1002 px, the spectrum of photographs, softened as those of a video
are, persons of a third to two thirds of the height. The pipeline is PoseNet's, to 256 x 256. Both
ways draw the same augmentation. A frame is sampled at points, a cached picture holds means, so
grain differs; smoothed crops that differ by more than --tolerance grey levels in the mean end the
benchmark with an error. "Whole": no parts of pictures are decoded, as where nvImageCodec is not
installed. One process of one thread.

Example:
    python tools/benchmarks/bench_crop_cache.py --json work_dirs/bench/crop_cache.json
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

from bench_pipeline import one_pass, write_data
from harness import Table, finish, make_parser, measure


def build_parser() -> argparse.ArgumentParser:
    parser = make_parser(__doc__, repeats=5)
    parser.add_argument('--size', default='1000x1002', help='of the frames, px')
    parser.add_argument('--frames', type=int, default=48, help='how many; three persons in each')
    parser.add_argument(
        '--soft', type=float, default=2.0, help='blur of the frames, px; 0 for none'
    )
    parser.add_argument('--samples', type=int, default=96, help='in each round')
    parser.add_argument('--frame-quality', type=int, default=95, help="of the frames' JPEGs")
    parser.add_argument('--quality', type=int, default=95, help="of the cache's JPEGs")
    parser.add_argument(
        '--tolerance',
        type=float,
        default=2.0,
        help='mean difference of smoothed crops, grey levels',
    )
    return parser


def build_dataset(folder: Path, cache: Path | None = None, partial: bool = True):
    """PoseNet's training samples of the generated persons, from frames or from a cache."""
    from mmengine.registry import init_default_scope
    from mmpose.registry import DATASETS

    import wsp_mm.register  # noqa: F401
    from wsp_mm.utils.cli import load_config

    init_default_scope('mmpose')
    root = Path(__file__).resolve().parents[2] / 'configs'
    pipeline = load_config(root / 'posenet_h36m_mcpc_r50.py').train_dataloader.dataset.pipeline
    steps = [dict(type='ConvertJoints', source='mcpc16', target='h36m18'), *pipeline]
    steps[1].update(crop_cache=None if cache is None else str(cache), partial=partial)
    dataset = DATASETS.build(
        dict(
            type='MCPCDataset',
            item='person',
            ann_file='mcpc.json',
            data_root=str(folder),
            pipeline=steps,
        )
    )
    dataset.set_item_seed(0, 0)
    return dataset


def differences(frames, cached, count: int) -> list[float]:
    """Mean absolute difference of each of ``count`` crops, smoothed (3 px), grey levels."""
    import cv2
    import numpy as np

    def smooth(sample: dict):
        return cv2.GaussianBlur(
            sample['inputs'].permute(1, 2, 0).numpy().astype(np.float32), (0, 0), 3
        )

    return [float(np.abs(smooth(frames[i]) - smooth(cached[i])).mean()) for i in range(count)]


def main() -> None:
    args = build_parser().parse_args()
    import cv2
    import torch

    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    from wsp_mm.datasets.crop_cache import CropCache
    from wsp_mm.datasets.crop_cache_writer import Cutter, write_cache
    from wsp_mm.datasets.crop_check import annotation_files
    from wsp_mm.datasets.picture import part_decoder

    size = tuple(int(side) for side in args.size.split('x'))
    with tempfile.TemporaryDirectory() as folder:
        root, out = Path(folder, 'frames'), Path(folder, 'cache')
        write_data(root, size, args.frames, args.frame_quality)
        if args.soft:
            for file in (root / 'coco').iterdir():
                soft = cv2.GaussianBlur(cv2.imread(str(file)), (0, 0), args.soft)
                cv2.imwrite(str(file), soft, [cv2.IMWRITE_JPEG_QUALITY, args.frame_quality])
        frames = build_dataset(root)
        cutter = Cutter(frames.pipeline.transforms, args.quality)
        made = write_cache(
            out, frames, cutter, dict(type='MCPCDataset'), annotation_files(frames), workers=0
        )
        cached = build_dataset(root, out)
        records = CropCache(out)
        apart = differences(frames, cached, min(args.samples, len(frames)))
        if max(apart) > args.tolerance:
            raise SystemExit(
                f'sample {apart.index(max(apart))}: crops differ by {max(apart):.2f} grey levels'
            )

        def cut() -> None:
            for i in range(args.samples):
                cutter(frames.get_data_info(i % len(frames)))

        ways = {
            'frames': one_pass(frames, args.samples),
            'cache': one_pass(cached, args.samples),
            'frames, whole': one_pass(build_dataset(root, None, False), args.samples),
            'cache, whole': one_pass(build_dataset(root, out, False), args.samples),
            'cut': cut,
        }
        seconds = measure(ways, args.repeats)
        some = [records.picture(frames.get_data_info(i)).stored.size for i in range(len(frames))]
        stored = statistics.mean(w * h for w, h in some) / 1e6
        frame_bytes = statistics.mean(file.stat().st_size for file in (root / 'coco').iterdir())

    label = f'frames of {args.size} px, {frame_bytes / 1000:.0f} kB'
    rates = Table(f'Training samples on one core: {label}', 'samples/s', reference='frames')
    rates.rows = {
        way: [args.samples / value for value in seconds[way]] for way in ways if way != 'cut'
    }
    parts = (
        'parts of both are decoded' if part_decoder() else 'both are decoded whole: no nvImageCodec'
    )
    rates.notes = [
        f'Smoothed crops differ by {statistics.mean(apart):.2f} grey levels in the mean (at most '
        f'{max(apart):.2f}). A cached picture has {stored:.2f} megapixels, a frame '
        f'{size[0] * size[1] / 1e6:.2f}; {parts}.',
        'Arithmetic bounds it: of decoding, the cache leaves a share that goes with its bytes and pixels; '
        'crop, noise and target cost the same. Some hundred kB take 0.1 ms from memory: bytes bound it only '
        'where frames come from a slow disk.',
    ]
    cost = Table('Cutting the cache on one core', 'pictures/s')
    cost.rows['cut'] = [args.samples / value for value in seconds['cut']]
    epochs = Table('Epochs until the cache has paid for itself', 'epochs')
    for kind in ('', ', whole'):
        pairs = zip(seconds[f'frames{kind}'], seconds[f'cache{kind}'], seconds['cut'], strict=True)
        epochs.rows[f'cut / (frames - cache){kind}'] = [
            spent / (frame - cache) if frame > cache else float('inf')
            for frame, cache, spent in pairs
        ]
    size_table = Table('Bytes', 'kB a sample', reference='frames')
    size_table.rows = {
        'frames': [frame_bytes / 1000],
        'cache': [made.cache_bytes / made.samples / 1000],
    }
    size_table.notes = [
        f'Here {len(frames) // args.frames} persons share a frame; Human3.6M has one in each. {len(records):,} '
        'samples cached.'
    ]
    finish([rates, cost, epochs, size_table], args)


if __name__ == '__main__':
    main()
