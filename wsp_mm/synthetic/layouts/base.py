# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""What the four writers have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from pathlib import Path

import numpy as np

from wsp_mm.structures.keypoints import convert_joints, get_joint_set
from wsp_mm.synthetic.layouts.files import write_json
from wsp_mm.synthetic.layouts.labelling import Habits, label_joints
from wsp_mm.synthetic.record import Scene
from wsp_mm.synthetic.truth import TruthTable


class SourceWriter(ABC):
    """Collects the pictures of one source and writes them in that source's own layout.

    Scenes have to come in the order of their numbers: ids and rows are counted as they come.

    Attributes:
        source: 'coco', 'mpii', 'posetrack18' or 'crowdpose'.
        joint_set: the source's joint set.
        habits: how its annotators label.
        truth: split -> the truth of every annotated person; stays empty where it is not kept.
    """

    source: str
    joint_set: str
    habits: Habits

    def __init__(self, keep_truth: bool = True) -> None:
        self.truth: dict[str, TruthTable] = {}
        self._keep_truth = keep_truth
        # split -> persons annotated, and of these those with a labelled ankle
        self.annotated: Counter[str] = Counter()
        self.with_ankle: Counter[str] = Counter()

    def add(self, scene: Scene) -> None:
        """Annotate one picture.

        Raises:
            ValueError: the scene belongs to another source.
        """
        if scene.source != self.source:
            raise ValueError(
                f'scene {scene.scene_id} belongs to {scene.source!r}, not to {self.source!r}'
            )
        world_xy, world_v = label_joints(scene, self.habits)
        xy, v = convert_joints(world_xy, world_v, 'world', self.joint_set)
        self.annotate(scene, xy, v)

    @abstractmethod
    def annotate(self, scene: Scene, xy: np.ndarray, v: np.ndarray) -> None:
        """Add one picture with labels ``xy`` (N, K, 2) px and ``v`` (N, K) of all its persons."""

    @abstractmethod
    def files(self) -> dict[str, object]:
        """Path relative to the source's folder -> what the json file holds."""

    def write(self, root: Path) -> list[Path]:
        """Write the annotation files under ``root / source``; returns their paths."""
        paths = []
        for name, content in self.files().items():
            paths.append(Path(root) / self.source / name)
            write_json(paths[-1], content)
        return paths

    def record(
        self,
        scene: Scene,
        rows: list[int],
        ids: list[int],
        image_id: int | str,
        xy: np.ndarray,
        v: np.ndarray,
    ) -> None:
        """Note the truth of the annotated persons ``scene.persons[rows]`` with annotation ids
        ``ids``.
        """
        ankles = list(get_joint_set(self.joint_set).ankles)
        self.annotated[scene.split] += len(rows)
        self.with_ankle[scene.split] += int((v[rows][:, ankles] > 0).any(axis=1).sum())
        if not self._keep_truth:
            return
        table = self.truth.setdefault(scene.split, TruthTable(self.source, scene.split))
        table.add(scene, rows, ids, image_id, xy[rows], v[rows], self.joint_set)


def numbered(name: str) -> int:
    """The number that a picture's name is: 'train2017/000000000042.jpg' -> 42."""
    return int(Path(name).stem)
