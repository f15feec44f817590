# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Root joints of many persons in camera space, by a trained network or by the boxes alone.

N persons. Boxes are (x, y, w, h) px of the image, positions mm in the camera's frame. An extended
box is square and padded: what is cropped.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wsp_mm.apis.boxes import ListedImage
from wsp_mm.apis.cameras import Cameras, check_view
from wsp_mm.apis.images import InputError
from wsp_mm.apis.models import Network, batched
from wsp_mm.datasets.annotations import image_size
from wsp_mm.datasets.detections import BoxFile
from wsp_mm.structures.bbox import crop_boxes, k_value
from wsp_mm.structures.camera import PinholeCamera
from wsp_mm.utils.files import progress_bar, write_text_atomic


@dataclass(frozen=True)
class RootPersons:
    """The persons of one image.

    Attributes:
        image: its entry in the list. camera: f and c, (2,) px.
        boxes: (M, 4) extended. scores: (M,).
    """

    image: ListedImage
    camera: dict
    boxes: np.ndarray
    scores: np.ndarray


def gather_persons(
    boxes: BoxFile,
    images: Mapping[int, ListedImage] | None = None,
    cameras: Cameras | None = None,
    root: str | Path = '.',
    network: Network | None = None,
) -> tuple[list[RootPersons], int]:
    """Group persons by image, with extended boxes and cameras.

    Args:
        boxes: raw or extended.
        images: id -> image, of :func:`wsp_mm.apis.boxes.read_annotations`; None: those that
            ``boxes`` names.
        cameras: of the images that bring no camera of their own.
        root: folder of the images; needed for sizes that no file gives.
        network: the one that will be asked; its test pipeline says how raw boxes are extended.

    Returns:
        One entry for each image that has a person, and the number of boxes that were left out
        because nothing of them lies within the image.

    Raises:
        InputError: an image without a camera, or with one that cannot have taken it, or that no
            file lists; cameras that no image needs; no person, but records of other categories.
        AnnotationError: raw boxes that are not x, y, w, h px.
        OSError: an image whose size must be looked up is missing or not an image.
    """
    extend = {} if network is None else network.crop_settings
    if images is None:
        images = {image_id: ListedImage(image_id, name) for image_id, name in boxes.images.items()}
    if boxes.notes and not len(boxes):
        raise InputError(f'{boxes.path}: {boxes.notes[0]}')
    persons, skipped, used, sizes = [], 0, False, {}
    for image_id, found in boxes.boxes.items():
        if not len(found):
            continue
        if image_id not in images:
            what = f'there are boxes of image {image_id}, which the annotations do not list'
            raise InputError(what)
        image = images[image_id]
        camera, size, name = image.camera, image.size, f'{image.file_name} (image {image_id})'
        if size is None and not (boxes.extended and camera):
            size = image_size(Path(root) / image.file_name)
        if size is not None:
            sizes[image_id] = size
        try:
            if camera is None:
                camera, used = cameras and cameras.for_image(image.file_name, size), True
            elif size is not None:
                check_view(camera, size)
        except InputError as error:
            raise InputError(f'{name}: {error}') from None
        if not camera:
            remedy = 'a camera is never guessed: give --focal, --camera or --assume-fov'
            raise InputError(f'{name} has no camera, and {remedy}')
        extended = np.asarray(found, dtype=np.float64)
        if not boxes.extended:
            extended = crop_boxes(extended, np.array(size), **extend)
        good = np.isfinite(extended).all(axis=1) & (extended[:, 2:] > 0).all(axis=1)
        skipped += int((~good).sum())
        if good.any():
            scores = np.asarray(boxes.scores[image_id])[good]
            persons.append(RootPersons(image, camera, extended[good], scores))
    boxes.check_convention(sizes)
    if cameras and persons and not used:
        raise InputError('every image has a camera of its own: the given one would change nothing')
    return persons, skipped


def k_roots(boxes: np.ndarray, camera: Mapping) -> np.ndarray:
    """Place roots by the boxes alone: the box's centre at depth k (gamma = 1).

    Args:
        boxes: (N, 4) extended. camera: f and c, (2,) px.

    Returns:
        (N, 3) mm.
    """
    camera = PinholeCamera(camera['f'], camera['c'])
    centers = boxes[:, :2] + boxes[:, 2:] / 2
    return camera.unproject(np.column_stack([centers, k_value(boxes, camera.f)]))


def predict_roots(
    persons: Sequence[RootPersons],
    out: str | Path,
    network: Network | None = None,
    root: str | Path = '.',
    batch_size: int = 32,
    progress: bool = False,
) -> int:
    """Write a bbox_root json (3DMPPE's): a list of {image_id, bbox, root_cam mm, score}.

    The boxes in it are extended. The file appears whole or not at all.

    Args:
        persons: of :func:`gather_persons`.
        out: the json.
        network: of kind 'root'; None: the k-value alone, and no image is opened.
        root: folder of the images, for a network.
        batch_size: persons that go through the network at once, across images.
        progress: show a progress bar.

    Returns:
        Number of persons whom the network put behind the camera; they got the k-value.

    Raises:
        InputError: an image that cannot be read, or is of another size than listed.
        OSError: ``out`` cannot be written.
    """
    roots = np.concatenate([np.zeros((0, 3)), *(k_roots(p.boxes, p.camera) for p in persons)])
    behind = 0
    if network is not None:
        with progress_bar(total=len(roots), unit='persons', show=progress) as bar:
            for batch in batched(enumerate(_crops(persons, network, root)), batch_size):
                found = network.predict([crop for _, crop in batch])
                for (i, _), pred in zip(batch, found, strict=True):
                    if np.isfinite(pred.root_cam).all() and pred.root_cam[0, 2] > 0:
                        roots[i] = pred.root_cam[0]
                    else:
                        behind += 1
                bar.update(len(batch))
    rows = [(p.image.id, *row) for p in persons for row in zip(p.boxes, p.scores, strict=True)]
    records = []
    for (image_id, box, score), position in zip(rows, roots.round(3).tolist(), strict=True):
        record = dict(image_id=image_id, bbox=box.round(3).tolist(), root_cam=position)
        records.append(dict(record, score=round(float(score), 6)))
    write_text_atomic(out, json.dumps(records, allow_nan=False))
    return behind


def _crops(persons: Sequence[RootPersons], network: Network, root: str | Path) -> Iterator[dict]:
    """Crop all persons; only one image is held at a time."""
    for group in persons:
        name = group.image.file_name
        try:
            image = group.image.read(root)
        except InputError as error:
            raise InputError(f'{Path(root) / name}: {error}') from None
        for box in group.boxes:
            yield network.crop(image, box[None], group.camera, name, bbox_extended=True)
