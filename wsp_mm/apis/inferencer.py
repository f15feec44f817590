# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Anybody's pictures to persons in camera space."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from wsp_mm.apis.inference.camera import CameraChoice
from wsp_mm.apis.inference.models import ModelError, Network, load_network, load_published, trusting
from wsp_mm.apis.inference.persons import Detector, GivenBoxes
from wsp_mm.apis.inference.pipeline import PRECISIONS, FramePipeline
from wsp_mm.apis.inference.sources import Frame, Source, open_source

#: Pixels of the pictures that are in memory together, whatever the batch size: three of 20
#: megapixels.
CHUNK_PIXELS = 64_000_000

UNITS = {
    'bbox': 'px', 'keypoints_img': 'px', 'keypoints_rel': 'mm', 'root_depth': 'mm', 'keypoints_cam': 'mm',
    'camera.f': 'px', 'camera.c': 'px', 'time': 's', 'order.probability': '0 to 1',
}  # fmt: skip
FRAMES = {
    'picture': 'px of the upright picture, x right, y down, (0, 0) the centre of the upper left pixel',
    'camera': 'x right, y down, z forward, origin in the camera',
    'root-relative': 'depth along the camera axis minus that of the root joint, positive away from the camera',
    'bbox': 'picture: x, y, width, height',
    'keypoints_img': 'picture',
    'keypoints_rel': 'root-relative',
    'root_depth': 'camera: z of the root joint',
    'keypoints_cam': 'camera',
}


