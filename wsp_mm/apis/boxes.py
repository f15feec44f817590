# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Boxes of persons in files: detect the persons of many images, and look their boxes up.

M boxes in an image, each (x, y, w, h) px.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from wsp_mm.apis.cameras import parse_camera
from wsp_mm.apis.images import InputError, join_notes, list_images, read_image
from wsp_mm.apis.models import batched
from wsp_mm.apis.partial import PartialFile, check_same_run
from wsp_mm.apis.sources import Frame
from wsp_mm.datasets.annotations import (
    OUTLINES,
    AnnotationError,
    check_lists,
    image_name,
    load_json,
    record_name,
)
from wsp_mm.datasets.columns import Column, read_columns
from wsp_mm.datasets.detections import (
    BOX_DECIMALS,
    SCORE_DECIMALS,
    BoxFile,
    NameIndex,
    choose_persons,
    read_boxes,
    write_boxes,
)
from wsp_mm.utils.files import progress_bar

#: Images whose boxes are checked against their size.
_CHECKED = 1000
_REMEDY = 'Give a json in the style of COCO (or MuPoTS-3D.json, MuCo-3DHP.json)'


@dataclass(frozen=True)
class ListedImage:
    """An image of a list.

    Attributes:
        id, file_name: in the list; the name is relative to the folder of the images.
        size: width and height px, None where the list does not say.
        camera: f and c px, None where the list does not say.
    """

    id: int
    file_name: str
    size: tuple[int, int] | None = None
    camera: dict | None = None

    def read(self, root: str | Path, notes: list[str] | None = None) -> np.ndarray:
        """Read the image, (H, W, 3) uint8 BGR, see :func:`read_image`.

        Raises:
            InputError: it cannot be read, or is not of the listed size.
        """
        image = read_image(Path(root) / self.file_name, notes)
        if self.size not in (None, image.shape[1::-1]):
            sizes = *image.shape[1::-1], *self.size
            raise InputError('{} x {} px, but the list says {} x {}'.format(*sizes))
        return image


def images_of_folder(folder: str | Path) -> list[ListedImage]:
    """Number the images of a folder and of the folders in it from 1, in natural order.

    Raises:
        InputError: no such folder, or no image in it.
    """
    names = (path.relative_to(folder).as_posix() for path in list_images(folder))
    return [ListedImage(i, name) for i, name in enumerate(names, start=1)]


def read_annotations(path: str | Path) -> tuple[dict[int, ListedImage], BoxFile]:
    """Read the images, cameras and labelled persons of a json in the style of COCO.

    A camera is ``intrinsic`` (MuPoTS-3D.json) or ``f`` and ``c`` (MuCo-3DHP.json) of an image.
    Crowds, other categories than 1 (person) and persons with ``is_valid`` 0 have no box.

    Returns:
        id -> image, and the raw boxes of the persons.

    Raises:
        AnnotationError: no such file, not of that layout, or a bad record.
    """
    content = check_lists(load_json(path, drop=OUTLINES), ['images'], path, _REMEDY)
    images: dict[int, ListedImage] = {}
    integer, side = Column(dtype=np.int64), Column(dtype=np.int64, default=0)
    columns = dict(id=integer, width=side, height=side)
    found, _ = read_columns(content['images'], columns, path, 'image', remedy=_REMEDY)
    for i, (image_id, *size) in enumerate(zip(*(v.tolist() for v in found.values()), strict=True)):
        record = content['images'][i]
        try:
            name = image_name(record.get('file_name'))
            if not name or image_id in images:
                raise InputError('it has no file_name, or the id of another image')
            camera = {k: record[k] for k in ('intrinsic', 'f', 'c') if record.get(k) is not None}
            camera = parse_camera(camera) if camera else None
        except InputError as error:
            name = record_name('image', record, i)
            raise AnnotationError('bad image', path, name, str(error), _REMEDY) from None
        size = tuple(size) if min(size) > 0 else None
        images[image_id] = ListedImage(image_id, name, size, camera)
    if content.get('annotations') is not None:
        check_lists(content, ['annotations'], path, _REMEDY, empty=True)
    records = content.get('annotations') or []
    chosen, notes = choose_persons(records)
    persons = [records[i] for i in chosen if _has_box(records[i])]
    columns = dict(image_id=integer, bbox=Column((4,)))
    found, _ = read_columns(persons, columns, path, 'annotation', remedy=_REMEDY)
    boxes: dict[int, list] = {image_id: [] for image_id in images}
    for i, (image_id, box) in enumerate(zip(*found.values(), strict=True)):
        if image_id not in boxes:
            name, what = record_name('annotation', persons[i], i), f'there is no image {image_id}'
            raise AnnotationError('unknown image', path, name, what, _REMEDY)
        boxes[image_id].append(box)
    return images, BoxFile(
        images={image.id: image.file_name for image in images.values()},
        boxes={image_id: np.reshape(rows, (-1, 4)) for image_id, rows in boxes.items()},
        scores={image_id: np.ones(len(rows)) for image_id, rows in boxes.items()},
        extended=False,
        path=path,
        notes=notes,
    )


