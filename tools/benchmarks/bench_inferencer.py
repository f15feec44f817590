# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Persons a second of the inferencer on a video, stages that overlap against one after the other;
and memory.

The whole of ``tools/infer.py`` is run: video decoded, detector, root and pose networks, frames
drawn into an mp4, json. Both ways run in turn in one process, and their json and mp4 must be equal
to the byte: exit status 1 if they are not.

The video is drawn: four figures that walk before blobs of colour. Networks are the quickstart's
with weights as initialised, unless checkpoints are given. An untrained detector finds anything or
nothing, so it runs, and then the figures' true boxes take its boxes' place: exactly --persons a
frame go to the other networks.

Examples: python tools/benchmarks/bench_inferencer.py --json work_dirs/bench_inferencer.json python
    tools/benchmarks/bench_inferencer.py --memory-frames 500 1000 2000 python
    tools/benchmarks/bench_inferencer.py --device cuda --frames 400 --size 1280 720 --batch-size 64
    \
        --precision bf16 --pose-config configs/wsp_muco_r50.py --root-config
        configs/root_muco_r50.py \\ --det-config configs/detectors/rtmdet_m_person.py --memory-frames
        2500 5000 10000
"""

import argparse
import contextlib
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from harness import Table, finish, make_parser, measure, status_bytes

REPO = Path(__file__).resolve().parents[2]
WAYS = {'sequential': False, 'overlapped': True}
WORK = ('reading', 'detector', 'crops', 'root', 'pose', 'drawing', 'writing')
STAGES = ('reading', 'detector', 'crops', 'networks', 'drawing')


def build_parser() -> argparse.ArgumentParser:
    parser = make_parser(__doc__, repeats=2)
    parser.add_argument('--frames', type=int, default=32, help='of the video whose time is taken')
    parser.add_argument('--persons', type=int, default=4, help='in every frame')
    parser.add_argument(
        '--size', type=int, nargs=2, default=(640, 480), metavar=('W', 'H'), help='px'
    )
    parser.add_argument(
        '--memory-frames', type=int, nargs='+', default=(48, 96, 144), metavar='N',
        help='take the memory at these frames of one long run; 0: do not',
    )  # fmt: skip
    parser.add_argument(
        '--memory-size', type=int, nargs=2, default=(96, 72), metavar=('W', 'H'), help='px'
    )
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--threads', type=int, help="of torch on the processor; default: torch's")
    parser.add_argument('--precision', choices=['fp32', 'bf16', 'fp16'], default='fp32')
    parser.add_argument(
        '--batch-size', type=int, default=8, help='persons a pass, and frames a chunk'
    )
    parser.add_argument('--no-pictures', action='store_true', help='draw nothing')
    for what, config in (
        ('pose', 'posenet_muco_r18'), ('root', 'root_muco_r18'), ('det', 'rtmdet_tiny_person')
    ):  # fmt: skip
        parser.add_argument(
            f'--{what}-config', default=str(REPO / 'configs/quickstart' / f'{config}.py')
        )
        parser.add_argument(f'--{what}-checkpoint', help='default: weights as initialised')
    return parser


# ---------------------------------------------------------------------- video


def figure_boxes(index: int, persons: int, size: tuple[int, int]) -> np.ndarray:
    """Where the figures stand in a frame, (persons, 4) x, y, w, h px."""
    width, height = size
    place = (np.arange(persons) + 0.5) / persons + 0.03 * np.sin(0.2 * index + np.arange(persons))
    tall = height * (0.5 + 0.35 * np.arange(persons) / max(persons, 1))
    wide = np.minimum(0.4 * tall, 0.9 * width / max(persons, 1))
    return np.stack([place * width - wide / 2, 0.95 * height - tall, wide, tall], axis=1)


def draw_frame(index: int, persons: int, size: tuple[int, int]) -> np.ndarray:
    """Blobs of colour and before them the figures, (H, W, 3) uint8 BGR."""
    import cv2

    blobs = np.random.default_rng(0).integers(40, 216, (6, 8, 3), np.uint8)
    picture = np.roll(cv2.resize(blobs, size, interpolation=cv2.INTER_CUBIC), index, axis=1).copy()
    for number, (x, y, w, h) in enumerate(figure_boxes(index, persons, size)):
        colour = tuple(int(c) for c in np.random.default_rng(number + 1).integers(0, 256, 3))
        thick, swing = max(int(w / 6), 1), 0.3 * w * np.sin(0.5 * index + number)
        neck, hip, middle = int(y + 0.2 * h), int(y + 0.55 * h), int(x + w / 2)
        cv2.circle(picture, (middle, int(y + 0.1 * h)), max(int(0.1 * h), 1), colour, -1)
        cv2.line(picture, (middle, neck), (middle, hip), colour, 2 * thick)
        for side in (-1, 1):
            arm, foot = int(middle + side * (0.2 * w + swing)), int(middle - side * swing)
            cv2.line(picture, (middle, neck), (arm, hip), colour, thick)
            cv2.line(picture, (middle, hip), (foot, int(y + h)), colour, thick)
    return picture


def write_video(path: Path, frames: int, persons: int, size: tuple[int, int]) -> Path:
    """An mp4 of the figures."""
    from wsp_mm.visualization.video import VideoWriter

    with VideoWriter(path, fps=25.0) as writer:
        for index in range(frames):
            writer.write(draw_frame(index, persons, size))
    return path


# ---------------------------------------------------------------------- networks


def drawn_checkpoint(config: str, path: Path) -> Path:
    """Weights as initialised, of a configuration of mmpose's or mmdet's."""
    import torch
    from mmdet.registry import MODELS as DETECTORS
    from mmengine.registry import DefaultScope
    from mmpose.registry import MODELS

    import wsp_mm.register  # noqa: F401
    from wsp_mm.apis.inference.models import _without_inits
    from wsp_mm.utils.cli import load_config

    cfg = load_config(config)
    scope = cfg.get('default_scope') or 'mmdet'
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope(scope):
        model = (MODELS if scope == 'mmpose' else DETECTORS).build(
            _without_inits(cfg.model.to_dict())
        )
    torch.save(dict(state_dict=model.state_dict()), path)
    return path


class TrueBoxes:
    """Runs a detector, and then answers with the figures' boxes."""

    def __init__(self, detector, persons: int, identity: str) -> None:
        self.detector, self.persons, self.identity = detector, persons, dict(config=identity)
        self.frame = 0

    def detect(self, images):
        self.detector.detect(images)
        out = []
        for image in images:
            boxes = figure_boxes(self.frame, self.persons, image.shape[1::-1])
            out.append((boxes, np.linspace(0.9, 0.5, self.persons)))
            self.frame += 1
        return out


