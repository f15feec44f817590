# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Measure networks on photographs with COCO's annotations: order, 2D keypoints, person boxes.

    python tools/analysis_tools/real_photos.py data/coco --out work_dirs/photos \\
        --order ORDER.py ORDER.pth --pose POSE.py POSE.pth --det DET.py DET.pth

COCO_DIR has annotations/person_keypoints_val2017.json and val2017/, or those of train2017 where it
has none of val2017. Figures are in percent, with the 95 % interval of --resamples test sets whose
images are drawn anew from these.

order: AUC and Acc over the joints of all pairs of persons with a labelled ankle, also on gray
images (by the neighbour CONFIG_gray.py), beside the rules that see the boxes alone. PCK: MCPC's
joints within 0.1 of the box height, by the order network in these pairs, by the pose network of
every labelled person in the true box. AP50: as COCO measures it, of all persons' boxes in the file;
crowds are ignored.
"""

import argparse
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stdout
from functools import lru_cache, partial
from pathlib import Path

import numpy as np

ORDER = ('AUC', 'Acc', 'AUC, gap <= 0.1', 'Acc, gap <= 0.1')
#: Boxes of lower scores change AP50 by nothing.
SCORE_THR = 0.001
#: Chosen rows -> figures in percent.
Statistic = Callable[[np.ndarray], Sequence[float]]
#: What was measured, names of its figures, statistic, image of each row.
Figures = tuple[str, Sequence[str], Statistic, np.ndarray]


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add, model = parser.add_argument, dict(nargs=2, metavar=('CONFIG', 'CHECKPOINT'))
    add('coco', type=Path, metavar='COCO_DIR', help='folder of photographs and annotations')
    add('--out', type=Path, required=True, help='folder for real_photos.json and what leads to it')
    add('--order', **model, help='a pre-training network, which orders persons')
    add('--pose', **model, help='a 3D pose network')
    add('--det', **model, help='a person detector of mmdet')
    add('--resamples', type=int, default=1000, help='for the intervals (default: %(default)s)')
    add('--seed', type=int, default=0, help='of the resamples (default: %(default)s)')
    return parser


def link_coco(source: Path, coco: Path) -> Path:
    """Link photographs and annotations as the val2017 of the folder ``coco``, where MCPC's test set
    is taken from; return the annotation file.

    Raises:
        FileNotFoundError: there are no annotations of persons.
    """
    name = 'annotations/person_keypoints_{}.json'
    splits = [split for split in ('val2017', 'train2017') if (source / name.format(split)).exists()]
    if not splits:
        raise FileNotFoundError(f'{source} has no {name.format("val2017")}, nor of train2017')
    (coco / 'annotations').mkdir(parents=True, exist_ok=True)
    for path in ('{}', name):
        link = coco / path.format('val2017')
        link.unlink(missing_ok=True)
        link.symlink_to((source / path.format(splits[0])).resolve())
    return link


def run_test(config: str | Path, checkpoint: str, data: Path, out: Path) -> Path:
    """Run ``tools/test.py`` on the pairs in ``data``; return the file of its predictions.

    Raises:
        ChildProcessError: it failed.
    """
    dump, log = out / 'predictions.npz', out / 'test.log'
    out.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, Path(__file__).parents[1] / 'test.py', config, checkpoint]
    command += ['--work-dir', out, '--dump', dump, '--out', out / 'metrics.json', '--cfg-options']
    command += [f'test_dataloader.dataset.data_root={data}']
    command += ['test_dataloader.dataset.ann_file=mcpc/mcpc_test.json']
    with log.open('wb') as file:
        done = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT)
    if done.returncode:
        last = log.read_text(errors='replace').strip().rpartition('\n')[2]
        raise ChildProcessError(f'the test of {config} failed: {last} ({log} has it all)')
    return dump


def order_scores(
    probs: np.ndarray, labels: np.ndarray, gaps: np.ndarray, rows: np.ndarray
) -> list[float]:
    """The figures :data:`ORDER` of some rows of decisions (n,), those of ``control_row``.

    ``relative_depth_scores`` gives them, too, with more that takes two thirds of its time: too long
    for thousands of resamples.
    """
    from sklearn.metrics import roc_auc_score

    scores = []
    for chosen in (rows, rows[gaps[rows] <= 0.1]):
        prob, label = probs[chosen], labels[chosen]
        both = len(np.unique(label)) == 2
        auc, acc = roc_auc_score(label, prob) if both else np.nan, np.mean((prob >= 0.5) == label)
        scores += [100 * auc, 100 * acc if both else np.nan]
    return scores


def pck(*persons: np.ndarray) -> tuple[Sequence[str], Statistic]:
    """Name and statistic of ``pair_pck``, of its arguments."""
    from wsp_mm.evaluation.functional import pair_pck

    return ('PCK',), lambda rows: [pair_pck(*(values[rows] for values in persons))['pck']]


def measure_order(order: Sequence[str] | None, data: Path, out: Path) -> Iterator[Figures]:
    """Yield the figures of the rules and, where there is one, of an order network."""
    from wsp_mm.evaluation.controls import RULES, load_pairs, load_probs
    from wsp_mm.evaluation.predictions import load_dump

    table, probs = load_pairs(data / 'mcpc/mcpc_test.json'), {}
    tests = {}
    if order:
        gray = Path(order[0]).with_name(f'{Path(order[0]).stem}_gray.py')
        if not gray.is_file():
            raise FileNotFoundError(f'{gray} does not exist: it would make the test images gray')
        tests = {'order': (order[0], 'order'), 'order, gray images': (gray, 'order_gray')}
    for name, (config, folder) in tests.items():
        dump = run_test(config, order[1], data, out / folder)
        probs[name], _ = load_probs(dump, table)
        probs[f'{name}, averaged'], _ = load_probs(dump, table, averaged=True)
    keep, joints = table.labelled, table.labelled.shape[1]
    probs |= {f'rule: {name}': np.tile(table.rule(name)[:, None], joints) for name in RULES}
    columns = table.label, table.gap, table.image_ids
    labels, gaps, images = (np.tile(column[:, None], joints)[keep] for column in columns)
    for name, values in probs.items():
        yield name, ORDER, partial(order_scores, values[keep], labels, gaps), images
    if order:
        found = load_dump(out / 'order/predictions.npz')
        names = [f'gt_instances.pair_{of}' for of in ('keypoints', 'visible', 'bboxes')]
        names.insert(0, 'pred_instances.keypoints')
        pred, gt, visible, boxes = (found[n].reshape(-1, *found[n].shape[2:]) for n in names)
        statistic = pck(pred, gt, visible, boxes[:, 3] - boxes[:, 1])
        yield 'order network, persons of pairs', *statistic, np.repeat(found['img_id'], 2)


def measure_pose(pose: Sequence[str], coco: Path) -> Iterator[Figures]:
    """Yield the PCK of a pose network of all labelled persons in their true boxes."""
    from wsp_mm.apis.images import read_image
    from wsp_mm.apis.models import batched, load_network
    from wsp_mm.datasets.annotations import Findings
    from wsp_mm.datasets.converters.mcpc.sources import JOINT_SET, read_coco_source
    from wsp_mm.structures.keypoints import convert_joints

    network, read = load_network(*pose, kinds=('pose',)), lru_cache(1)(read_image)
    table = read_coco_source(coco, 'coco', 'test', Findings())
    table.keep(~table.persons['crowd'] & (table.persons['visible'] > 0).any(axis=1))
    rows = np.argsort(table.persons['image'], kind='stable')
    names = 'image', 'keypoints', 'visible', 'bbox'
    images, gt, visible, boxes = (table.persons[name][rows] for name in names)
    files = [coco / table.images[i].file_name for i in images]
    crops = (
        network.crop(read(file), box[None], name=str(file), bbox_extended=False)
        for file, box in zip(files, boxes, strict=True)
    )
    pred = [
        one.keypoints[0, :, :2] for batch in batched(crops, 16) for one in network.predict(batch)
    ]
    pred = np.stack(pred)
    pred, made = convert_joints(pred, np.ones(pred.shape[:2]), network.joint_set, JOINT_SET)
    yield 'pose network, true boxes', *pck(pred, gt, visible * made, boxes[:, 3]), images


def measure_boxes(det: Sequence[str], ann_file: Path, out: Path) -> Iterator[Figures]:
    """Yield the AP50 of a detector."""
    from wsp_mm.apis.boxes import detect_persons, read_annotations
    from wsp_mm.apis.detector import PersonDetector

    images = list(read_annotations(ann_file)[0].values())
    detector, root = PersonDetector(*det, score_thr=SCORE_THR), ann_file.parents[1] / 'val2017'
    found = detect_persons(detector, images, root, out / 'boxes.json', progress=False)
    statistic, image_ids = ap50(ann_file, found)
    yield 'detector', ('AP50',), statistic, image_ids


def ap50(ann_file: Path, found) -> tuple[Statistic, np.ndarray]:
    """AP50 of the persons in a ``BoxFile``, as a statistic over images, and their ids."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    from wsp_mm.datasets.detections import PERSON
    from wsp_mm.evaluation.functional.averages import mean

    results = [
        dict(image_id=i, category_id=PERSON, bbox=box.tolist(), score=float(score))
        for i in found.boxes
        for box, score in zip(found.boxes[i], found.scores[i], strict=True)
    ]
    with redirect_stdout(None):
        truth = COCO(ann_file)
        scorer = COCOeval(truth, truth.loadRes(results) if results else COCO(), 'bbox')
        p = scorer.params
        p.catIds, p.iouThrs, p.maxDets = [PERSON], np.array([0.5]), [100]
        p.areaRng, p.areaRngLbl = p.areaRng[:1], p.areaRngLbl[:1]  # of any size
        scorer.evaluate()
    each = scorer.evalImgs

    def statistic(rows: np.ndarray) -> list[float]:
        scorer.evalImgs = [each[i] for i in rows]
        with redirect_stdout(None):
            scorer.accumulate()
        precision = scorer.eval['precision']
        return [100 * mean(precision[precision >= 0])]

    return statistic, np.array(p.imgIds)


