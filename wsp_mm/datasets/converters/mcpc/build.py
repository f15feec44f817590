# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Build MCPC from its sources, with the table of what it holds beside the paper's Table 1."""

import itertools
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wsp_mm import __version__
from wsp_mm.datasets.annotations import AnnotationError, Findings
from wsp_mm.datasets.converters.mcpc.dedup import remove_duplicates
from wsp_mm.datasets.converters.mcpc.images import check_source_images
from wsp_mm.datasets.converters.mcpc.mpii import read_mpii
from wsp_mm.datasets.converters.mcpc.options import ANKLE_RULES, BuildOptions
from wsp_mm.datasets.converters.mcpc.pairs import make_pairs
from wsp_mm.datasets.converters.mcpc.relative_human import read_relative_human_source
from wsp_mm.datasets.converters.mcpc.select import (
    KeptImage,
    add_plane_order,
    add_scales,
    annotation_records,
    eligible,
    image_record,
    keep_images,
    measure,
)
from wsp_mm.datasets.converters.mcpc.sources import (
    JOINT_SET,
    MCPC_SPLITS,
    SOURCES,
    SPLITS,
    PersonTable,
    join,
    read_coco_source,
)
from wsp_mm.structures.keypoints import get_joint_set
from wsp_mm.utils.files import atomic_file, progress_bar

#: Columns of the table.
COLUMNS = ('eligible', 'images', 'persons', 'pairs', 'stored')
#: The paper's Table 1 and section 4.1.1: images, persons, pairs (None: not given). Sources are not
#: split there.
PAPER = {
    ('mpii', ''): ('~17k', '~28k', None),
    ('coco', ''): ('~14k', '~56k', None),
    ('posetrack18', ''): ('~12k', '~56k', None),
    ('crowdpose', ''): ('~20k', '~80k', None),
    ('all', 'train'): ('~53k', '~220k', None),
    ('all', 'test'): ('~11k', None, '~18k'),
}
_LEGEND = """
listed: what the annotation files hold; persons have a labelled joint and are no crowd.

any, both: persons with one labelled ankle or with both are eligible; images are those with two of
them or more (and, in test, with a pair that is no tie); persons are the eligible ones of these
images; pairs are all that they form. The files hold the rule `{ankles}`; stored are the pairs of
the test file.

paper: its Table 1 (a source's figures are of all it has) and section 4.1.1.
"""
_LISTED = 200
_INFO = dict(
    description='MCPC: persons with labelled ankles, ordered by the perspective rule',
    version=__version__,
    joint_set=JOINT_SET,
)


@dataclass
class BuildResult:
    """What a build has made.

    Attributes:
        files: name -> path.
        rows: of the table, see :func:`make_rows`.
        findings: what was skipped, not checked, or worth saying.
    """

    files: dict[str, Path]
    rows: list[dict]
    findings: Findings