def make_inferencer(args: argparse.Namespace, folder: Path):
    from wsp_mm.apis.detection import PersonDetector
    from wsp_mm.apis.inferencer import WSPInferencer

    pairs = {}
    for what in ('pose', 'root', 'det'):
        config, given = getattr(args, f'{what}_config'), getattr(args, f'{what}_checkpoint')
        pairs[what] = (config, given or drawn_checkpoint(config, folder / f'{what}.pth'))
    detector = PersonDetector(*pairs['det'], device=args.device)
    return WSPInferencer(
        pose=pairs['pose'], root=pairs['root'], camera=dict(focal=1.2 * args.size[0]), device=args.device,
        det=TrueBoxes(detector, args.persons, Path(args.det_config).name),
        precision=args.precision, batch_size=args.batch_size,
    )  # fmt: skip


# ---------------------------------------------------------------------- tables


def run(inferencer, video, out: Path, overlap: bool, pictures: bool):
    """One run of the whole; its summary."""
    from wsp_mm.apis.inference.run import infer

    inferencer.overlap, inferencer.detector.frame = overlap, 0
    return infer(
        inferencer, video, out, overwrite=True, pictures=pictures, viewer=False, progress=False
    )


def speed_tables(args: argparse.Namespace, inferencer, folder: Path) -> tuple[list[Table], bool]:
    """Persons a second, what every stage takes of it; and whether both ways gave the same."""
    from wsp_mm.apis.inference.sources import open_source

    source = open_source(
        write_video(folder / 'video.mp4', args.frames, args.persons, tuple(args.size))
    )
    work = {way: {name: [] for name in WORK} for way in WAYS}
    waits = {name: [] for name in STAGES}

    def one(way: str, overlap: bool) -> None:
        summary = run(inferencer, source, folder / way, overlap, not args.no_pictures)
        for name in WORK:
            work[way][name].append(1000 * summary.seconds.get(name, 0.0) / args.frames)
        for name in STAGES if overlap else ():
            waits[name].append(1000 * inferencer.pipeline.waiting[name] / args.frames)

    seconds = measure(
        {way: lambda w=way, o=overlap: one(w, o) for way, overlap in WAYS.items()},
        args.repeats,
        _sync(args),
    )
    width, height = args.size
    title = (
        f'{args.frames} frames of {width} x {height} px, {args.persons} persons each, {args.device}'
    )
    count = args.frames * args.persons
    speed = Table(f'Inferencer, video: {title}', 'persons/s (more is better)', 'sequential')
    speed.rows = {way: [count / each for each in values] for way, values in seconds.items()}
    parts = Table('The same by kind of work, and by stage what it waited', 'ms a frame')
    for way, rows in work.items():
        parts.rows.update({f'{way}: {name}': values[1:] for name, values in rows.items()})
    parts.rows.update({f'overlapped: {name} waits': values[1:] for name, values in waits.items()})
    median = {name: float(np.median(values[1:])) for name, values in work['sequential'].items()}
    stages = {
        'networks': median['root'] + median['pose'],
        'drawing': median['drawing'] + median['writing'],
    }
    stages |= {name: median[name] for name in ('reading', 'detector', 'crops')}
    slowest, total = max(stages, key=stages.get), sum(stages.values())
    speed.notes = [
        _networks_note(args),
        f'Stages that overlap cannot be faster than the slowest: {slowest}, {stages[slowest]:.1f} of '
        f'{total:.1f} ms a frame, so at most {total / stages[slowest]:.2f} x, where every stage has a core (or '
        'the GPU) of its own; on one core alone, 1 x.',
        _arithmetic_note(args, inferencer),
    ]
    parts.notes = [
        'Time that passes, other threads included: where cores are fewer than stages, the overlapped rows hold '
        'the time for which a stage was ready and another one ran.'
    ]
    same = all(
        (folder / 'sequential' / name).read_bytes() == (folder / 'overlapped' / name).read_bytes()
        for name in ('inference.json', *(() if args.no_pictures else ('video.mp4',)))
    )
    speed.notes.append(
        f'Both ways wrote {"the same files to the byte" if same else "DIFFERENT files"}.'
    )
    return [speed, parts], same


