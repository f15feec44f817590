# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Time to write and to load Human3.6M's training set, and the memory that it takes, at 1x, 4x and
16x frames.

Makes annotations in 3DMPPE's layout (no pictures, only their folders), writes the index, and loads
the data set with and without it, each in a fresh process. As many frames as the real training set
has of every fifth:

    python tools/benchmarks/bench_h36m_index.py --frames 312188 --repeats 1

A worker's memory over time is another subject: bench_loader_memory.py.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
from growth import growth_table, sizes_up_to
from harness import Table, finish, make_parser
from processes import ask, memory

LAYOUTS = ('3dmppe', 'index')
SUBJECTS = (1, 5, 6, 7, 8)
SAMPLES = 1000


def build_parser() -> argparse.ArgumentParser:
    parser = make_parser(__doc__, repeats=3)
    parser.add_argument(
        '--frames', type=int, default=40_000, help='training frames of all cameras, at 16x'
    )
    parser.add_argument('--measure', nargs=2, metavar=('LAYOUT', 'DIR'), help=argparse.SUPPRESS)
    return parser


def write_annotations(root: Path, frames: int) -> None:
    """Annotations of S1, 5, 6, 7 and 8: random people in a room with four cameras."""
    from wsp_mm.datasets.h36m_sequences import sequence_key
    from wsp_mm.structures.bbox import joints_boxes

    folder = root / 'human36m' / 'annotations'
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    subjects, videos = SUBJECTS, 30
    total = len(subjects) * videos * 4  # videos of all cameras share the frames evenly
    poses = -(-frames // total)
    number = done = 0
    for subject in subjects:
        cameras = [_camera(turn) for turn in np.deg2rad([20, 110, 200, 290])]
        files = {
            kind: folder / f'Human36M_subject{subject}_{kind}.json'
            for kind in ('data', 'camera', 'joint_3d')
        }
        files['camera'].write_text(
            json.dumps(
                {
                    str(i + 1): dict(R=c.R.tolist(), t=c.t.tolist(), f=c.f.tolist(), c=c.c.tolist())
                    for i, c in enumerate(cameras)
                }
            )
        )
        images, annotations, joints = [], [], {}
        for video in range(videos):
            action, take = video // 2, video % 2 + 1
            body = rng.normal((0, 0, 900), (250, 250, 450), (poses, 17, 3))
            body[..., :2] += rng.uniform(-1500, 1500, (poses, 1, 2))
            body = body.round(3)
            joints.setdefault(str(action + 2), {})[str(take)] = {
                str(5 * i): pose for i, pose in enumerate(body.tolist())
            }
            for i, camera in enumerate(cameras):
                key = sequence_key(subject, action, take, i + 1)
                (root / 'human36m' / 'images' / key).mkdir(parents=True, exist_ok=True)
                boxes = (
                    joints_boxes(camera.project(camera.to_camera(body))[..., :2]).round(3).tolist()
                )
                for n, box in enumerate(boxes[: frames // total + (done < frames % total)]):
                    images.append(
                        dict(
                            id=number, file_name=f'{key}/{key}_{5 * n + 1:06d}.jpg', width=1000, height=1000,
                            subject=subject, action_name='', action_idx=action + 2, subaction_idx=take,
                            cam_idx=i + 1, frame_idx=5 * n,
                        )
                    )  # fmt: skip
                    annotations.append(
                        dict(id=number, image_id=number, keypoints_vis=[True] * 17, bbox=box)
                    )
                    number += 1
                done += 1
        files['data'].write_text(json.dumps(dict(images=images, annotations=annotations)))
        files['joint_3d'].write_text(json.dumps(joints))


def _camera(turn: float):
    """4.5 m from the room's middle, 1.6 m high, level."""
    from wsp_mm.structures.camera import PinholeCamera

    cos, sin = np.cos(turn), np.sin(turn)
    rotation = np.array([[-sin, cos, 0], [0, 0, -1], [-cos, -sin, 0]])
    centre = np.array([4500 * cos, 4500 * sin, 1600])
    return PinholeCamera(
        np.array([1145.0, 1143.0]), np.array([512.0, 515.0]), rotation, -rotation @ centre
    )


def write(root: Path) -> dict:
    """Write the index in this process, the reading of the json included."""
    from wsp_mm.datasets.converters.mcpc.records import Findings
    from wsp_mm.datasets.h36m_3dmppe import read_3dmppe
    from wsp_mm.datasets.h36m_index import write_index

    path = root / 'human36m' / 'h36m.index'
    start = time.perf_counter()
    write_index(
        path, read_3dmppe(root / 'human36m' / 'annotations', SUBJECTS, (5,), Findings()), root
    )
    return dict(seconds=time.perf_counter() - start, bytes=path.stat().st_size)


def load(root: Path, layout: str) -> dict:
    """Load the training set in this process and draw samples from it, without pictures."""
    from mmengine.registry import init_default_scope

    from wsp_mm.datasets.h36m_image import H36MImageDataset

    init_default_scope('mmpose')
    before = memory()['anonymous']
    start = time.perf_counter()
    dataset = H36MImageDataset(str(root), layout=layout)
    seconds = time.perf_counter() - start
    own = memory()['anonymous'] - before
    start = time.perf_counter()
    for i in range(SAMPLES):
        dataset.get_data_info(i * 997 % len(dataset))
    drawn = time.perf_counter() - start
    return dict(
        seconds=seconds, own_bytes=own, frames=len(dataset), sample_ms=1000 * drawn / SAMPLES
    )


def main(argv: list[str] | None = None) -> int:
    parser = build_parser()
    args = parser.parse_args(argv)
    if args.measure:
        what, root = args.measure[0], Path(args.measure[1])
        print(json.dumps(write(root) if what == 'write' else load(root, what)))
        return 0
    try:
        sizes = sizes_up_to(args.frames)
    except ValueError as error:
        parser.error(str(error))
    runs: dict[str, dict[int, list[dict]]] = {'write': {}, **{layout: {} for layout in LAYOUTS}}
    with tempfile.TemporaryDirectory(prefix='bench_h36m_') as folder:
        for frames in sizes:
            root = Path(folder, str(frames))
            write_annotations(root, frames)
            for _ in range(args.repeats):
                for what, found in runs.items():
                    found.setdefault(frames, []).append(ask(__file__, '--measure', what, root))
            shown = ', '.join(
                f'{what} {found[frames][-1]["seconds"]:.2f} s' for what, found in runs.items()
            )
            print(f'{frames:,} frames: {shown}', flush=True)
    finish(tables(runs), args)
    return 0


def tables(runs: dict[str, dict[int, list[dict]]]) -> list[Table]:
    """From what the processes measured: what -> frames -> one dict a round."""

    def seconds(what: str) -> dict[int, list[float]]:
        return {frames: [run['seconds'] for run in found] for frames, found in runs[what].items()}

    written = {frames: found[0]['bytes'] for frames, found in runs['write'].items()}
    largest = max(written)
    volume = f'The index has {written[largest] / largest:.0f} bytes a frame ({written[largest] / 1e6:.1f} MB).'
    loading = Table(f'loading the training set, {largest:,} frames', 's', '3dmppe')
    drawing = Table('one sample without its picture', 'ms', '3dmppe')
    own = Table(
        "the data set's own memory (anonymous, not shared by processes)",
        'bytes of a frame',
        '3dmppe',
    )
    for layout in LAYOUTS:
        found = runs[layout][largest]
        loading.rows[layout] = [run['seconds'] for run in found]
        drawing.rows[layout] = [run['sample_ms'] for run in found]
        own.rows[layout] = [run['own_bytes'] / run['frames'] for run in found]
    loading.notes = [
        'The json is parsed by the interpreter; the index is mapped, and what is left are row numbers and the '
        'look at the folders of the pictures and the dates of the sources.'
    ]
    return [
        growth_table(
            'writing the index',
            seconds('write'),
            'frames',
            [volume, 'Most of it is reading the json.'],
        ),
        growth_table('loading from the json', seconds('3dmppe'), 'frames'),
        growth_table(
            'loading from the index', seconds('index'), 'frames', ['Nearly all of it is constant.']
        ),
        loading,
        own,
        drawing,
    ]


if __name__ == '__main__':
    raise SystemExit(main())