def _has_box(record: object) -> bool:
    record = record if isinstance(record, Mapping) else {}  # the reader reports it
    return bool(record.get('is_valid', 1) and not record.get('iscrowd'))


def detect_persons(
    detector: Any,
    images: Sequence[ListedImage],
    root: str | Path,
    out: str | Path,
    batch_size: int = 8,
    resume: bool = False,
    skip_bad: bool = False,
    progress: bool = True,
) -> BoxFile:
    """Detect the persons in many images and write a file of boxes.

    While the run goes on, ``OUT.partial`` grows by a line a batch (see
    :class:`~wsp_mm.apis.partial.PartialFile`). Batches are the same in every run, so a resumed run
    gives the boxes of an uninterrupted one to the last bit.

    Args:
        detector: :class:`wsp_mm.apis.detector.PersonDetector`, or what has its ``detect`` and
            ``identity``.
        images: what to look at. root: folder that their names are relative to.
        out: the json, see :func:`write_boxes`.
        batch_size: images read and given to the detector at once.
        resume: continue a stopped run; a finished one is left as it is.
        skip_bad: skip and report images that cannot be read, instead of stopping at the first.
        progress: show a progress bar.

    Returns:
        What was written; ``info['skipped']`` lists id, file_name and why of skipped images,
        ``info['notes']`` what :func:`read_image` has to say.

    Raises:
        InputError: an image cannot be read (``skip_bad`` off).
        OutputError: ``resume`` finds output of another run.
    """
    out, names = Path(out), {image.id: image.file_name for image in images}
    listed = json.dumps([(image.id, image.file_name, image.size) for image in images]).encode()
    run = dict(detector=dict(detector.identity), batch_size=batch_size, images=len(images))
    run['images_sha256'] = hashlib.sha256(listed).hexdigest()
    partial = out.with_name(f'{out.name}.partial')
    if resume and out.exists() and not partial.exists():
        done = read_boxes(out)
        check_same_run(out, done.info, run)
        return done
    with PartialFile(partial, run, resume) as log:
        entries = [entry for line in log for entry in line]
        start, total = len(entries), len(images)
        with progress_bar(total=total, unit='images', initial=start, show=progress) as bar:
            for batch in batched(images[start:], batch_size):
                entries += (found := _detect_batch(detector, batch, root, skip_bad))
                log.append(found)
                bar.update(len(batch))
    good = [entry for entry in entries if 'why' not in entry]
    skipped = [entry | dict(file_name=names[entry['id']]) for entry in entries if 'why' in entry]
    if skipped and not skip_bad:  # of the run before
        raise _unreadable(skipped[0]['file_name'], skipped[0]['why'])
    notes = join_notes((names[e['id']], note) for e in good for note in e.get('notes', ()))
    write_boxes(
        out,
        [(entry['id'], names[entry['id']]) for entry in good],
        {entry['id']: entry['boxes'] for entry in good},
        {entry['id']: entry['scores'] for entry in good},
        info=dict(run, skipped=skipped, **(dict(notes=notes) if notes else {})),
    )
    partial.unlink()
    return read_boxes(out)