def _networks_note(args: argparse.Namespace) -> str:
    names = ', '.join(
        Path(getattr(args, f'{what}_config')).stem for what in ('det', 'root', 'pose')
    )
    given = all(getattr(args, f'{what}_checkpoint') for what in ('det', 'root', 'pose'))
    return (
        f'Networks: {names}, {"of the checkpoints" if given else "weights as initialised"}; the boxes are the '
        'true ones whatever the detector, which does run, finds.'
    )


def _arithmetic_note(args: argparse.Namespace, inferencer) -> str:
    """Arithmetic and bytes a frame, counted."""
    from torch.utils.flop_counter import FlopCounterMode

    from wsp_mm.apis.inference.forward import pack, predict
    from wsp_mm.apis.inference.sources import Frame
    from wsp_mm.apis.inference.work import Person

    image, giga = draw_frame(0, args.persons, tuple(args.size)), {}
    detector = inferencer.detector.detector
    with FlopCounterMode(display=False) as counter:
        detector.detect([image])
    giga['detector'] = counter.get_total_flops() / 1e9
    sent = detector.pipeline(dict(img=image, img_id=0))['inputs'].numel()
    camera = inferencer.camera.for_picture('frame', *args.size)
    for name, network in (('root', inferencer.root), ('pose', inferencer.pose)):
        persons = [
            Person(Frame(0, 'frame', image), box, False, camera, dict(bbox_score=1.0), {})
            for box in figure_boxes(0, args.persons, tuple(args.size))
        ]
        crops = pack(
            [inferencer.pipeline._crop(network, person) for person in persons], inferencer.device
        )
        sent += crops.inputs.numel()
        with FlopCounterMode(display=False) as counter:
            predict(network, crops, inferencer.device, inferencer.pipeline.dtype)
        giga[name] = counter.get_total_flops() / 1e9
    shown = ', '.join(f'{name} {value:.2f}' for name, value in giga.items())
    return (
        f'A frame takes {sum(giga.values()):.2f} GFLOP of the networks ({shown}; mirrored passes included), '
        f'{image.nbytes / 1e6:.2f} MB of decoded picture, and {sent / 1e6:.2f} MB of bytes as network inputs, '
        'which is what goes to a GPU.'
    )


