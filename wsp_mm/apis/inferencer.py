# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Images and videos to persons in camera space."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wsp_mm import __version__
from wsp_mm.apis.boxes import GivenBoxes
from wsp_mm.apis.cameras import Cameras
from wsp_mm.apis.detector import SCORE_THR, PersonDetector
from wsp_mm.apis.images import InputError
from wsp_mm.apis.model_zoo import DEFAULT, find_networks
from wsp_mm.apis.models import load_network
from wsp_mm.apis.pipeline import FramePipeline
from wsp_mm.apis.sources import Frame, Source, open_source
from wsp_mm.structures.keypoints import get_joint_set
from wsp_mm.utils.compat import pick_device
from wsp_mm.utils.files import file_sha256

#: Pixels of the images that are in memory together, whatever the batch size: three of 20
#: megapixels.
CHUNK_PIXELS = 64_000_000

#: (configuration, checkpoint), or a name of :mod:`wsp_mm.apis.model_zoo`.
Model = tuple[Any, str | Path] | str


class WSPInferencer:
    """Persons of images and videos: where they are in the image and, with a camera, in space.

    ::

        inferencer = WSPInferencer('wsp-lite0', camera=dict(focal=1500.0))
        for record in inferencer('holiday/'):
            for person in record['persons']:
                print(record['file_name'], person['order'], person['keypoints_cam'])

        WSPInferencer(pose=('configs/wsp_muco_r50.py', 'wsp_muco_r50.pth'),
                      det=('configs/detectors/rtmdet_m_person.py', 'rtmdet_m.pth'))

    Records are dicts of plain numbers and lists, exactly what ``demo/infer.py`` writes
    (docs/inference.md). An image that could not be used has ``skipped``, a sentence, and no
    persons. Networks run in evaluation mode under ``torch.inference_mode``. With a pre-training
    network (``RelativeDepthHead``) records have the order of the persons from front to back: beside
    3D as ``order``, instead of 3D as ``pose``.

    A network is (configuration, checkpoint), paths or URLs, or a name of ``model_zoo/metafile.yml``
    such as ``'wsp-lite0-pose'``. Checkpoints are loaded without executing anything in them.

    Args:
        networks: name of a set, which has all networks; those that are given beside it take their
            places. By default ``'wsp-lite0'``, and nothing where ``pose`` or ``order`` is given.
            A (configuration, checkpoint) here is ``pose``.
        root: a root-depth network. Without one, and with a camera, the root's depth is k, which
            takes every person's box for 2 m x 2 m.
        det: a detector of mmdet, or an object with the ``detect`` of
            :class:`~wsp_mm.apis.detector.PersonDetector`.
        score_thr: persons with a lower score are left out; by default 0.3, and no box of a file.
        boxes: file of boxes instead of a detector, see :class:`~wsp_mm.apis.boxes.GivenBoxes`.
        camera: None, or anything that :meth:`Cameras.of` takes: ``dict(focal=1500.0)``,
            ``dict(f=[fx, fy], c=[cx, cy])``, ``dict(fov_deg=60)`` (an assumption, recorded as one),
            a ``PinholeCamera``, the path of a camera file. None is ever guessed: without,
            ``keypoints_cam`` and ``root_depth`` are None.
        device: 'cuda', 'cuda:1', 'cpu'; by default a GPU where there is one.
        precision: 'fp32', 'bf16' or 'fp16' (the detector always computes in fp32).
        batch_size: persons a forward pass, and at most as many images in memory.
        trust_checkpoint: load checkpoints that may execute code.
        pose: a 3D network, or one of a pre-training.
        order: a pre-training network, which orders the persons of ``pose``.

    Raises:
        InputError: options, configurations or a camera that cannot be used or do not fit each
            other.
        FileNotFoundError: no such configuration or checkpoint.
        wsp_mm.utils.checkpoint.CheckpointError: a checkpoint that is refused, broken, or of another
            network.
    """

    def __init__(
        self,
        networks: Model | None = None,
        root: Model | None = None,
        det: Any = None,
        score_thr: float | None = None,
        boxes: str | Path | None = None,
        camera: Any = None,
        device: str | None = None,
        precision: str = 'fp32',
        batch_size: int = 16,
        trust_checkpoint: bool = False,
        pose: Model | None = None,
        order: Model | None = None,
    ) -> None:
        cameras = Cameras.of(camera)
        if isinstance(networks, (tuple, list)):
            networks, pose = None, networks
        elif networks is None and pose is None and order is None:
            networks = DEFAULT
        given = dict(pose=pose, root=root, det=det, order=order)
        needless = {'root'} if not cameras else set()
        needless |= {'det'} if boxes is not None else set()
        wanted = [role for role in given if given[role] is None and role not in needless]
        models = {} if networks is None else find_networks(networks, wanted)
        for role, model in given.items():
            if isinstance(model, str):
                models |= find_networks(model, [role])
            elif model is not None:
                models[role] = model
        pose, root, det, order = map(models.get, given)
        if pose is None:  # the order alone
            pose, order = order, None
        if pose is None:
            raise InputError(f'{networks} has no network for poses or the order: add pose')
        if det is None and boxes is None:
            raise InputError('give a detector (det) or a file of boxes (boxes) to find the persons')
        if int(batch_size) < 1:
            raise InputError(f'batch_size is at least 1, got {batch_size}')
        boxes = boxes and GivenBoxes(boxes, score_thr)
        self.device, self.precision = pick_device(device or 'auto'), precision
        trust = True if trust_checkpoint else None
        network = load_network(*pose, self.device, ('pose', 'order'), precision, trust)
        if root is not None:
            root = load_network(*root, self.device, ('root',), precision, trust)
        if order is not None:
            order = load_network(*order, self.device, ('order',), precision, trust)
        if isinstance(det, (tuple, list)):
            score_thr = SCORE_THR if score_thr is None else score_thr
            det = PersonDetector(*det, self.device, score_thr, trust=trust)
        if network.kind == 'order' and (root or cameras or order):
            what = 'a pre-training network as pose gives an order'
            raise InputError(f'{what}: it needs no root, no camera, no second one as order')
        self.pipeline = FramePipeline(network, root, det, boxes, cameras, int(batch_size), order)

    def __call__(self, inputs: Any) -> Iterator[dict]:
        """Yield the records of all frames, one after the other; reads at most a batch ahead.

        Args:
            inputs: whatever :func:`open_source` takes: a path, a pattern, an array, a list.

        Raises:
            InputError: there is no such input.
            TypeError: neither paths nor arrays.
        """
        for _, records in self.chunks(open_source(inputs)):
            yield from records

    def chunks(self, source: Source, start: int = 0) -> Iterator[tuple[list[Frame], list[dict]]]:
        """Yield frames with their records, as many as go through the networks together.

        A chunk ends after ``batch_size`` frames or ``CHUNK_PIXELS``, whichever comes first. Where
        it begins and ends depends on the frames from ``start`` on alone: a run that is resumed
        where a chunk ended computes what an uninterrupted one would.

        Raises:
            ValueError: boxes of a file that fit several images, or are not x, y, w, h px.
        """
        if (boxes := self.pipeline.boxes) is not None:
            boxes.assign(source.names())
            source.notes += [note for note in boxes.file.notes if note not in source.notes]
        chunk, pixels = [], 0
        for frame in source.frames(start):
            chunk.append(frame)
            pixels += 0 if frame.image is None else frame.image.size // 3
            if len(chunk) == self.pipeline.batch_size or pixels >= CHUNK_PIXELS:
                yield chunk, self.pipeline(chunk)
                chunk, pixels = [], 0
        if chunk:
            yield chunk, self.pipeline(chunk)

    def info(self, source: Source | None = None) -> dict:
        """Return what the output says of the run as a whole, see docs/inference.md."""
        pipeline = self.pipeline
        joints, camera = get_joint_set(pipeline.pose.joint_set), pipeline.cameras.describe()
        is_pose, boxes = pipeline.pose.kind == 'pose', pipeline.boxes
        models = dict(pose=pipeline.pose.identity)
        for role in ('root', 'order'):
            if (network := getattr(pipeline, role)) is not None:
                models[role] = network.identity
        if boxes is None:
            name = type(pipeline.detector).__name__
            models['detector'] = getattr(pipeline.detector, 'identity', name)
        else:
            file = dict(file=boxes.path.name, sha256=file_sha256(boxes.path))
            boxes = dict(file, extended=boxes.extended, score_thr=boxes.score_thr)
        root_depth = None
        if is_pose and camera is not None:
            root_depth = 'k-value' if pipeline.root is None else 'network'
        return dict(
            wsp_mm=__version__,
            task='pose3d' if is_pose else 'order',
            joint_set=joints.name,
            joint_names=list(joints.joints),
            skeleton_links=[list(link) for link in joints.link_indices],
            root_joint=joints.joints[joints.index('pelvis')],
            models=models,
            boxes=boxes,
            camera=camera,
            root_depth=root_depth,
            precision=self.precision,
            batch_size=pipeline.batch_size,
            device=self.device.type,
            source=None if source is None else source.describe(),
        )