def build_mcpc(options: BuildOptions) -> BuildResult:
    """Build MCPC and write it.

    Writes ``mcpc_train.json`` and ``mcpc_test.json`` (COCO style), ``mcpc_table.json`` and
    ``mcpc_table.md``, and with ``dedup`` on ``dedup_report.json`` into ``options.out``: all of
    them, or on an error none. The result depends on the annotation files and the recorded options
    alone, not on the order of records or folders.

    Raises:
        AnnotationError: a source is missing or broken, a record is bad and bad records are not
            skipped, or a split would be empty.
    """
    findings = Findings(options.skip_bad)
    table = _read_sources(options, findings)
    check_source_images(table, options.roots, findings, options.progress)
    measure(table, options.ground, findings)
    findings.notes += findings.implausible_notes()
    contents: dict[str, Iterable[str]] = {}
    if options.dedup != 'off':
        report = _remove_copies(table, options, findings)
        contents['dedup_report.json'] = [json.dumps(report, indent=1), '\n']
    factors = add_scales(table)
    kept = {rule: keep_images(table, rule, options.min_gap_px) for rule in ANKLE_RULES}
    images = {
        split: [image for image in kept[options.ankles] if image.split == split]
        for split in options.splits
    }
    _check_not_empty(table, images, options, findings)
    if options.labels == 'plane':
        labelled = [image for split in images for image in images[split]]
        for image in progress_bar(labelled, label='ground planes', show=options.progress):
            add_plane_order(table, image)
    tested = images.get('test', [])
    pairs = make_pairs(table, tested, options.max_pairs_per_image, options.min_gap_px, options.seed)
    shared = dict(options.recorded(), scale_factors=factors, skipped=findings.counts())
    for name in ('implausible', 'unchecked'):
        shared[name] = dict(sorted(getattr(findings, name).items()))
    for split in images:
        if images[split]:
            bar = progress_bar(images[split], label=f'writing {split}', show=options.progress)
            lists = dict(
                categories=[_category()],
                images=(image_record(table, image) for image in images[split]),
                annotations=(one for image in bar for one in annotation_records(table, image)),
            ) | (dict(pairs=pairs) if split == 'test' else {})
            contents[f'mcpc_{split}.json'] = _stream(dict(_INFO, split=split, **shared), lists)
    sources = {image.id: image.image.source for image in tested}
    stored = Counter(sources[pair['image_id']] for pair in pairs)
    rows = make_rows(table, kept, options.ankles, stored)
    dropped = {f'{" ".join(key)}: {why}': n for (*key, why), n in sorted(table.dropped.items())}
    bad = [error.to_dict() for error in findings.bad]
    summary = dict(
        version=__version__, **shared, rows=rows, dropped=dropped, notes=findings.notes, bad=bad
    )
    contents['mcpc_table.json'] = [json.dumps(summary, indent=1), '\n']
    contents['mcpc_table.md'] = ['\n'.join(report_lines(rows, dropped, findings, options)), '\n']
    with ExitStack() as stack:  # the files take their names together, at the end
        for name, texts in contents.items():
            file = stack.enter_context(atomic_file(options.out / name))
            file.writelines(text.encode() for text in texts)
    for split in images:
        path = options.out / f'mcpc_{split}.json'
        if not images[split] and path.is_file():  # it would pass for a part of this build
            path.unlink()
            findings.notes.append(f'removed {path} of an earlier build: there is no {split} now')
    return BuildResult({name: options.out / name for name in contents}, rows, findings)


def _read_sources(options: BuildOptions, findings: Findings) -> PersonTable:
    """Read every wanted split of every source, in a fixed order."""
    tables = []
    for source, root in options.roots.items():
        found: dict[str, PersonTable] = {}
        with findings.guard():
            if not root.is_dir():
                what = 'there is no such folder'
                raise AnnotationError(
                    'missing file', root, '', what, f'Check --{source}'.replace('_', '-')
                )
            if source == 'mpii':
                found = read_mpii(root, options.splits, findings, options.mpii_val_list)
            else:
                own = source == 'relative_human'
                read = read_relative_human_source if own else read_coco_source
                for split in options.splits:
                    if source in MCPC_SPLITS[split]:
                        with findings.guard():
                            found[split] = read(root, source, split, findings)
        if len(found) == 2:
            tested = {image.file_name for image in found['test'].images}
            shared = [image.file_name in tested for image in found['train'].images]
            found['train'].remove_images(np.array(shared, dtype=bool))
            if any(shared):
                note = f'{source}: {sum(shared)} images are in both splits; taken out of train'
                findings.notes.append(note)
        tables += [found[split] for split in options.splits if split in found]
    if len(options.splits) == 1:
        note = f'{options.splits[0]} alone is built: an image may be in the other split, too'
        findings.notes.append(note)
    if not tables:
        what = 'no annotation file of any source can be read'
        why = str(findings.bad[0]) if findings.bad else 'Relative Human has no part in test'
        raise AnnotationError('empty split', options.out, '', what, why)
    return join(tables)


def _remove_copies(table: PersonTable, options: BuildOptions, findings: Findings) -> dict:
    """Compare the images that would be kept; return the report."""
    kept = keep_images(table, options.ankles, options.min_gap_px)
    images = [image.image for image in kept]
    images.sort(key=lambda image: (SOURCES.index(image.source), image.file_name))
    report = remove_duplicates(images, options, findings)
    why = 'image is a copy of another, or unreadable'
    table.dropped.update((*image.key, why) for image in images if image.gone)
    if options.dedup != 'drop':
        count = len(report['train_images_to_drop'])
        note = f'{count} training images are copies: see dedup_report.json, and --dedup drop'
        findings.notes.append(note)
    return report


def _check_not_empty(
    table: PersonTable, images: dict[str, list], options: BuildOptions, findings: Findings
) -> None:
    """Raise where a split with sources would be empty, and note sources that give nothing."""
    listed = Counter(image.key for image in table.images)
    kept = Counter(image.image.key for split in images for image in images[split])
    for source, split in listed:
        if not kept[source, split]:
            note = f'{source} {split}: NO image is kept of the {listed[source, split]:,} listed'
            findings.notes.append(note)
    for split in images:
        looked = {source: n for (source, other), n in listed.items() if other == split}
        if not images[split] and (looked or not kept):
            raise AnnotationError(
                'empty split', options.out, '',
                f'no image of {split} has two persons with labelled ankles ({options.ankles}) and '
                f'different ground heights; images listed: {looked}',
                'Check that the files belong to the splits, or build one split alone with --splits',
            )  # fmt: skip


