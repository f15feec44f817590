# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Time to load Human3.6M's training set at full size, and the memory that it takes, with and without the index.

Makes annotations in 3DMPPE's layout of as many frames as the real training set has every fifth of (no pictures,
only their folders), writes the index, and measures in fresh processes. Memory is the kernel's count (Linux):
RSS holds shared pages too, PSS shares them out, anonymous ones are the process's own. ``imports`` is the same
process before the data set is built.

Example:
    python tools/benchmarks/bench_h36m_index.py --out /tmp/h36m_full
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

TRAIN_FRAMES = 312_188  # Human3.6M's, S1 5 6 7 8, every fifth frame
REPO = Path(__file__).resolve().parents[2]


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument('--out', required=True, help='folder for the generated annotations (about 400 MB)')
    parser.add_argument('--frames', type=int, default=TRAIN_FRAMES, help='training frames, all cameras')
    parser.add_argument('--workers', type=int, default=4, help='data loader workers')
    parser.add_argument('--items', type=int, default=4000, help='samples that the workers draw')
    parser.add_argument('--json', help='write the figures to this file, too')
    parser.add_argument('--measure', choices=['3dmppe', 'index'], help=argparse.SUPPRESS)
    return parser


def write_annotations(root: Path, frames: int) -> None:
    """Annotations of S1, 5, 6, 7 and 8: random people in a room with four cameras."""
    from wsp_mm.datasets.h36m_sequences import PROTOCOLS, sequence_key
    from wsp_mm.structures.person_box import joints_boxes

    folder = root / 'human36m' / 'annotations'
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    subjects, videos = PROTOCOLS[1][0], 30
    total = len(subjects) * videos * 4  # videos of all cameras share the frames evenly
    poses = -(-frames // total)
    number = done = 0
    for subject in subjects:
        cameras = [_camera(turn) for turn in np.deg2rad([20, 110, 200, 290])]
        files = {
            kind: folder / f'Human36M_subject{subject}_{kind}.json' for kind in ('data', 'camera', 'joint_3d')
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
                boxes = joints_boxes(camera.project(camera.to_camera(body))[..., :2]).round(3).tolist()
                for n, box in enumerate(boxes[: frames // total + (done < frames % total)]):
                    images.append(
                        dict(
                            id=number, file_name=f'{key}/{key}_{5 * n + 1:06d}.jpg', width=1000, height=1000,
                            subject=subject, action_name='', action_idx=action + 2, subaction_idx=take,
                            cam_idx=i + 1, frame_idx=5 * n,
                        )
                    )  # fmt: skip
                    annotations.append(dict(id=number, image_id=number, keypoints_vis=[True] * 17, bbox=box))
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
    return PinholeCamera(np.array([1145.0, 1143.0]), np.array([512.0, 515.0]), rotation, -rotation @ centre)


def memory(pid: int | str = 'self') -> dict[str, float]:
    """RSS, PSS and anonymous memory of a process, MB."""
    found = {}
    for line in Path(f'/proc/{pid}/smaps_rollup').read_text().splitlines()[1:]:
        key, value = line.split(':')
        if key in ('Rss', 'Pss', 'Anonymous'):
            found[key.lower()] = round(int(value.split()[0]) / 1024, 1)
    return found


def _collate(items: list[dict]) -> tuple[int, dict]:
    """What a worker answers: its memory."""
    import os

    return os.getpid(), memory()


def measure(args: argparse.Namespace) -> dict:
    """Load the training set in this process, then draw from it with workers."""
    from mmengine.registry import init_default_scope
    from torch.utils.data import DataLoader

    from wsp_mm.datasets.h36m_image import H36MImageDataset

    init_default_scope('mmpose')
    figures = dict(imports=memory())
    start = time.perf_counter()
    dataset = H36MImageDataset(args.out, layout=args.measure)
    figures |= dict(seconds=round(time.perf_counter() - start, 2), frames=len(dataset), loaded=memory())
    start = time.perf_counter()
    for i in range(1000):
        dataset.get_data_info(i * 997 % len(dataset))
    figures['sample_ms'] = round(time.perf_counter() - start, 3)
    if args.workers:
        loader = DataLoader(dataset, batch_size=50, num_workers=args.workers, shuffle=True, collate_fn=_collate)
        workers, drawn = {}, 0
        for pid, used in loader:
            workers[pid] = used
            drawn += 50
            if drawn >= args.items:
                break
        figures['workers'] = list(workers.values())
    return figures


def main() -> None:
    args = build_parser().parse_args()
    if args.measure:
        print(json.dumps(measure(args)))
        return
    root = Path(args.out)
    start = time.perf_counter()
    write_annotations(root, args.frames)
    figures = dict(generate_seconds=round(time.perf_counter() - start, 1))
    start = time.perf_counter()
    tool = str(REPO / 'tools' / 'dataset_converters' / 'index_h36m.py')
    subprocess.run(
        [sys.executable, tool, '--data-root', args.out, '--subjects', '1', '5', '6', '7', '8'], check=True
    )
    figures['index_seconds'] = round(time.perf_counter() - start, 1)
    figures['index_mb'] = round((root / 'human36m' / 'h36m.index').stat().st_size / 1e6, 1)
    for layout in ('index', '3dmppe'):
        done = subprocess.run(
            [sys.executable, __file__, *sys.argv[1:], '--measure', layout], check=True, stdout=subprocess.PIPE
        )
        figures[layout] = json.loads(done.stdout.splitlines()[-1])
        one = figures[layout]
        print(
            f'{layout}: {one["frames"]:,} frames in {one["seconds"]} s, {one["sample_ms"]} ms a sample; '
            f'MB: imports {one["imports"]}, loaded {one["loaded"]}'
        )
        for used in one.get('workers', []):
            print(f'  worker: {used}')
    if args.json:
        Path(args.json).write_text(json.dumps(figures, indent=1))


if __name__ == '__main__':
    main()
