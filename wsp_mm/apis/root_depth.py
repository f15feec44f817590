# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Root depths of many persons, by a trained network or by the boxes alone.

N persons. Boxes are (x, y, w, h) px of the picture, square and padded; positions mm in the camera's
frame.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from wsp_mm.apis.root_inputs import RootPersons, RootPicture
from wsp_mm.datasets.converters.mcpc.files import AtomicFiles
from wsp_mm.structures.bbox import k_value, to_corners
from wsp_mm.structures.camera import PinholeCamera


@dataclass(frozen=True)
class RootSummary:
    """What :func:`predict_roots` did.

    Attributes:
        pictures, persons: how many. behind: persons whom the network put behind the camera; they
        got k.
    """

    pictures: int
    persons: int
    behind: int


class RootDepthNetwork:
    """A trained root network with the pipeline of its config's test.

    Args:
        config: a path, or an mmengine.Config.
        checkpoint: a path or URL; every weight of the network must be in it.
        device: as :func:`wsp_mm.utils.compat.pick_device` takes.

    Raises:
        FileNotFoundError: no such config. ValueError: a config of another kind of network, no such
            device.
        CheckpointError: a checkpoint that is refused, broken or of another network.
    """

    def __init__(self, config: Any, checkpoint: str | Path, device: str = 'cpu') -> None:
        from mmengine.config import Config
        from mmengine.dataset import Compose
        from mmengine.registry import DefaultScope
        from mmpose.registry import MODELS

        import wsp_mm.register  # noqa: F401
        from wsp_mm.models.estimators.topdown_root import TopdownRootEstimator
        from wsp_mm.utils.cli import load_config
        from wsp_mm.utils.compat import pick_device

        cfg = config if isinstance(config, Config) else load_config(config)
        if cfg.get('model', {}).get('head', {}).get('type') != 'RootDepthHead':
            raise ValueError(
                f'{cfg.filename or "the config"} is not of a root network: its head is no RootDepthHead'
            )
        steps = cfg.test_dataloader.dataset.pipeline
        model_cfg = cfg.model.to_dict()
        model_cfg.pop('init_cfg', None)
        model_cfg['backbone']['init_cfg'] = None  # all of it comes from the checkpoint
        with DefaultScope.overwrite_default_scope('mmpose'):
            self.model: TopdownRootEstimator = MODELS.build(model_cfg)
            self._load, self._crop = Compose([dict(type='LoadImage')]), Compose(steps)
        self.box = next(dict(step) for step in steps if step['type'] == 'PersonCenterScale')
        _fill(self.model, checkpoint)
        self.model.to(pick_device(device)).eval()

    def read(self, path: str | Path) -> np.ndarray:
        """A picture (H, W, 3) uint8 BGR, as the training reads it.

        Raises:
            OSError: missing, or no picture.
        """
        try:
            return self._load(dict(img_path=str(path)))['img']
        except Exception as error:
            raise OSError(
                f'{path}: cannot be read as a picture ({str(error).splitlines()[-1]})'
            ) from error

    def sample(
        self, image: np.ndarray, box: np.ndarray, f: np.ndarray, c: np.ndarray, name: str = ''
    ) -> dict:
        """One person packed for ``model.test_step``: an extended box (4,) and its picture's camera
        (px).
        """
        image_shape = image.shape[:2]
        return self._crop(
            dict(
                img=image,
                img_path=name,
                img_shape=image_shape,
                ori_shape=image_shape,
                bbox=to_corners(np.asarray(box, dtype=np.float32))[None],
                bbox_score=np.ones(1, dtype=np.float32),
                bbox_extended=True,
                camera_f=np.asarray(f, dtype=np.float64),
                camera_c=np.asarray(c, dtype=np.float64),
            )
        )

    def roots(self, samples: Sequence[dict]) -> np.ndarray:
        """Roots of packed persons, (N, 3) mm; behind the camera where gamma is not positive."""
        import torch

        if not samples:
            return np.zeros((0, 3))
        batch = dict(
            inputs=[sample['inputs'] for sample in samples],
            data_samples=[sample['data_samples'] for sample in samples],
        )
        with torch.inference_mode():
            results = self.model.test_step(batch)
        return np.concatenate([result.pred_instances.root_cam for result in results]).astype(
            np.float64
        )


