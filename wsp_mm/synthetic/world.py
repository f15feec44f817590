# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Makes the embedded world: plan -> pictures and scene records -> annotation files -> truth tables.

Pictures are made by worker processes, each a single thread, so that bytes do not depend on how many
there are. Every file is written whole; a run that stops in the middle is taken up again by the same
command.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from wsp_mm.synthetic.layouts.base import SourceWriter
from wsp_mm.synthetic.layouts.coco import CocoWriter
from wsp_mm.synthetic.layouts.crowdpose import CrowdPoseWriter
from wsp_mm.synthetic.layouts.files import (
    WorldError,
    encode_json,
    remove_temporaries,
    write_bytes,
    write_json,
)
from wsp_mm.synthetic.layouts.mpii import MpiiWriter
from wsp_mm.synthetic.layouts.posetrack18 import PoseTrack18Writer
from wsp_mm.synthetic.plan import SOURCES, Preset, fingerprint, plan_world
from wsp_mm.synthetic.processes import in_processes, progress
from wsp_mm.synthetic.record import Scene
from wsp_mm.synthetic.scene import SceneRequest, generate_scene

# To be raised whenever a request's picture or record changes, lest old and new be mixed in one
# folder.
FORMAT = 2
JPEG_QUALITY = 92
WRITERS: dict[str, type[SourceWriter]] = {
    writer.source: writer for writer in (CocoWriter, MpiiWriter, PoseTrack18Writer, CrowdPoseWriter)
}

Generate = Callable[[SceneRequest], tuple[np.ndarray, Scene]]


@dataclass
class Report:
    """What a run did.

    Attributes:
        rendered, kept: pictures made now, and found from an earlier run.
        seconds: spent on the pictures made now. workers: processes that made them.
        counts: (source, split) -> pictures, persons (with a joint in the picture), annotated
            persons, and of these those with a labelled ankle.
        paths: annotation and truth files.
    """

    rendered: int = 0
    kept: int = 0
    seconds: float = 0.0
    workers: int = 1
    counts: dict[tuple[str, str], dict[str, int]] = field(default_factory=dict)
    paths: list[Path] = field(default_factory=list)

    @property
    def images_per_second_per_core(self) -> float:
        return (
            self.rendered / self.seconds / max(1, self.workers)
            if self.seconds > 0
            else float('nan')
        )


def make_world(
    out: Path,
    preset: Preset,
    seed: int = 0,
    workers: int = 1,
    mpii_mat: bool = False,
    generate: Generate = generate_scene,
) -> Report:
    """Make the world in the folder ``out``, or go on with it.

    Args:
        workers: processes; 0 makes the pictures in this process (for tests and debugging).
        mpii_mat: write MPII's official MATLAB file, too.
        generate: makes one picture (H, W, 3) uint8 RGB and its record; picklable unless ``workers``
            is 0.

    Raises:
        WorldError: ``out`` holds something else or cannot be written, or a picture cannot be made.
    """
    out = Path(out)
    requests = plan_world(preset, seed)
    claim(out, kind='pictures', preset=preset, seed=seed, plan=fingerprint(requests))
    todo = [request for request in requests if not is_done(out, request)]
    report = Report(rendered=len(todo), kept=len(requests) - len(todo), workers=workers)
    start = time.perf_counter()
    in_processes(partial(make_scene, out, generate=generate), todo, workers, 'pictures')
    report.seconds = time.perf_counter() - start
    write_annotations(out, read_scenes(out, requests), len(requests), report, mpii_mat)
    return report


def claim(
    out: Path,
    name: str = 'world.json',
    folders: tuple[str, ...] = (*SOURCES, 'truth'),
    **identity: object,
) -> None:
    """Take ``folders`` of ``out`` for this world, or find that they are this world's already.

    ``out / name`` says whose they are; the worlds that share ``out`` have a file each.

    Raises:
        WorldError: a folder belongs to another world or to real data, or cannot be written.
    """
    preset = identity.pop('preset')
    identity = {'format': FORMAT, 'preset': vars(preset), **identity}
    path = out / name
    removal = f'rm -r {out}/{{{",".join((name, *folders))}}}'
    if path.is_file():
        try:
            found = json.loads(path.read_text())
        except ValueError as error:
            raise WorldError(f'{path}: broken json ({error}); begin anew: {removal}') from error
        if found != json.loads(json.dumps(identity)):
            differing = {
                key: (found.get(key), value)
                for key, value in identity.items()
                if found.get(key) != value
            }
            raise WorldError(
                f'{out} already holds another world: '
                + '; '.join(
                    f'{key} is {old!r}, asked for is {new!r}'
                    for key, (old, new) in differing.items()
                )
                + f'. Choose another --out, or delete it first: {removal}'
            )
    else:
        taken = [folder for folder in folders if (out / folder).exists()]
        if taken:
            raise WorldError(
                f'{out} holds {taken} but no {name}, so it may be real data, and nothing is written there. '
                'Choose another --out'
            )
        write_json(path, identity)
    for folder in folders:
        remove_temporaries(out / folder)


def picture_path(out: Path, request: SceneRequest | Scene) -> Path:
    return out / request.source / request.file_name


def scene_path(out: Path, request: SceneRequest | Scene) -> Path:
    return out / 'truth' / 'scenes' / f'{request.scene_id:06d}.json'


