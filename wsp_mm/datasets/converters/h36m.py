# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Convert Human3.6M's annotations to the arrays that are read at run time.

Files that look alike differ in their camera convention, and the wrong one moves a person by metres.
So the convention of every camera is found by reprojection to the labelled boxes or pixels. Boxes
that a layout lacks are computed as 3DMPPE's are, and pixels are projected without lens distortion
as PoseNet's are: a frame is the same sample from either layout.

N frames, 17 joints (``h36m17``).
"""

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from wsp_mm.datasets.annotations import AnnotationError, Findings, Verdict
from wsp_mm.datasets.converters.h36m_layouts import Frames, Reader, Reader3DMPPE, ReaderMMPose
from wsp_mm.datasets.h36m_arrays import write_arrays
from wsp_mm.datasets.plausibility import body_size, camera_view, root_depth
from wsp_mm.structures.bbox import crop_boxes, joints_boxes, to_corners
from wsp_mm.structures.camera import PinholeCamera
from wsp_mm.structures.h36m import (
    ACTIONS,
    BROKEN,
    CAMERA_IDS,
    SUBJECTS,
    TEST_STEP,
    TRAIN_STEP,
    sequence_key,
)

LAYOUTS: dict[str, type[Reader]] = {'3dmppe': Reader3DMPPE, 'mmpose': ReaderMMPose}

#: Largest median error of the right convention, px. Leaving out lens distortion costs 1 to 3.
TOLERANCE_PX = 10.0
#: Frames of each camera that are checked, spread evenly.
CHECKED_FRAMES = 50


def convert_h36m(
    root: str | Path,
    out: str | Path,
    layout: str = '3dmppe',
    annotations: str | Path | None = None,
    subjects: Sequence[int] = SUBJECTS,
    steps: Sequence[int] = (TRAIN_STEP, TEST_STEP),
    skip_bad: bool = False,
    tolerance: float = TOLERANCE_PX,
    progress: Callable[[str], None] = lambda name: None,
) -> list[str]:
    """Write the arrays: all of them, or none.

    Args:
        root: the data root. out: folder of the arrays.
        layout: ``'3dmppe'`` or ``'mmpose'``.
        annotations: their folder; None: the layout's, below the data root.
        subjects: whose frames. steps: frames whose number is a multiple of one of these.
        skip_bad: drop and count bad records instead of raising at the first.
        tolerance: of the check of the camera convention, px.
        progress: called with the name of each file before it is read.

    Returns:
        What a user should know, in sentences. The arrays keep them, too.

    Raises:
        AnnotationError: a file is missing, cut off or not in this layout, a record is bad, or most
            persons have another size or distance than people (metres, root-relative poses).
    """
    findings, kind = Findings(skip_bad=skip_bad), LAYOUTS[layout]
    folder = Path(annotations or Path(root, kind.folder))
    reader = kind(folder, subjects, steps, findings, progress)
    cameras: dict[tuple[int, int], PinholeCamera] = {}
    parts = [_to_camera(frames, reader, cameras, tolerance) for frames in reader]
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    notes = [
        *reader.notes,
        *(f'left out {count:,} frames {why}' for why, count in reader.left_out.items()),
        *_absent(columns, subjects),
        *findings.implausible_notes(),
        *(f'skipped {count:,} x {kind}' for kind, count in findings.counts().items()),
        *(f'skipped: {error}' for error in findings.bad[:3]),
    ]
    rows = [[*key, *cam.f.tolist(), *cam.c.tolist()] for key, cam in sorted(cameras.items())]
    header = dict(layout=layout, images=kind.images, subjects=list(subjects), steps=list(steps))
    header |= dict(size_slack=kind.size_slack, cameras=rows, notes=notes)
    write_arrays(out, header, columns)
    return notes


def _absent(columns: dict[str, np.ndarray], subjects: Sequence[int]) -> list[str]:
    """A note about the sequences that Human3.6M has of these subjects, and the arrays have not."""
    names = ('subject', 'action', 'subaction', 'camera')
    present = np.unique(np.stack([columns[name] for name in names], axis=1), axis=0).tolist()
    cameras = range(1, len(CAMERA_IDS) + 1)
    every = itertools.product(subjects, range(len(ACTIONS)), (1, 2), cameras)
    absent = sorted(set(every) - {*map(tuple, present), BROKEN})
    shown = ', '.join(sequence_key(*key) for key in absent[:3]) + (', ...' if absent[3:] else '')
    return [f'{len(absent)} sequences of {tuple(subjects)} are absent: {shown}'] if absent else []


def _to_camera(
    frames: Frames,
    reader: Reader,
    cameras: dict[tuple[int, int], PinholeCamera],
    tolerance: float,
) -> dict[str, np.ndarray]:
    """The columns of frames: joints in the camera frame, boxes that are there; adds cameras."""

    def drop(bad: np.ndarray, kind: str, what: str) -> None:
        name = frames.name.__getitem__
        frames.keep(reader.findings.drop(bad, kind, frames.file, name, what, reader.remedy))

    def judge(verdict: Verdict) -> None:
        name = frames.name.__getitem__
        frames.keep(reader.findings.judge(verdict, frames.file, name, reader.remedy))

    infinite = ~np.isfinite(frames.joints).all(axis=(1, 2))
    if frames.pixels is not None:
        infinite |= ~np.isfinite(frames.pixels).all(axis=(1, 2))
    drop(infinite, 'bad joints', 'a joint is nan or infinite')
    judge(body_size(frames.joints, 'h36m17'))
    joints = np.full_like(frames.joints, np.nan)
    pixels = np.zeros(joints[..., :2].shape)
    for subject, number in np.unique(frames.key[:, [0, 3]], axis=0).tolist():
        of = np.flatnonzero((frames.key[:, [0, 3]] == (subject, number)).all(axis=1))
        where = f'subject {subject}, camera {number} ({CAMERA_IDS[number - 1]})'
        try:
            conventions = frames.cameras(subject, number)
            intrinsics = next(iter(conventions.values()))
            view = camera_view([intrinsics.f], [intrinsics.c], frames.size[of[:1]])
            if view.bad[0]:
                raise ValueError(view.what(0))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            what = f'{type(error).__name__}: {error}; {len(of):,} frames were taken with it'
            reader.findings.add(reader.error('bad camera', frames.camera_file, what, where))
            continue
        chosen, errors = _choose(frames, of, conventions)
        if not errors[chosen] <= tolerance:
            found = ', '.join(f'{name}: {error:,.1f} px' for name, error in errors.items())
            if not np.abs(frames.joints[of, 0]).max(initial=0) > 1:
                found += '; root-relative? all roots lie at the origin'
            raise AnnotationError(
                'camera convention', frames.file, where,
                'no camera convention brings the joints to where the annotations have them, within '
                f'{tolerance:g} px ({found})',
                f'{reader.remedy}, all files of the subject alike; files of your own whose boxes '
                'follow another rule need a larger --convention-tolerance',
            )  # fmt: skip
        if chosen != next(iter(conventions)):
            reader.notes.append(f'{frames.file}: {where}: the {chosen} was converted')
        cameras[subject, number] = camera = conventions[chosen]
        joints[of] = camera.to_camera(frames.joints[of])
        pixels[of] = camera.project(joints[of])[..., :2]
    frames.joints, frames.pixels = joints, pixels
    frames.keep(np.isfinite(joints).all(axis=(1, 2)))
    judge(root_depth(frames.joints[:, 0, 2]))
    drop((frames.joints[..., 2] <= 0).any(axis=1), 'bad joints', 'a joint is behind the camera')
    if frames.boxes is None:
        frames.boxes = joints_boxes(frames.pixels)
    bad = ~np.isfinite(crop_boxes(frames.boxes, frames.size)).all(axis=1)
    drop(bad, 'bad box', 'its bbox has no area within its image')
    names = ('subject', 'action', 'subaction', 'camera', 'frame')
    own = ('id', 'image_id', 'size', 'joints', 'file_name')
    columns = {name: getattr(frames, name) for name in own}
    return dict(zip(names, frames.key.T, strict=True), bbox=frames.boxes, **columns)


def _choose(
    frames: Frames, of: np.ndarray, conventions: dict[str, PinholeCamera]
) -> tuple[str, dict[str, float]]:
    """The convention under which joints land nearest to the labels, and each one's error, px.

    The error is the median over frames of the largest difference of a box side, or of the distance
    of joints where the layout labels these. Boxes are clipped to the image, since some labels are.
    """
    some = of[np.linspace(0, len(of) - 1, min(CHECKED_FRAMES, len(of))).astype(int)]
    errors = {}
    for name, camera in conventions.items():
        pixels = camera.project(camera.to_camera(frames.joints[some]))[..., :2]
        if frames.boxes is None:
            off = np.linalg.norm(pixels - frames.pixels[some], axis=-1)
        else:
            boxes, limit = (joints_boxes(pixels), frames.boxes[some]), np.tile(frames.size[some], 2)
            found, labelled = (np.clip(to_corners(each), 0, limit - 1) for each in boxes)
            off = np.abs(found - labelled).max(axis=-1)
        errors[name] = float(np.median(np.where(np.isfinite(off), off, np.inf)))
    return min(errors, key=errors.get), errors