def _fill(model: Any, checkpoint: str | Path) -> None:
    """Load the weights; all must be there."""
    from wsp_mm.utils.checkpoint import CheckpointError, load

    content = load(str(checkpoint), map_location='cpu')
    state = content.get('state_dict', content) if isinstance(content, dict) else None
    if not isinstance(state, dict):
        raise CheckpointError(f'{checkpoint} holds no weights')
    try:
        model.load_state_dict(
            {key.removeprefix('module.'): value for key, value in state.items()}, strict=True
        )
    except (RuntimeError, AttributeError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise CheckpointError(
            f'{checkpoint} is not of this network: {" ".join(lines[1:3])[:300]}. Take the config that it was '
            'trained with'
        ) from error


def root_depths(
    network: RootDepthNetwork, image: np.ndarray, boxes: np.ndarray, f: np.ndarray, c: np.ndarray
) -> np.ndarray:
    """Roots of the persons of one picture by the network.

    Args:
        image: (H, W, 3) uint8 BGR. boxes: (N, 4) extended. f, c: (2,) px.

    Returns:
        (N, 3) mm.
    """
    return network.roots([network.sample(image, box, f, c) for box in np.reshape(boxes, (-1, 4))])


def k_roots(boxes: np.ndarray, f: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Roots by the boxes alone: the box's centre at depth k (gamma = 1), (N, 3) mm."""
    boxes = np.reshape(np.asarray(boxes, dtype=np.float64), (-1, 4))
    depth = k_value(boxes, f)
    centres = boxes[:, :2] + boxes[:, 2:] / 2
    return PinholeCamera(f=f, c=c).unproject(np.concatenate([centres, depth[:, None]], axis=1))


def predict_roots(
    persons: Sequence[RootPersons],
    out: str | Path,
    network: RootDepthNetwork | None = None,
    pictures_dir: str | Path | None = None,
    batch_size: int = 32,
    show_progress: bool = False,
) -> RootSummary:
    """Write a bbox_root json (3DMPPE's): a list of {image_id, bbox, root_cam mm, score}.

    The boxes in it are extended. The file appears whole or not at all.

    Args:
        persons: of :func:`wsp_mm.apis.root_inputs.gather_persons`.
        out: the json.
        network: None: the k-value alone, and no picture is opened.
        pictures_dir: folder of the pictures, for a network.
        batch_size: persons that go through the network at once, across pictures.
        show_progress: a bar on stderr.

    Raises:
        ValueError: an argument outside its range. OSError: a picture that is missing or none, or
            ``out`` cannot be written.
    """
    if batch_size < 1:
        raise ValueError(f'batch_size must be at least 1, got {batch_size}')
    if network is not None and pictures_dir is None:
        raise ValueError('a network looks at pictures: give pictures_dir')
    from tqdm import tqdm

    out, records, behind = Path(out), [], 0
    with tqdm(
        total=sum(len(p.boxes) for p in persons), unit=' persons', disable=not show_progress
    ) as bar:
        answers = (
            _by_prior(persons)
            if network is None
            else _by_network(persons, network, Path(pictures_dir), batch_size)
        )
        for picture, box, score, root in answers:
            if not (np.isfinite(root).all() and root[2] > 0):
                root = k_roots(box, picture.f, picture.c)[0]
                behind += 1
            records.append(
                dict(
                    image_id=picture.image_id,
                    bbox=[round(float(v), 3) for v in box],
                    root_cam=[round(float(v), 3) for v in root],
                    score=round(float(score), 6),
                )
            )
            bar.update()
    with AtomicFiles(out.parent) as files, files.open(out.name) as file:
        json.dump(records, file, allow_nan=False)
    return RootSummary(pictures=len(persons), persons=len(records), behind=behind)


_Answer = tuple[RootPicture, np.ndarray, float, np.ndarray]


def _by_prior(persons: Iterable[RootPersons]) -> Iterator[_Answer]:
    for group in persons:
        roots = k_roots(group.boxes, group.picture.f, group.picture.c)
        for box, score, root in zip(group.boxes, group.scores, roots, strict=True):
            yield group.picture, box, score, root


def _by_network(
    persons: Iterable[RootPersons], network: RootDepthNetwork, folder: Path, batch_size: int
) -> Iterator[_Answer]:
    """Crops are gathered across pictures; of the pictures only one is held at a time."""
    waiting: list[tuple] = []

    def flush() -> Iterator[_Answer]:
        for (*who, _), root in zip(waiting, network.roots([w[-1] for w in waiting]), strict=True):
            yield (*who, root)
        waiting.clear()

    for group in persons:
        picture = group.picture
        path = folder / picture.file_name
        image = network.read(path)
        size = (image.shape[1], image.shape[0])
        if picture.size is not None and size != picture.size:
            raise ValueError(
                f'{path} is of {size[0]} x {size[1]} px, but its record (image {picture.image_id}) says '
                f'{picture.size[0]} x {picture.size[1]}: pictures and json are not of the same release'
            )
        for box, score in zip(group.boxes, group.scores, strict=True):
            waiting.append(
                (picture, box, score, network.sample(image, box, picture.f, picture.c, str(path)))
            )
            if len(waiting) == batch_size:
                yield from flush()
    yield from flush()
