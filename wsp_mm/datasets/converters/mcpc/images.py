# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""The image files of the sources against what the annotation files say of them."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from wsp_mm.datasets.annotations import Findings, Verdict, image_header, missing_images
from wsp_mm.datasets.converters.mcpc.joints import JOINTS_TO_BOX, joint_boxes, unlabel_misplaced
from wsp_mm.datasets.converters.mcpc.sources import JOINT_SET, PersonTable
from wsp_mm.structures.relative_depth import scale_lengths
from wsp_mm.utils.files import progress_bar

#: Joints are labelled outside of an image by less than this, px.
SLACK_PX = 5
#: Share of images whose joints fit the exchanged sides alone, from which a file is wrong.
EXCHANGED = 0.02


def check_source_images(
    table: PersonTable, roots: Mapping[str, Path], findings: Findings, progress: bool = False
) -> None:
    """Check that the images are there, and their sizes, from their headers.

    A source without any image is allowed (annotations alone are enough to build) and counted as
    unchecked. Once there are some, a listed one that is absent is a bad record. Sizes are read of
    the images that the file gives none for, and compared for those with two persons or more; where
    width and height are exchanged (early files of CrowdPose), the image's own are taken.

    Args:
        table: images without width and height get them, where the image can be read; bad ones are
            removed.
        roots: source -> its folder.
        findings: gets what is absent or could not be checked.
        progress: show a progress bar.

    Raises:
        AnnotationError: an image is absent or unreadable, most images are of another size than
            annotated, or (no image is there) joints fit their images only with exchanged sides;
            and bad records are not skipped.
    """
    gone = np.zeros(len(table.images), dtype=bool)
    crowded = np.bincount(table.persons['image'], minlength=len(gone)) > 1
    for key in dict.fromkeys(image.key for image in table.images):
        rows = [i for i, image in enumerate(table.images) if image.key == key]
        root, label = roots[key[0]], ' '.join(key)
        absent = missing_images(root, [table.images[i].file_name for i in rows])
        if absent.all():
            findings.unchecked[f'{label}: images not looked for, none there'] += len(rows)
            findings.notes.append(f'{label}: no image under {root}; built from annotations alone')
            _refuse_exchanged(table, rows, findings)
            continue
        compared, found = [], []
        bar = progress_bar(
            zip(rows, absent, strict=True), total=len(rows), label=f'looking at images of {label}',
            show=progress,
        )  # fmt: skip
        for i, is_absent in bar:
            image, path = table.images[i], root / table.images[i].file_name
            name, gone[i] = f'image {image.source_id}', True
            if is_absent:
                what = f'it lists {path}, which is not there'
                findings.report('missing image', image.file, name, what)
                continue
            try:
                header = image_header(path) if image.width is None or crowded[i] else None
            except OSError as error:
                what = f'no image can be read here ({error})'
                findings.report('unreadable image', path, name, what)
                continue
            gone[i] = False
            if image.width is None:
                image.width, image.height = header[:2]
            elif crowded[i]:
                compared.append(i)
                found.append(header)
        if compared:
            gone[compared] |= ~_compare_sizes(table, compared, np.array(found), root, findings)
    table.remove_images(gone)
    _check_joints_again(table, findings)


def _compare_sizes(
    table: PersonTable, rows: list[int], found: np.ndarray, root: Path, findings: Findings
) -> np.ndarray:
    """Compare sizes of images of one file with those found (n, 3); return (n,) bool, the good."""
    images = [table.images[i] for i in rows]
    listed = np.array([(image.width, image.height) for image in images])
    size, turned = found[:, :2], found[:, 2] > 0
    same = (listed == size).all(axis=1)
    mended = ~same & (listed == size[:, ::-1]).all(axis=1) & ~turned
    for i in np.flatnonzero(mended).tolist():
        images[i].width, images[i].height = size[i].tolist()
    if mended.any():
        share = f'{int(mended.sum()):,} of {len(rows):,} images; those of the images are taken'
        findings.notes.append(f'{images[0].file}: width and height are exchanged in {share}')

    def what(i: int) -> str:
        sizes = '{} x {} px, its annotation {} x {}'.format(*size[i], *listed[i])
        hint = 'labelled before it was turned by EXIF?' if turned[i] else 'resized since?'
        return f'{root / images[i].file_name} has {sizes}: {hint}'

    ratio = np.abs(np.log(size.prod(axis=1) / listed.prod(axis=1)))
    verdict = Verdict('image of another size', ~same & ~mended, what, ratio)
    names = [f'image {image.source_id}' for image in images]
    remedy = 'Take the images that were labelled'
    return findings.judge(verdict, images[0].file, names.__getitem__, remedy)


def _refuse_exchanged(table: PersonTable, rows: list[int], findings: Findings) -> None:
    """Report a file whose joints fit their images only with width and height exchanged."""
    persons, images = table.persons, table.images
    size = np.full((len(images), 2), np.inf)
    size[rows] = [images[i].size for i in rows]
    here = np.flatnonzero(np.isfinite(size[persons['image'], 0]))
    boxes = joint_boxes(persons['keypoints'][here], persons['visible'][here])
    corner = np.zeros((len(images), 2))
    far = boxes[:, :2] + boxes[:, 2:] * (1 + 1 / JOINTS_TO_BOX) / 2
    np.maximum.at(corner, persons['image'][here], far)
    corner, size = corner[rows] - SLACK_PX, size[rows]
    exchanged = (corner > size).any(axis=1) & (corner <= size[:, ::-1]).all(axis=1)
    if exchanged.sum() > EXCHANGED * (corner > 0).any(axis=1).sum():
        first = images[rows[int(np.argmax(exchanged))]]
        findings.report(
            'exchanged image size', first.file, f'image {first.source_id}',
            f'its joints do not fit {first.width} x {first.height} px, but the exchanged sides; '
            f'{int(exchanged.sum()):,} images are like that',
            'Put the images in their folder, so that their sizes are read, or correct the file',
        )  # fmt: skip


def _check_joints_again(table: PersonTable, findings: Findings) -> None:
    """Look at the joints of MPII again: its sizes are known from the images alone."""
    persons = table.persons
    for split in dict.fromkeys(image.split for image in table.images if image.source == 'mpii'):
        of = [image.key == ('mpii', split) for image in table.images]
        rows = np.flatnonzero(np.array(of)[persons['image']])
        late = {
            name: persons[name][rows] for name in ('keypoints', 'visible', 'bbox', 'image', 'id')
        }
        late['bbox'] = np.full_like(late['bbox'], np.nan)
        changed = rows[unlabel_misplaced(late, table.images, findings)]
        persons['visible'][rows] = late['visible']
        joints, visible = persons['keypoints'][changed], persons['visible'][changed]
        lengths = scale_lengths(joints, visible, np.full(len(changed), np.nan), JOINT_SET)
        for name in ('head', 'torso'):
            persons[f'length_{name}'][changed] = lengths[name]
        persons['bbox'][changed] = joint_boxes(joints, visible)
    labelled = (persons['visible'] > 0).any(axis=1)
    table.count(~labelled, 'no labelled joint')
    table.keep(labelled)
