# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Pictures a second and core of the embedded worlds, by stage, and that the last costs what the
first does.

Scenes of the 'small' preset, drawn from all over its plan, are made in this process (one core) and
encoded, and nothing is written. What is made once (bodies, kernels, empty rooms) is made before the
clock runs, and times are the processor's: what else the machine does is not counted.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

import numpy as np
from growth import growth_table, sizes_up_to
from harness import Table, finish, make_parser

WORLDS = ('wild', 'h36m', 'muco')


def build_parser() -> argparse.ArgumentParser:
    parser = make_parser(__doc__, repeats=1)
    parser.add_argument('--worlds', nargs='+', choices=WORLDS, default=list(WORLDS))
    parser.add_argument('--preset', default='small', help='tiny, small or full')
    parser.add_argument('--scenes', type=int, default=128, help='of each world, at 16x')
    return parser


class Stopwatch:
    """Own seconds of functions that call each other."""

    def __init__(self) -> None:
        self.seconds: Counter = Counter()
        self._inner: list[float] = []

    def timed(self, name: str, function: Callable) -> Callable:
        @wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            self._inner.append(0.0)
            start = time.process_time()
            try:
                return function(*args, **kwargs)
            finally:
                took = time.process_time() - start
                self.seconds[name] += took - self._inner.pop()
                if self._inner:
                    self._inner[-1] += took

        return call


@contextmanager
def stages(watch: Stopwatch) -> Iterator[None]:
    """The world's functions report to the watch, wherever they have been imported to."""
    from wsp_mm.synthetic import observe, people, photograph, render, world

    functions = {
        'bodies posed': people.pose_bodies,
        'joints, boxes and outlines observed': observe.observe,
        'lens and noise': photograph.lens_and_grain,
        'JPEG': world.encode_picture,
        'record': world.encode_json,
    }
    methods = {
        'meshes and their trees': '__init__',
        'rays cast': 'look',
        'light developed': 'develop',
    }
    places: list[tuple[Any, str, Any]] = []
    for module in [m for n, m in sys.modules.items() if n.startswith('wsp_mm.synthetic.')]:
        for name, value in list(vars(module).items()):
            label = next(
                (label for label, function in functions.items() if value is function), None
            )
            if label is not None:
                places.append((module, name, watch.timed(label, value)))
    for label, name in methods.items():
        places.append((render.Stage, name, watch.timed(label, getattr(render.Stage, name))))
    before = [(where, name, vars(where)[name]) for where, name, _ in places]
    for where, name, timed in places:
        setattr(where, name, timed)
    try:
        yield
    finally:
        for where, name, value in before:
            setattr(where, name, value)


def requests_of(name: str, preset: str, count: int) -> tuple[list, Callable[[Any], int]]:
    """Scenes from all over a world's plan, and a function that makes one, encodes it and counts its
    pictures.

    Raises:
        WorldError: no such preset.
    """
    from wsp_mm.synthetic import parcels, scene, world
    from wsp_mm.synthetic.plan import get_preset, plan_world
    from wsp_mm.synthetic.worlds import KINDS

    if name == 'wild':
        plan = plan_world(get_preset(preset), 0)

        def make(request: Any) -> int:
            world.encode_scene(*scene.generate_scene(request))
            return 1
    else:
        kind = KINDS[name]
        plan = kind.plan(kind.get_preset(preset), 0)

        def make(request: Any) -> int:
            pictures, record = kind.generate(request)
            for picture in pictures:
                parcels.encode_picture(picture)
            parcels.encode_json(record.to_dict())
            return len(pictures)

    # Multiples of the golden ratio: however many scenes are taken, few and many persons are in
    # proportion.
    plan = sorted(plan, key=lambda request: getattr(request, 'num_persons', 1))
    return [plan[int(i * 0.6180339887 % 1 * len(plan))] for i in range(count)], make


def measure_world(name: str, args: argparse.Namespace) -> list[Table]:
    requests, make = requests_of(name, args.preset, args.scenes)
    # Empty rooms are rendered once for each subject of the lab, everything else that is kept once.
    for request in {getattr(request, 'subject', None): request for request in requests}.values():
        make(request)
    speed, growing, parts = [], {}, {}
    for _ in range(args.repeats):
        watch = Stopwatch()
        whole = watch.timed('the rest: who, where, camera, scenery', make)
        sizes, done, pictures, spent = sizes_up_to(args.scenes), 0, 0, 0.0
        with stages(watch):
            for size in sizes:
                start = time.process_time()
                pictures += sum(whole(request) for request in requests[done:size])
                spent, done = spent + time.process_time() - start, size
                growing.setdefault(size, []).append(spent)
        speed.append(pictures / spent)
        for label, seconds in watch.seconds.items():
            parts.setdefault(label, []).append(1e3 * seconds / pictures)
        parts.setdefault('all', []).append(1e3 * spent / pictures)
    table = Table(f'{name}, preset {args.preset}: a picture by stage', 'ms of a picture', 'all')
    table.rows = dict(sorted(parts.items(), key=lambda item: -sum(item[1])))
    table.notes = [
        f'{np.median(speed):.2f} pictures a second and core ({pictures} pictures of {done} scenes). Bound by '
        'arithmetic on the processor: skinned bodies and rays; a picture has one to some MB, the whole of it '
        'within the cache.'
    ]
    return [table, growth_table(f'{name}: making scenes', growing, 'scenes')]


def main(argv: list[str] | None = None) -> int:
    parser = build_parser()
    args = parser.parse_args(argv)
    if args.scenes < 16:
        parser.error('--scenes must be at least 16')
    import torch

    torch.set_num_threads(1)
    tables = []
    for name in args.worlds:
        tables += measure_world(name, args)
        print(f'{name}: measured', flush=True)
    finish(tables, args)
    return 0


if __name__ == '__main__':
    raise SystemExit(main())
