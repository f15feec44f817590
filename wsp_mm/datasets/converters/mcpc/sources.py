# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""One split of one source as arrays, and the reader of COCO-style files: COCO, PoseTrack18 (merged
or by video) and CrowdPose.

N persons, K joints of the source's own joint set.
"""

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from wsp_mm.datasets.annotations import (
    DATA_REMEDY,
    OUTLINES,
    AnnotationError,
    Findings,
    check_lists,
    image_name,
    load_json,
    record_name,
    repeated,
)
from wsp_mm.datasets.columns import Column, Rule, read_columns
from wsp_mm.datasets.converters.mcpc.joints import joint_boxes, unlabel_misplaced
from wsp_mm.datasets.plausibility import upside_down
from wsp_mm.structures.depth_layers import UNKNOWN
from wsp_mm.structures.keypoints import convert_joints, get_joint_set
from wsp_mm.structures.relative_depth import scale_lengths

#: Order in which images are numbered, and which copy of an image is kept when two sources share it.
SOURCES = ('coco', 'mpii', 'posetrack18', 'crowdpose', 'relative_human')
SPLITS = ('train', 'test')
#: MCPC's split -> source -> the source's own splits that make it (only CrowdPose publishes labels
#: for its test set; Relative Human is tested on its own).
MCPC_SPLITS = {
    'train': dict(coco=('train',), mpii=('train',), posetrack18=('train',),
                  crowdpose=('train', 'val'), relative_human=('train',)),
    'test': dict(coco=('val',), mpii=('val',), posetrack18=('val',), crowdpose=('test',)),
}  # fmt: skip

# Source and split -> joint set, folder put before the file names, and annotation files: patterns
# below annotations/, of which the first group that is there as a whole is read.
_COCO_STYLE = {
    ('coco', 'train'): ('coco17', 'train2017/', [['person_keypoints_train2017.json']]),
    ('coco', 'test'): ('coco17', 'val2017/', [['person_keypoints_val2017.json']]),
    ('posetrack18', 'train'): ('posetrack18', '', [['posetrack18_train.json'], ['train/*.json']]),
    ('posetrack18', 'test'): ('posetrack18', '', [['posetrack18_val.json'], ['val/*.json']]),
    ('crowdpose', 'train'): (
        'crowdpose14', 'images/', [
            ['mmpose_crowdpose_trainval.json'],
            ['mmpose_crowdpose_train.json', 'mmpose_crowdpose_val.json'],
            ['mmpose_crowdpose_train.json'],
        ],
    ),
    ('crowdpose', 'test'): ('crowdpose14', 'images/', [['mmpose_crowdpose_test.json']]),
}  # fmt: skip
# Joint set and another spelling of a joint -> the spelling of the set.
_SPELLINGS = {('crowdpose14', 'head'): 'top_head'}
JOINT_SET = 'mcpc16'
#: Fewer persons than this say nothing of the order of a file's joints.
MANY = 20
# Finer than any labelling; coarse enough that a coordinate survives json unchanged.
DECIMALS = 3
_FLAGS = Rule('must have v of 0, 1 or 2', lambda v: np.isin(v[:, 2::3], (0, 1, 2)).all(axis=1))
ID = (int, str)
_WHOLE = re.compile(r'(0|[1-9]\d{0,14})(\.0)?', re.ASCII)  # exact in float64


@dataclass
class Image:
    """An image as its source lists it.

    Attributes:
        source, split: names in :data:`SOURCES` and :data:`SPLITS`.
        file_name: relative to the source's folder. source_id: its id in the source.
        file: the annotation file that lists it.
        width, height: px, None where the annotation file does not say.
        gone: taken out after reading, as a copy of another.
    """

    source: str
    split: str
    file_name: str
    source_id: int | str
    file: str
    width: int | None = None
    height: int | None = None
    gone: bool = False

    @property
    def key(self) -> tuple[str, str]:
        """Source and split."""
        return self.source, self.split

    @property
    def size(self) -> tuple[float, float]:
        """Width and height px, inf where they are not known."""
        return self.width or np.inf, self.height or np.inf


@dataclass
class PersonTable:
    """Images, and every person on them with at least one labelled joint, in MCPC's joints.

    Attributes:
        images: the images.
        persons: columns of N persons:
            image: (N,) index into ``images``. id: (N,) int or str, in the source.
            keypoints: (N, 16, 2) px. visible: (N, 16) 0 not labelled, 1 labelled, hidden or
            unknown, 2 labelled and visible.
            bbox: (N, 4) x, y, w, h px, not clipped; box_made: (N,) made from the joints, since the
            source has none.
            area: (N,) px^2, nan where the source has none. crowd: (N,) stands for a group.
            head_length: (N,) px, length of the head (Eq. 13) where the source says it apart from
            the joints, else nan.
            layer: (N,) depth layer that people annotated, -1 where the source has none.
            length_head, length_face, length_torso: (N,) px, see
            :func:`wsp_mm.structures.relative_depth.scale_lengths`.
        dropped: (source, split, why) -> number of records that are not among the persons.
    """

    images: list[Image]
    persons: dict[str, np.ndarray]
    dropped: Counter = field(default_factory=Counter)

    def __len__(self) -> int:
        return len(self.persons['image'])

    def tally(self, persons: np.ndarray) -> Counter:
        """Return (source, split) -> number of persons in a mask (N,)."""
        return Counter(self.images[i].key for i in self.persons['image'][persons].tolist())

    def count(self, persons: np.ndarray, why: str) -> None:
        """Count persons (N,) bool as dropped."""
        self.dropped.update({(*key, why): n for key, n in self.tally(persons).items()})

    def keep(self, persons: np.ndarray) -> None:
        """Keep some of the persons, (N,) bool."""
        self.persons = {name: values[persons] for name, values in self.persons.items()}

    def remove_images(self, gone: np.ndarray) -> None:
        """Remove images, a mask over ``images``, and their persons."""
        self.keep(~gone[self.persons['image']])
        self.persons['image'] = (np.cumsum(~gone) - 1)[self.persons['image']]
        self.images = [image for image, lost in zip(self.images, gone, strict=True) if not lost]


def make_table(
    key: tuple[str, str],
    images: list[Image],
    dropped: Mapping[str, int],
    joint_set: str,
    keypoints: np.ndarray,
    visible: np.ndarray,
    *,
    findings: Findings,
    id: Sequence,
    **columns: np.ndarray,
) -> PersonTable:
    """Return a table of persons whose joints (N, K) are in the order of ``joint_set``.

    Persons who are listed twice are dropped, and joints that cannot be where they are become
    unlabelled (:func:`unlabel_misplaced`).

    Args:
        key: source and split. images: of the table. dropped: why -> number of records.
        joint_set, keypoints, visible: the joints.
        findings: gets what is implausible.
        id, **columns: the other columns; what is not given is nan, -1 for ``layer``, False for
            ``crowd``.
    """
    count = len(visible)
    ids = np.empty(count, dtype=object)
    ids[:] = id
    columns = dict(
        bbox=np.full((count, 4), np.nan),
        area=np.full(count, np.nan),
        head_length=np.full(count, np.nan),
        layer=np.full(count, UNKNOWN),
        crowd=np.zeros(count, dtype=bool),
    ) | dict(columns, id=ids, keypoints=keypoints, visible=visible.astype(np.int8))
    table = PersonTable(images, columns, Counter({(*key, why): n for why, n in dropped.items()}))
    persons = zip(columns['image'].tolist(), keypoints, columns['visible'], strict=True)
    content = [(image, joints.tobytes(), flags.tobytes()) for image, joints, flags in persons]
    listed_twice = repeated(content) & (visible > 0).any(axis=1)
    table.count(listed_twice, 'the same person in the same image once more')
    table.keep(~listed_twice)
    unlabel_misplaced(table.persons, images, findings)
    wrong, of = upside_down(table.persons['keypoints'], table.persons['visible'], joint_set)
    if of >= MANY and wrong > of / 2:
        findings.notes.append(
            f'{images[0].file}: of {wrong:,} of {of:,} persons head, hips and ankles do not follow '
            f'each other downwards: are its joints in the order of {joint_set}?'
        )
    labelled = (table.persons['visible'] > 0).any(axis=1)
    table.count(~labelled, 'no labelled joint')
    table.keep(labelled)
    persons = table.persons
    keypoints, visible, bbox = (persons[name] for name in ('keypoints', 'visible', 'bbox'))
    lengths = scale_lengths(keypoints, visible, np.full(len(table), np.nan), joint_set)
    persons |= {f'length_{name}': length for name, length in lengths.items()}
    persons['box_made'] = made = np.isnan(bbox).any(axis=1)
    persons['bbox'] = np.where(made[:, None], joint_boxes(keypoints, visible), bbox)
    keypoints, persons['visible'] = convert_joints(keypoints, visible, joint_set, JOINT_SET)
    persons['keypoints'] = keypoints.round(DECIMALS)
    return table


def join(tables: Sequence[PersonTable]) -> PersonTable:
    """Join tables; images and persons stay in their order."""
    offsets = np.cumsum([0] + [len(table.images) for table in tables[:-1]])
    for table, offset in zip(tables, offsets, strict=True):
        table.persons['image'] += offset
    names = tables[0].persons if tables else ()
    return PersonTable(
        [image for table in tables for image in table.images],
        {name: np.concatenate([table.persons[name] for table in tables]) for name in names},
        sum((table.dropped for table in tables), Counter()),
    )


def missing_annotations(root: Path, split: str, looked_for: Iterable[str]) -> AnnotationError:
    """Return the error of a split whose annotation files are not there."""
    names = ' or '.join(dict.fromkeys(looked_for))
    what = f'there are no annotations for {split}; looked for {names}'
    remedy = f'{DATA_REMEDY}; --splits builds one split alone, and sources can be left out'
    return AnnotationError('missing file', root, '', what, remedy)


def read_coco_source(root: Path, source: str, split: str, findings: Findings) -> PersonTable:
    """Read one split of COCO, PoseTrack18 or CrowdPose.

    Args:
        root: the source's folder. source, split: see :class:`Image`.
        findings: gets every bad record; with ``skip_bad`` a broken file of several is left out.

    Raises:
        AnnotationError: no annotation file, or one that cannot be used.
    """
    joint_set, prefix, groups = _COCO_STYLE[source, split]
    found = [[sorted(root.glob(f'annotations/{name}')) for name in names] for names in groups]
    complete = [n for n, paths in enumerate(found) if all(paths)]
    if not complete:
        names = [f'annotations/{name}' for names in groups for name in names]
        raise missing_annotations(root, split, names)
    if complete[0]:
        read, preferred = (', '.join(groups[n]) for n in (complete[0], 0))
        findings.notes.append(f'{source} {split}: read {read}; there is no {preferred}')
    tables = []
    for path in itertools.chain(*found[complete[0]]):
        with findings.guard():  # one broken video must not cost the others
            tables.append(read_coco_style(path, source, split, joint_set, prefix, findings))
    if not tables:
        raise missing_annotations(root, split, ['a file that can be read'])
    return join(tables)


def read_coco_style(
    path: Path, source: str, split: str, joint_set: str, prefix: str, findings: Findings
) -> PersonTable:
    """Read one COCO-style file.

    Args:
        path: the json file.
        source, split: see :class:`Image`.
        joint_set: name of the joints' order in the file.
        prefix: put before every file name, so that it becomes relative to the source's folder.
        findings: gets every bad record.

    Returns:
        Every person with a labelled joint. Crowds with labelled joints are kept and marked, since
        their ankles may have to be hidden; ``dropped`` counts what was left out on purpose.

    Raises:
        AnnotationError: the file as a whole cannot be used, or a record is bad and bad records are
            not skipped.
    """
    content = load_json(path, arrays=('keypoints', 'bbox'), drop=OUTLINES)
    check_lists(content, ('images', 'annotations', 'categories'), path, empty=True)
    for part in ('images', 'annotations', 'categories'):
        _plain_ids(content[part])
    is_person = _categories(path, content['categories'], joint_set)
    images, image_index = _images(path, source, split, content['images'], prefix, findings)
    annotations, num_joints = content.pop('annotations'), len(get_joint_set(joint_set))
    records, dropped = _person_records(path, annotations, image_index, is_person, findings)
    columns = dict(keypoints=Column((num_joints * 3,), rule=_FLAGS))
    columns['bbox'] = Column((4,), default=np.nan)
    values, kept = read_columns(records, columns, path, 'annotation', findings)
    records = [records[i] for i in kept]
    joints = values['keypoints'].reshape(-1, num_joints, 3)
    areas = [record.get('area') for record in records]
    return make_table(
        (source, split), images, dropped, joint_set, joints[..., :2], joints[..., 2],
        findings=findings,
        image=np.array([image_index[record['image_id']] for record in records], dtype=np.int64),
        id=[record['id'] for record in records],
        bbox=values['bbox'],
        area=np.array([area if _is_positive(area) else np.nan for area in areas]),
        crowd=np.array([bool(record.get('iscrowd')) for record in records], dtype=bool),
    )  # fmt: skip


def _plain_ids(records: list) -> None:
    """Write ids that are whole floats or digits as integers, so that they match."""
    for record in records:
        for key in ('id', 'image_id', 'category_id') if isinstance(record, dict) else ():
            value = record.get(key)
            if isinstance(value, (float, str)) and _WHOLE.fullmatch(str(value)):
                record[key] = int(float(value))


def _categories(path: Path, categories: list, joint_set: str) -> dict[int | str, bool]:
    """Return id -> whether it is the person category, whose joints must be those of the set."""
    expected, is_person = get_joint_set(joint_set).joints, {}
    for category in categories:
        if not isinstance(category, Mapping) or not isinstance(category.get('id'), ID):
            what = f'a category needs an id, got {str(category)[:60]}'
            raise AnnotationError('unknown category', path, 'categories', what)
        is_person[category['id']] = category.get('name') == 'person'
        names = category.get('keypoints', expected) if is_person[category['id']] else expected
        names = [str(name) for name in names] if isinstance(names, (list, tuple)) else []
        if tuple(_SPELLINGS.get((joint_set, name), name) for name in names) != expected:
            what = f'its joints are {names}, expected {list(expected)}'
            raise AnnotationError('wrong joints', path, f'category {category["id"]}', what)
    if not any(is_person.values()):
        what = f"there is no 'person' among {str(categories)[:80]}"
        raise AnnotationError('unknown category', path, 'categories', what)
    return is_person


def _images(
    path: Path, source: str, split: str, records: list, prefix: str, findings: Findings
) -> tuple[list[Image], dict[int | str, int | None]]:
    """Return the images, and id -> index; None as index marks an image whose own record was bad."""
    images, index, names = [], {}, set()
    for n, record in enumerate(records):
        get = record.get if isinstance(record, Mapping) else {}.get
        key, name, *size = (get(k) for k in ('id', 'file_name', 'width', 'height'))
        name = image_name(name)
        if not isinstance(key, ID) or not name:
            problem = 'incomplete record', f'it needs id and file_name, got {str(record)[:80]}'
        elif key in index:
            problem = 'duplicate id', 'two images have this id'
        elif name in names:
            problem = 'duplicate id', f'two images have the file name {name!r}'
        elif not all(side is None or (_is_positive(side) and side >= 1) for side in size):
            problem = 'bad image size', f'its size is {size[0]} x {size[1]}'
        else:
            names.add(name)
            index[key] = len(images)
            size = () if None in size else map(int, size)
            name = prefix + name.removeprefix(prefix)  # some files say train2017/ themselves
            images.append(Image(source, split, name, key, str(path), *size))
            continue
        findings.report(problem[0], path, record_name('image', record, n), problem[1])
        if isinstance(key, ID):
            index[key] = None  # nobody can tell whose the annotations are
    return images, index


def _person_records(
    path: Path, records: list, images: dict, is_person: dict, findings: Findings
) -> tuple[list[dict], Counter]:
    """Return the annotations of persons with keypoints, and how many others there are, and why."""
    persons, dropped, seen = [], Counter(), set()
    for n, record in enumerate(records):
        get = record.get if isinstance(record, Mapping) else {}.get
        key, image, category = (get(k) for k in ('id', 'image_id', 'category_id'))
        if not isinstance(key, ID) or not isinstance(image, ID):
            problem = 'incomplete record', f'it needs id and image_id, got {str(record)[:80]}'
        elif key in seen:
            problem = 'duplicate id', 'two annotations have this id'
        elif image not in images:
            problem = 'unknown image', f'it belongs to image {image}, which is not listed'
        elif not isinstance(category, ID) or category not in is_person:
            problem = 'unknown category', f'category {category} is not listed'
        else:
            seen.add(key)
            if images[image] is None:
                dropped['on an image that was skipped'] += 1
            elif not is_person[category]:
                dropped['not a person'] += 1
            elif get('keypoints') is None:
                dropped['no keypoints'] += 1
            else:
                persons.append(record)
            continue
        findings.report(problem[0], path, record_name('annotation', record, n), problem[1])
    return persons, dropped


def _is_positive(value: object) -> bool:
    return isinstance(value, (int, float)) and 0 < value < 2**31