def batch_table(args: argparse.Namespace, inferencer) -> Table:
    """A batch of crops to the network's input: MMPose's way, a crop at a time, and the
    inferencer's.
    """
    import torch
    from mmpose.models.data_preprocessors import PoseDataPreprocessor

    from wsp_mm.apis.inference.forward import pack
    from wsp_mm.apis.inference.sources import Frame
    from wsp_mm.apis.inference.work import Person

    network, device = inferencer.pose, inferencer.device
    own = network.model.data_preprocessor
    stock = PoseDataPreprocessor(
        mean=own.mean.flatten().tolist(),
        std=own.std.flatten().tolist(),
        bgr_to_rgb=own._channel_conversion,
    ).to(device)
    frame = Frame(0, 'frame', draw_frame(0, args.persons, tuple(args.size)))
    boxes = figure_boxes(0, args.persons, tuple(args.size))
    persons = [
        Person(frame, boxes[i % len(boxes)], False, None, dict(bbox_score=1.0), {})
        for i in range(args.batch_size)
    ]
    crops = [inferencer.pipeline._crop(network, person) for person in persons]
    out = {}

    def mmpose() -> None:
        data = dict(
            inputs=[c['inputs'] for c in crops], data_samples=[c['data_samples'] for c in crops]
        )
        out['stock'] = stock(data, False)['inputs']

    def ours() -> None:
        packed = pack(crops, device)
        inputs = packed.inputs.to(device, non_blocking=True)
        out['own'] = own(dict(inputs=inputs, data_samples=[]), False)['inputs']

    repeats = max(args.repeats, 7)
    ways = {'MMPose, one by one': mmpose, 'one tensor, samples left alone': ours}
    with torch.inference_mode():
        seconds = measure(ways, repeats, _sync(args))
        ways = {'crop': lambda: [inferencer.pipeline._crop(network, person) for person in persons]}
        cropping = measure(ways, repeats)['crop']
    table = Table(f'{len(crops)} crops to the network input', 'ms', 'MMPose, one by one')
    table.rows = {name: [1000 * each for each in values] for name, values in seconds.items()}
    equal = torch.equal(out['stock'], out['own'])
    table.notes = [
        f'The inputs are {"equal to the bit" if equal else "DIFFERENT"}. Making these crops takes '
        f'{1000 * float(np.median(cropping)):.2f} ms before that, in the stage before.'
    ]
    return table


def memory_table(args: argparse.Namespace, inferencer, folder: Path) -> Table:
    """Resident memory at some frames of one long, overlapped run."""
    from wsp_mm.apis.inference.sources import Video

    marks = sorted(set(args.memory_frames))
    found: dict[int, int] = {}

    class Watched(Video):
        def frames(self, start=0):
            for frame in super().frames(start):
                yield frame
                if frame.index + 1 in marks:
                    found[frame.index + 1] = status_bytes('VmRSS')

    path = write_video(folder / 'long.mp4', marks[-1], args.persons, tuple(args.memory_size))
    began = time.perf_counter()
    run(inferencer, Watched(path), folder / 'long', True, pictures=not args.no_pictures)
    seconds = time.perf_counter() - began
    width, height = args.memory_size
    table = Table(
        f'Memory of one run, frames of {width} x {height} px', 'MiB resident', f'frame {marks[0]}'
    )
    table.rows = {f'frame {mark}': [found[mark] / 2**20] for mark in marks}
    growth = (found[marks[-1]] - found[marks[0]]) / max(marks[-1] - marks[0], 1)
    table.notes = [
        f'{growth / 1024:+.2f} KiB a frame between the first and the last; {seconds:.1f} s for '
        f'{marks[-1]} frames, stages overlapped, drawn into an mp4.'
    ]
    return table


def _sync(args: argparse.Namespace):
    if not args.device.startswith('cuda'):
        return None
    import torch

    return torch.cuda.synchronize


def main(argv: list[str] | None = None) -> int:
    args = build_parser().parse_args(argv)
    import torch

    if args.device.startswith('cuda') and not torch.cuda.is_available():
        nothing = Table(
            f'Inferencer, video: {args.device}', 'persons/s', notes=['Not measured: no GPU here.']
        )
        finish([nothing], args)
        return 0
    if args.threads:
        torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as name, contextlib.redirect_stdout(sys.stderr):
        folder = Path(name)
        inferencer = make_inferencer(args, folder)
        tables, same = speed_tables(args, inferencer, folder)
        tables.append(batch_table(args, inferencer))
        if any(args.memory_frames):
            tables.append(memory_table(args, inferencer, folder))
    finish(tables, args)
    return 0 if same else 1


if __name__ == '__main__':
    sys.exit(main())
