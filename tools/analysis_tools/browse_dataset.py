# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Write what the network sees: crops with both persons' boxes and joints, heatmaps, labels and
weights.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np

from wsp_mm.utils.cli import add_cfg_options, config_from_args

PANEL = 384  # px, side of a panel
TEXT = 20  # px, height of a line of text


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add('config', help='configuration file of pairs (MCPC)')
    add('--out', type=Path, default=Path('work_dirs/browse'), help='folder for the images')
    add('--num', type=int, default=16, help='how many samples, spread over the data set')
    add('--split', choices=['train', 'val', 'test'], default='train')
    add('--seed', type=int, default=0, help="the run's seed")
    add('--epoch', type=int, default=0, help='show the augmentation of this epoch')
    add_cfg_options(parser)
    return parser


def build_dataset(cfg, split: str):
    """The split's data set without its packing, so that samples keep their input coordinates.

    Raises:
        SystemExit: it is no data set of pairs.
    """
    from mmengine.registry import init_default_scope
    from mmpose.registry import DATASETS

    init_default_scope(cfg.get('default_scope', 'mmpose'))
    dataset = cfg[f'{split}_dataloader']['dataset']
    steps = list(dataset.get('pipeline', ()))
    if not steps or steps[-1]['type'] != 'PackPairInputs':
        raise SystemExit(
            f'{split}_dataloader: its pipeline does not end in PackPairInputs, so it makes no pairs'
        )
    dataset['pipeline'] = steps[:-1]
    return DATASETS.build(dataset)


def add_heatmaps(dataset, sample: dict) -> dict:
    """Make the heatmaps (2, K, h, w) that training leaves to the head, where there are targets."""
    import torch

    for transform in dataset.pipeline.transforms:
        if hasattr(transform, 'encoder'):
            labels = (sample['keypoint_labels'], sample['keypoint_weights'])
            maps, weights = transform.encoder.heatmaps(*map(torch.from_numpy, labels))
            sample.update(heatmaps=maps[0].numpy(), heatmap_weights=weights[0].numpy())
    return sample


def text_lines(sample: dict) -> list[str]:
    """Return the labels as lines of text."""
    lines = [
        f'{Path(sample["img_path"]).name}  source {sample.get("source", "-")}  flip '
        f'{sample.get("flip", "-")}'
    ]
    if 'depth_label' in sample:
        nearer = 'A' if sample['depth_label'][0] > 0 else 'B'
        line = f'{nearer} is nearer, weight {sample["depth_weight"][0]:g}'
        if 'pair_gap' in sample:
            line += f', scale gap {sample["pair_gap"][0]:.2f}'
        if 'bbox_rotation' in sample:
            line += f', turned {sample["bbox_rotation"][0]:.0f} deg'
        lines.append(line)
    if 'depth_weights' in sample:
        weights, channels = sample['depth_weights'][0], sample['heatmap_weights'].max(axis=0)
        lines.append(
            f'joints with depth weight {int((weights > 0).sum())} of {len(weights)}, '
            f'heatmaps with weight {int((channels > 0).sum())} of {len(channels)}'
        )
    return lines


def draw(sample: dict) -> np.ndarray:
    """Return one sample as an image (H, W, 3) uint8 BGR: the crop, and beside it its heatmaps, if
    any.

    Joints without depth weight are hollow.
    """
    from wsp_mm.visualization.draw import FONT, PAIR_COLORS, draw_person, write

    w, h = sample['input_size']
    zoom = PANEL / max(w, h)
    size = (round(w * zoom), round(h * zoom))
    plain = cv2.resize(sample['img'], size, interpolation=cv2.INTER_LINEAR)
    crop = plain.copy()
    boxes = sample['pair_bboxes_input'][0] * zoom
    for p, color in enumerate(PAIR_COLORS):
        points = sample['transformed_keypoints'][p] * zoom
        visible = sample['keypoints_visible'][p] > 0
        draw_person(crop, boxes[p], points, visible, color, radius=3)
        if 'depth_weights' in sample:
            for k in np.flatnonzero(visible & (sample['depth_weights'][0] == 0)):
                cv2.circle(crop, np.round(points[k]).astype(int).tolist(), 1, (255, 255, 255), -1)
        corner = np.clip(boxes[p, :2], 0, PANEL - 30) + np.array((4, 20))
        cv2.putText(crop, 'AB'[p], corner.astype(int).tolist(), FONT, 0.7, color, 2)
    panels = [crop]
    if 'heatmaps' in sample:
        overlay = plain.astype(np.float32) * 0.4
        for maps, color in zip(sample['heatmaps'], PAIR_COLORS, strict=True):
            heat = cv2.resize(maps.max(axis=0), size, interpolation=cv2.INTER_LINEAR)
            overlay += heat[..., None] * np.array(color, dtype=np.float32) * 0.6
        panels.append(np.clip(overlay, 0, 255).astype(np.uint8))
    body = np.concatenate(panels, axis=1)
    lines = text_lines(sample)
    head = np.full((TEXT * len(lines) + 8, body.shape[1], 3), 30, dtype=np.uint8)
    for i, line in enumerate(lines):
        write(head, line, 6, TEXT * (i + 1) - 4, (235, 235, 235))
    return np.concatenate([head, body], axis=0)


def main() -> None:
    parser = build_parser()
    args = parser.parse_args()
    if args.num < 1 or args.seed < 0 or args.epoch < 0:
        parser.error('--num must be positive, --seed and --epoch not negative')
    cfg = config_from_args(parser, args)
    dataset = build_dataset(cfg, args.split)
    if hasattr(dataset, 'set_item_seed'):
        dataset.set_item_seed(args.seed, args.epoch)
    args.out.mkdir(parents=True, exist_ok=True)
    count = min(args.num, len(dataset))
    for i in range(count):
        index = i * len(dataset) // count
        path = args.out / f'{args.split}_{index:06d}.png'
        if not cv2.imwrite(str(path), draw(add_heatmaps(dataset, dataset[index]))):
            raise SystemExit(f'cannot write {path}')
    print(f'{count} of {len(dataset)} {args.split} samples in {args.out}')


if __name__ == '__main__':
    main()