def make_rows(
    table: PersonTable,
    kept: Mapping[str, Sequence[KeptImage]],
    ankles: str,
    stored: Mapping[str, int],
) -> list[dict]:
    """Return the rows of the table of a build.

    Args:
        table: everything, measured.
        kept: ankle rule -> what :func:`keep_images` returns.
        ankles: the rule of the files. stored: source -> number of pairs in the test file.

    Returns:
        Rows with source (``all``: the sum), split, who, eligible, images, persons, pairs and
        stored. ``who`` is listed: what the files hold (persons have a labelled joint and are no
        crowd); an ankle rule; or paper: its rounded figures.
    """
    counts: dict[tuple, Counter] = defaultdict(Counter)
    counts['listed', 'images'] = Counter(image.key for image in table.images)
    counts['listed', 'persons'] = table.tally(~table.persons['crowd'])
    counts[ankles, 'stored'] = Counter({(source, 'test'): n for source, n in stored.items()})
    for rule in kept:
        counts[rule, 'eligible'] = table.tally(eligible(table, rule))
        for image in kept[rule]:
            sizes = dict(images=1, persons=len(image.persons), pairs=image.num_pairs)
            for name, size in sizes.items():
                counts[rule, name][image.image.key] += size
    for counter in counts.values():
        for (_, split), n in list(counter.items()):
            counter['all', split] += n
    rows = []
    for source, split in itertools.product((*SOURCES, 'all'), (*SPLITS, '')):
        name = dict(source=source, split=split)
        for who in ('listed', *kept) if counts['listed', 'images'][source, split] else ():
            rows.append({**name, 'who': who, **{c: counts[who, c][source, split] for c in COLUMNS}})
        if (source, split) in PAPER:
            figures = zip(('images', 'persons', 'pairs'), PAPER[source, split], strict=True)
            rows.append({**name, 'who': 'paper', **dict(figures)})
    return rows


def report_lines(
    rows: Sequence[dict], dropped: Mapping[str, int], findings: Findings, options: BuildOptions
) -> list[str]:
    """Return the table in Markdown, what was skipped and what could not be checked."""
    head = ['source', 'split', 'who', *COLUMNS]
    table_rows = [head, ['---'] * len(head)]
    for row in rows:
        values = [row.get(name) or '' for name in head]
        table_rows.append([f'{value:,}' if isinstance(value, int) else value for value in values])
    widths = [max(map(len, column)) for column in zip(*table_rows, strict=True)]
    lines = ['# MCPC as built', _LEGEND.format(ankles=options.ankles)]
    for line in table_rows:
        padded = [text.ljust(width) for text, width in zip(line, widths, strict=True)]
        lines.append(f'| {" | ".join(padded)} |')
    lines += ['', *(f'- {note}' for note in findings.notes)]
    for title, counts in (
        ('dropped', dropped), ('not checked', findings.unchecked),
        ('skipped as bad', findings.counts())
    ):  # fmt: skip
        lines += [f'- {title}: {what}: {n:,}' for what, n in sorted(counts.items())]
    lines += [f'- {error}' for error in findings.bad[:_LISTED]]
    if len(findings.bad) > _LISTED:
        lines.append(f'- and {len(findings.bad) - _LISTED} more, all of them in mcpc_table.json')
    return lines


def _category() -> dict:
    joints = get_joint_set(JOINT_SET)
    skeleton = [[a + 1, b + 1] for a, b in joints.link_indices]
    names = dict(name='person', supercategory='person', keypoints=list(joints.joints))
    return dict(id=1, **names, skeleton=skeleton)


def _stream(info: dict, lists: Mapping[str, Iterable[dict]]) -> Iterator[str]:
    """Yield the json of one split, record by record: as a whole it would not fit in memory."""
    encode = json.JSONEncoder(separators=(',', ':'), allow_nan=False).encode
    yield f'{{"info":{encode(info)}'
    for name, records in lists.items():
        yield f',\n"{name}":['
        for i, record in enumerate(records):
            yield (',\n' if i else '\n') + encode(record)
        yield ']'
    yield '}\n'
