# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Time and memory of building MCPC, at 1x, 4x and 16x annotations.

The annotation files are those of the tiny embedded world, every image many times over. Each build
runs in a process of its own, imports not counted. At the sizes of the real data sets:

    python tools/benchmarks/bench_mcpc.py --images 100000 --repeats 1
"""

import argparse
import json
import tempfile
import time
from pathlib import Path, PurePosixPath

from growth import growth_table, sizes_up_to
from harness import Table, ask, finish, make_parser, reset_peak, status_bytes

from wsp_mm.utils.files import dump_json

SOURCES = ('coco', 'mpii', 'posetrack18', 'crowdpose')
TINY = 60  # images of the tiny world


def build_parser() -> argparse.ArgumentParser:
    parser = make_parser(__doc__, repeats=3)
    parser.add_argument('--images', type=int, default=24_000, help='at 16x')
    parser.add_argument('--measure', metavar='DIR', help=argparse.SUPPRESS)
    return parser


def build(root: Path) -> dict:
    """Build MCPC from ``root`` in this process: seconds of the clock and the CPU, bytes, sizes."""
    from wsp_mm.datasets.converters.mcpc.build import build_mcpc
    from wsp_mm.datasets.converters.mcpc.options import BuildOptions

    with tempfile.TemporaryDirectory(prefix='mcpc_', dir=root) as out:
        options = BuildOptions({name: root / name for name in SOURCES}, Path(out), progress=False)
        before = reset_peak()
        start, cpu = time.perf_counter(), time.process_time()
        result = build_mcpc(options)
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
        peak = status_bytes('VmHWM')
        written = sum(path.stat().st_size for path in result.files.values())
    listed = [row for row in result.rows if (row['source'], row['who']) == ('all', 'listed')]
    persons = sum(row['persons'] for row in listed)
    sizes = dict(peak_bytes=peak - before, written_bytes=written)
    return dict(seconds=seconds, cpu_seconds=cpu, persons=persons, **sizes)


def replicate(world: Path, out: Path, times: int) -> None:
    """Write the annotation files of a wild world with every image ``times`` over."""
    for source in SOURCES:
        for file in world.glob(f'{source}/annotations/*.json'):
            content = json.loads(file.read_text())
            if isinstance(content, list):
                numbered = [(k, row) for k in range(times) for row in content]
                many = [row | dict(image=f'{k}_{row["image"]}') for k, row in numbered]
            else:
                many = dict(content, images=[], annotations=[])
                for k in range(times):
                    for image in content['images']:
                        name = PurePosixPath(image['file_name'])
                        copy = dict(image, id=image['id'] + k * 10**11)
                        copy['file_name'] = str(name.with_name(f'{k}_{name.name}'))
                        many['images'].append(copy)
                    for row in content['annotations']:
                        ids = row['id'] + k * 10**13, row['image_id'] + k * 10**11
                        copy = dict(row, id=ids[0], image_id=ids[1])
                        many['annotations'].append(copy)
            dump_json(out / file.relative_to(world), many, indent=None)


def main(argv: list[str] | None = None) -> int:
    parser = build_parser()
    args = parser.parse_args(argv)
    if args.measure:
        print(json.dumps(build(Path(args.measure))))
        return 0
    if args.images < 16 * TINY:
        parser.error(f'--images must be at least {16 * TINY}')
    from wsp_mm.synthetic.builder import make_world

    built, cpu, peaks, read = {}, {}, {}, []
    with tempfile.TemporaryDirectory(prefix='bench_mcpc_') as folder:
        world = Path(folder, 'world')
        make_world(world, 'wild', 'tiny', workers=0)
        for images in sizes_up_to(args.images):
            root = Path(folder, str(images))
            replicate(world, root, images // TINY)
            runs = [ask(__file__, '--measure', root) for _ in range(args.repeats)]
            persons = runs[0]['persons']
            built[persons] = [run['seconds'] for run in runs]
            cpu[persons] = [run['cpu_seconds'] for run in runs]
            peaks[f'{persons:,} persons'] = [run['peak_bytes'] / 2**20 for run in runs]
            files = [path for name in SOURCES for path in (root / name).rglob('*.*')]
            size, written = sum(path.stat().st_size for path in files), runs[0]['written_bytes']
            volume = f'{size / 1e6:.1f} MB read and {written / 1e6:.1f} MB written'
            read.append(f'{persons:,} persons: {volume}')
            print(
                f'{images:,} images, {persons:,} persons: {min(built[persons]):.2f} s', flush=True
            )
    title = 'build_mcpc: peak memory over what the process held before'
    memory = Table(title, 'MiB', next(iter(peaks)), peaks)
    memory.notes = [
        'The file that is being read is in memory as Python objects, what was read before as '
        'arrays.'
    ]
    bound = 'Bound by the processor: one thread of the interpreter parses and writes json.'
    volumes = f'Bytes: {"; ".join(read)}.'
    clock = growth_table('build_mcpc, clock', built, 'persons', [volumes, bound])
    finish([clock, growth_table('build_mcpc, CPU', cpu, 'persons'), memory], args)
    return 0


if __name__ == '__main__':
    raise SystemExit(main())