class WSPInferencer:
    """Persons of pictures and videos: where they are in the picture and, with a camera, in space.

    ::

        inferencer = WSPInferencer(pose=('configs/wsp_muco_r50.py', 'wsp_muco_r50.pth'),
                                   det=('configs/detectors/rtmdet_m_person.py', 'rtmdet_m.pth'),
                                   camera=dict(focal=1500.0))
        for record in inferencer('holiday/'):
            for person in record['persons']:
                print(record['file_name'], person['root_depth'], person['keypoints_cam'])

    Records are dicts of plain numbers and lists, exactly what ``tools/infer.py`` writes
    (docs/inference.md). A picture that could not be used has ``skipped``, a sentence, and no
    persons. Networks run in evaluation mode under ``torch.inference_mode``.

    With a pre-training checkpoint (``RelativeDepthHead``) records have the order of the persons
    from front to back instead of 3D.

    Args:
        pose: (configuration, checkpoint), or the configuration alone with ``checkpoint``.
        checkpoint: of ``pose``; a path or URL. Files of weights and plain values alone
            (``tools/model_converters/publish_model.py``, ``*_weights.pth``); others are refused unless trusted.
        root: (configuration, checkpoint) of a root-depth network. Without one, and with a camera,
            the root's depth is k, which takes every person's box for 2 m x 2 m.
        det: (configuration, checkpoint) of an mmdet detector, or an object with ``detect``
            (:class:`wsp_mm.apis.detection.PersonDetector`).
        score_thr: persons with a lower score are left out; by default what the detector has (0.3),
            and no box of a file.
        boxes: file of boxes instead of a detector, see
            :func:`wsp_mm.datasets.box_files.read_boxes`.
        camera: None, or anything that :meth:`CameraChoice.of` takes: ``dict(focal=1500.0)``,
            ``dict(f=[fx, fy], c=[cx, cy])``, ``dict(fov_deg=60)`` (an assumption, recorded as one),
            a ``PinholeCamera``, the path of a camera file. None is ever guessed: without,
            ``keypoints_cam`` and ``root_depth`` are None.
        device: 'cuda', 'cuda:1', 'cpu'; by default a GPU where there is one.
        precision: 'fp32', 'bf16' or 'fp16' (the detector always computes in fp32).
        batch_size: persons a forward pass, and at most as many pictures in memory.
        trust_checkpoint: load checkpoints that may execute code.
        overlap: read, detect, crop, and ask the networks at the same time, each in a thread of its
            own, while the caller uses the records before; see :mod:`wsp_mm.apis.inference.stages`.
            Records and their order are the same. None: on a GPU, and not on a processor, whose
            cores the networks fill anyhow.

    Raises:
        ValueError: no persons to be had (neither ``det`` nor ``boxes``), options or configurations
            that do not fit. (``ModelError``, ``CameraError``, ``BadDataError`` are ValueErrors.)
        FileNotFoundError: no such configuration or checkpoint.
        wsp_mm.utils.checkpoint.CheckpointError: a checkpoint that is refused, broken, or of another
        network.
    """

    def __init__(
        self,
        pose: Any,
        checkpoint: str | Path | None = None,
        root: tuple[Any, str | Path] | None = None,
        det: Any = None,
        score_thr: float | None = None,
        boxes: str | Path | None = None,
        camera: Any = None,
        device: str | None = None,
        precision: str = 'fp32',
        batch_size: int = 16,
        trust_checkpoint: bool = False,
        overlap: bool | None = None,
    ) -> None:
        from wsp_mm.utils.compat import pick_device

        if det is None and boxes is None:
            raise ValueError(
                'nobody says where the persons are: give a detector (det) or a file of boxes (boxes)'
            )
        if precision not in PRECISIONS:
            raise ValueError(f'precision is one of {", ".join(PRECISIONS)}, got {precision!r}')
        if int(batch_size) < 1:
            raise ValueError(f'batch_size is at least 1, got {batch_size}')
        self.camera = CameraChoice.of(camera)
        self.batch_size, self.precision = int(batch_size), precision
        self.device = pick_device(device or 'auto')
        self.overlap = self.device.type == 'cuda' if overlap is None else bool(overlap)
        given_boxes = None if boxes is None else GivenBoxes(boxes, score_thr)
        with trusting(True if trust_checkpoint else None):
            config, weights = _pair('pose', pose, checkpoint)
            self.pose = self._load(config, weights, ('pose', 'order'), 'pose')
            self.root = (
                self._load(*_pair('root', root), ('root',), 'root') if root is not None else None
            )
            self.detector = None if det is None else self._load_detector(det, score_thr)
        if self.root is not None and self.pose.kind == 'order':
            raise ValueError(
                'a pre-training network answers with an order, it has no use for root depths'
            )
        if self.camera and self.pose.kind == 'order':
            raise ValueError(
                'a pre-training network answers with an order, it has no use for a camera'
            )
        self.boxes = given_boxes
        self.pipeline = FramePipeline(
            self.pose,
            self.root,
            self.detector,
            given_boxes,
            self.camera,
            self.device,
            precision,
            self.batch_size,
        )

    def _load(self, config: Any, weights: Any, kinds: tuple[str, ...], what: str) -> Network:
        network = load_network(config, weights, self.device)
        if network.kind not in kinds:
            name = network.identity['config']
            raise ModelError(
                f'{what}: {name} is a {network.kind} network, not {" or ".join(kinds)}'
            )
        return network

    def _load_detector(self, det: Any, score: float | None) -> Detector:
        if hasattr(det, 'detect'):
            return det
        from wsp_mm.apis.detection import PersonDetector

        config, weights = _pair('det', det)
        more = {} if score is None else dict(score_thr=score)
        return PersonDetector(config, weights, device=str(self.device), load=load_published, **more)

    # ------------------------------------------------------------------ use

    def __call__(self, inputs: Any, start: int = 0) -> Iterator[dict]:
        """Records of all frames, one after the other; reads a batch ahead, with ``overlap`` a few.

        Args:
            inputs: whatever :func:`open_source` takes: a path, a pattern, a camera's number, an
                array, a list.
            start: number of the first frame.

        Raises:
            SourceError: there is no such input.
        """
        with closing(self.chunks(open_source(inputs), start)) as chunks:
            for _, records in chunks:
                yield from records

    def order(self, inputs: Any) -> Iterator[dict]:
        """As calling it, for pre-training networks alone: the records have ``order``.

        Raises:
            ValueError: a 3D pose network, which knows no order.
        """
        if self.pose.kind != 'order':
            raise ValueError(
                f'{self.pose.identity["config"]} estimates 3D poses; order needs a pre-training one'
            )
        return self(inputs)

    def chunks(self, source: Source, start: int = 0) -> Iterator[tuple[list[Frame], list[dict]]]:
        """Frames with their records, as many at a time as go through the networks together.

        A chunk ends after ``batch_size`` frames or ``CHUNK_PIXELS``, whichever comes first. Where
        it begins and ends depends on the frames from ``start`` on alone: a run that goes on where a
        chunk ended computes what an uninterrupted one would.

        Whoever does not go on to the end should close the iterator (``contextlib.closing``): with
        ``overlap`` its threads end then, and not only when it is collected.
        """
        yield from self.pipeline.stream(self._read_all(source, start), self.overlap)

    def _read_all(self, source: Source, start: int) -> Iterator[list[Frame]]:
        frames = source.frames(start)
        while chunk := self._read(frames):
            yield chunk

    def _read(self, frames: Iterator[Frame]) -> list[Frame]:
        chunk, pixels = [], 0
        with self.pipeline.timed('reading'):
            while len(chunk) < self.batch_size and pixels < CHUNK_PIXELS:
                frame = next(frames, None)
                if frame is None:
                    break
                chunk.append(frame)
                pixels += 0 if frame.image is None else frame.image.shape[0] * frame.image.shape[1]
        return chunk

    def info(self, source: Source | None = None) -> dict:
        """What the output says of the run as a whole, see docs/inference.md."""
        from wsp_mm import __version__
        from wsp_mm.structures.keypoints import get_joint_set

        joints = get_joint_set(self.pose.joint_set)
        models = dict(pose=self.pose.identity)
        if self.root is not None:
            models['root'] = self.root.identity
        identity = getattr(self.detector, 'identity', None)
        if self.boxes is None and self.detector is not None:
            models['detector'] = (
                identity if isinstance(identity, dict) else type(self.detector).__name__
            )
        camera = self.camera.describe()
        is_pose = self.pose.kind == 'pose'
        return dict(
            wsp_mm=__version__,
            task='pose3d' if is_pose else 'order',
            joint_set=joints.name,
            joint_names=list(joints.joints),
            skeleton_links=[list(link) for link in joints.link_indices],
            root_joint=joints.joints[joints.index('pelvis')],
            units=UNITS,
            frames=FRAMES,
            models=models,
            boxes=None if self.boxes is None else self._boxes_info(),
            camera=camera,
            root_depth=None
            if camera is None or not is_pose
            else 'network'
            if self.root
            else 'k-value',
            precision=self.precision,
            batch_size=self.batch_size,
            device=self.device.type,
            source=None if source is None else source.describe(),
        )

    def _boxes_info(self) -> dict:
        from wsp_mm.utils.files import file_sha256

        path = self.boxes.path
        return dict(
            file=path.name,
            sha256=file_sha256(path),
            extended=self.boxes.extended,
            score_thr=self.boxes.score_thr,
        )


def _pair(what: str, given: Any, checkpoint: Any = None) -> tuple[Any, Any]:
    """(configuration, checkpoint) of either spelling."""
    if checkpoint is not None:
        return given, checkpoint
    if isinstance(given, Sequence) and not isinstance(given, str) and len(given) == 2:
        return given[0], given[1]
    raise ValueError(f'{what} is (configuration, checkpoint), got {given!r}')