def describe(ann_file: Path) -> dict[str, int]:
    """What an annotation file holds."""
    from wsp_mm.datasets.annotations import OUTLINES, load_json
    from wsp_mm.datasets.detections import PERSON

    content = load_json(ann_file, drop=OUTLINES)
    persons = [p for p in content['annotations'] if p['category_id'] == PERSON]
    crowds = sum(bool(p.get('iscrowd')) for p in persons)
    without = sum(not p.get('num_keypoints') and not p.get('iscrowd') for p in persons)
    counts = dict(images=len(content['images']), persons=len(persons) - crowds)
    return counts | dict(persons_without_keypoints=without, crowds=crowds)


def measure(args: argparse.Namespace) -> dict:
    """What ``real_photos.json`` holds."""
    from wsp_mm.datasets.annotations import load_json
    from wsp_mm.datasets.converters.mcpc.build import build_mcpc
    from wsp_mm.datasets.converters.mcpc.options import BuildOptions
    from wsp_mm.evaluation.functional import bootstrap_interval
    from wsp_mm.utils.files import file_sha256

    data = (args.out / 'data').resolve()
    ann_file = link_coco(args.coco, data / 'coco')
    options = dict(splits=('test',), max_pairs_per_image=0, progress=False)
    build_mcpc(BuildOptions(dict(coco=data / 'coco'), data / 'mcpc', **options))
    measured = [*measure_order(args.order, data, args.out)]
    if args.pose:
        measured += measure_pose(args.pose, data / 'coco')
    if args.det:
        measured += measure_boxes(args.det, ann_file, args.out)
    figures = {}
    for name, columns, statistic, images in measured:
        value = statistic(np.arange(len(images)))
        low, high = bootstrap_interval(statistic, images, args.resamples, args.seed)
        rows = zip(columns, value, low, high, strict=True)
        figures[name] = {column: [float(v) for v in values] for column, *values in rows}
    pairs = load_json(data / 'mcpc/mcpc_test.json')['pairs']
    counts = dict(pairs=len(pairs), images_with_pairs=len({pair['image_id'] for pair in pairs}))
    networks = {
        kind: dict(config=Path(model[0]).name, checkpoint_sha256=file_sha256(model[1]))
        for kind in ('order', 'pose', 'det')
        if (model := getattr(args, kind))
    }
    return dict(
        data=describe(ann_file) | counts, networks=networks, resamples=args.resamples,
        seed=args.seed, figures=figures,
    )  # fmt: skip


def main(argv: list[str] | None = None) -> int:
    args = build_parser().parse_args(argv)
    from wsp_mm.evaluation.tables import cell, text_table
    from wsp_mm.utils.checkpoint import CheckpointError
    from wsp_mm.utils.files import dump_json

    try:
        result = measure(args)
    except (CheckpointError, OSError, ValueError) as error:
        print(f'real_photos: {error}', file=sys.stderr)
        return 1
    print(', '.join(f'{n} {what.replace("_", " ")}' for what, n in result['data'].items()))
    figures = result['figures']
    for columns in dict.fromkeys(tuple(row) for row in figures.values()):
        rows = [
            [name, *('{} [{}, {}]'.format(*map(cell, row[column])) for column in columns)]
            for name, row in figures.items()
            if tuple(row) == columns
        ]
        print(text_table(['', *columns], rows))
    dump_json(args.out / 'real_photos.json', result)
    return 0


if __name__ == '__main__':
    sys.exit(main())