def is_done(out: Path, request: SceneRequest) -> bool:
    """Whether picture and record are there; that they fit the plan, ``world.json`` vouches for.

    The record is written after the picture, and both as a whole.
    """
    return all(
        path.is_file() and path.stat().st_size > 0
        for path in (scene_path(out, request), picture_path(out, request))
    )


def encode_picture(image: np.ndarray) -> bytes:
    """A picture (H, W, 3) uint8 RGB as JPEG.

    Raises:
        ValueError: it cannot be encoded. cv2.error: it is no picture.
    """
    done, data = cv2.imencode(
        '.jpg', cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    )
    if not done:
        raise ValueError('the picture cannot be encoded')
    return data.tobytes()


def encode_scene(image: np.ndarray, scene: Scene) -> tuple[bytes, bytes]:
    """What is written of a picture (H, W, 3) uint8 RGB and its record: a JPEG and a json file.

    Raises:
        ValueError: the picture cannot be encoded, or the record holds nan. cv2.error: it is no
            picture.
    """
    return encode_picture(image), encode_json(scene.to_dict())


def make_scene(out: Path, request: SceneRequest, generate: Generate) -> None:
    """Make one picture with its record.

    Raises:
        WorldError: it cannot be made (the message names the scene) or not be written.
    """
    try:
        picture, record = encode_scene(*generate(request))
    except Exception as error:
        raise WorldError(
            f'scene {request.scene_id} cannot be made: {type(error).__name__}: {error} ({request})'
        ) from error
    write_bytes(picture_path(out, request), picture)
    write_bytes(scene_path(out, request), record)


def read_scenes(out: Path, requests: Iterable[SceneRequest]) -> Iterator[Scene]:
    """The records of all pictures, in the plan's order.

    Raises:
        WorldError: one is broken or belongs to another plan; the message names it.
    """
    for request in requests:
        path = scene_path(out, request)
        try:
            scene = Scene.from_dict(json.loads(path.read_text()))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise WorldError(
                f'{path}: not a scene record ({error!r}); delete it and run again'
            ) from error
        for name in ('scene_id', 'source', 'split', 'file_name', 'width', 'height'):
            if getattr(scene, name) != getattr(request, name):
                raise WorldError(
                    f'{path}: {name} is {getattr(scene, name)!r}, the plan says {getattr(request, name)!r}; '
                    'delete it and run again'
                )
        yield scene


def write_annotations(
    out: Path,
    scenes: Iterable[Scene],
    total: int,
    report: Report,
    mpii_mat: bool = False,
    truth: bool = True,
) -> None:
    """Write every source's annotation files and truth tables; fills ``report.counts`` and
    ``report.paths``.

    Args:
        total: number of scenes, for the progress bar. truth: write the truth tables, too.
    """
    writers = {source: writer(keep_truth=truth) for source, writer in WRITERS.items()}
    with progress(total, 'records') as bar:
        for scene in scenes:
            writers[scene.source].add(scene)
            count = report.counts.setdefault(
                (scene.source, scene.split), {'pictures': 0, 'persons': 0}
            )
            count['pictures'] += 1
            count['persons'] += len(scene.persons)
            bar.update(1)
    for (source, split), count in report.counts.items():
        count['annotated'] = writers[source].annotated[split]
        count['with_ankle'] = writers[source].with_ankle[split]
    for writer in writers.values():
        report.paths += writer.write(out)
        report.paths += [table.write(out) for table in writer.truth.values()]
        if mpii_mat and isinstance(writer, MpiiWriter):
            report.paths.append(writer.write_mat(out))


def verify_world(
    out: Path,
    preset: Preset,
    seed: int = 0,
    workers: int = 1,
    count: int = -1,
    generate: Generate = generate_scene,
    check: Callable[[Scene, SceneRequest], list[str]] | None = None,
) -> tuple[list[str], int]:
    """Check a finished world: every picture's geometry, and that its files are what the seed makes.

    Args:
        count: how many pictures, evenly spread; negative takes all.
        generate: as for :func:`make_world`.
        check: finds what is wrong with a record; by default
            :func:`wsp_mm.synthetic.verify.verify_scene`.

    Returns:
        the problems, each naming its scene, and the number of pictures that were checked.

    Raises:
        WorldError: the world is not finished.
    """
    if check is None:
        from wsp_mm.synthetic.verify import verify_scene as check
    out, requests = Path(out), plan_world(preset, seed)
    missing = [request for request in requests if not is_done(out, request)]
    if missing:
        raise WorldError(
            f'{len(missing)} pictures of the world in {out} are not there, the first is '
            f'{picture_path(out, missing[0])}; make it first'
        )
    if 0 <= count < len(requests):
        requests = [
            requests[i] for i in np.linspace(0, len(requests) - 1, count).round().astype(int)
        ]
    found = in_processes(
        partial(_verify, out, generate=generate, check=check), requests, workers, 'checks'
    )
    return [problem for problems in found for problem in problems], len(requests)


def _verify(out: Path, request: SceneRequest, generate: Generate, check: Callable) -> list[str]:
    (scene,) = read_scenes(out, [request])
    problems = list(check(scene, request))
    paths = (picture_path(out, request), scene_path(out, request))
    for path, expected in zip(paths, encode_scene(*generate(request)), strict=True):
        if path.read_bytes() != expected:
            problems.append(
                f'scene {request.scene_id}: {path} is not what this version makes of the seed'
            )
    return [f'{problem} ({request.source}/{request.file_name})' for problem in problems]