def _detect_batch(detector: Any, batch: list, root: str | Path, skip_bad: bool) -> list[dict]:
    """Return a batch's entries in the partial file: id and boxes, scores, or why there are none."""
    pixels, entries = [], []
    for image in batch:
        notes: list[str] = []
        try:
            pixels.append(image.read(root, notes))
            entries.append(dict(id=image.id, **(dict(notes=notes) if notes else {})))
        except InputError as error:
            if not skip_bad:
                raise _unreadable(image.file_name, error) from None
            entries.append(dict(id=image.id, why=str(error)))
    found = iter(detector.detect(pixels))
    for entry in entries:
        if 'why' not in entry:
            boxes, scores = (np.asarray(values, dtype=np.float64) for values in next(found))
            entry['boxes'] = boxes.round(BOX_DECIMALS).tolist()
            entry['scores'] = scores.round(SCORE_DECIMALS).tolist()
    return entries


def _unreadable(name: str, why: object) -> InputError:
    return InputError(f'{name}: {why}. Fix the image and go on with --resume, or add --skip-bad')


class GivenBoxes:
    """Boxes of a file, found by the name of a frame.

    An image is looked up by its name within the folder, then as :class:`NameIndex` does. Entries
    that name no file, as in COCO's result lists, are found by the number that the file name is
    (``000000000785.jpg``), or that a frame of a video has. Frames of a video are named
    ``NAME#INDEX``.

    Args:
        path: as :func:`read_boxes` reads.
        score_thr: boxes with a lower score are left out, 0 to 1; None keeps all.

    Raises:
        InputError: ``score_thr`` is outside 0 to 1.
    """

    def __init__(self, path: str | Path, score_thr: float | None = None) -> None:
        if score_thr is not None and not 0 <= score_thr <= 1:
            raise InputError(f'score_thr {score_thr} must be from 0 to 1')
        self.path, self.score_thr, self.file = Path(path), score_thr, read_boxes(path)
        self.extended = self.file.extended
        self._ids = {name: i for i, name in self.file.images.items() if name}
        self._names = NameIndex(self._ids)
        self._nameless = {image_id for image_id, name in self.file.images.items() if not name}
        self._owners: dict[int, str] = {}
        self._sizes: dict[int, tuple[int, int]] = {}

    def assign(self, names: Sequence[str]) -> None:
        """Give each entry to one of the images of a run; exact names go first.

        Raises:
            InputError: an entry fits several images.
        """
        self._owners = {}
        for name in sorted(names, key=lambda name: name not in self._names.names):
            if (image_id := self._image_id(name)) is not None:
                other = self._owners.setdefault(image_id, name)
                if other != name and other not in self._names.names:
                    listed = self.file.images[image_id] or image_id
                    remedy = 'give them file names with folders, or fewer images'
                    what = f'boxes of image {listed} fit {other} and {name}'
                    raise InputError(f'{self.path}: {what}: {remedy}')

    def check(self) -> None:
        """Check the boxes of the frames that were looked up.

        Raises:
            AnnotationError: they are not x, y, w, h px.
        """
        self.file.check_convention(self._sizes)

    def find(self, frame: Frame) -> tuple[np.ndarray, np.ndarray]:
        """Return the boxes (M, 4) px and scores (M,) of a frame, best first; M may be 0.

        Raises:
            InputError: the file does not list the image.
        """
        image_id = self._image_id(frame.file_name, frame.index)
        if image_id is None or self._owners.get(image_id, frame.file_name) != frame.file_name:
            raise InputError(f'{self.path} does not list it')
        if len(self._sizes) < _CHECKED:
            self._sizes[image_id] = frame.size
        boxes, scores = self.file.boxes[image_id], self.file.scores[image_id]
        keep = scores >= (-np.inf if self.score_thr is None else self.score_thr)
        return boxes[keep], scores[keep]

    def _image_id(self, name: str, index: int | None = None) -> int | None:
        is_video = name.endswith(f'#{index}')
        if (listed := self._names.find(name, stem=not is_video)) is not None:
            return self._ids[listed]
        number = str(index) if is_video else Path(name).stem
        return int(number) if number.isdecimal() and int(number) in self._nameless else None
