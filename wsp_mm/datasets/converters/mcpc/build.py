# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""MCPC from its sources: reading, choosing, writing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wsp_mm import __version__
from wsp_mm.datasets.converters.mcpc.dedup import Entry, find_duplicates
from wsp_mm.datasets.converters.mcpc.files import AtomicFiles, check_pictures, without_pictures
from wsp_mm.datasets.converters.mcpc.options import ANKLES, BuildOptions
from wsp_mm.datasets.converters.mcpc.records import SOURCES, BadDataError, Findings
from wsp_mm.datasets.converters.mcpc.select import DECIMALS, Selection, measure
from wsp_mm.datasets.converters.mcpc.sources import read_source
from wsp_mm.datasets.converters.mcpc.table import PAPER, summarise, to_markdown
from wsp_mm.datasets.converters.mcpc.writing import Record, make_records, write_split
from wsp_mm.structures.relative_depth import SCALE_SOURCES, calibrate, person_scale


@dataclass
class BuildResult:
    """What a build has made.

    Attributes:
        files: name -> path.
        rows: of the table, see :mod:`wsp_mm.datasets.converters.mcpc.table`.
        findings: what was skipped, not checked, or worth saying.
    """

    files: dict[str, Path]
    rows: list[dict]
    findings: Findings


def progress_bar(show: bool) -> Callable[[Iterable, str], Iterable]:
    """A wrapper for loops that draws a bar, or does nothing."""

    def bar(loop: Iterable, label: str) -> Iterable:
        from tqdm import tqdm

        return tqdm(loop, desc=label, mininterval=0.5, disable=not show, leave=False)

    return bar


def _read_all(options: BuildOptions, findings: Findings, bar: Callable) -> list[Selection]:
    """Every wanted source and split, measured, in a fixed order."""
    found = []
    for source in (s for s in SOURCES if s in options.roots):
        parts = read_source(source, options, findings, bar)
        if 'train' in parts and 'test' in parts:
            tested = {picture.file_name for picture in parts['test'].pictures}
            shared = np.array(
                [picture.file_name in tested for picture in parts['train'].pictures], dtype=bool
            )
            if shared.any():
                parts['train'] = without_pictures(parts['train'], shared)
                findings.notes.append(
                    f'{source}: {shared.sum()} pictures are in both splits; taken out of train'
                )
        if len(options.splits) == 1:
            findings.notes.append(
                f'{source}: {options.splits[0]} alone is built, so nothing was compared with the other split: '
                'a picture may be in both'
            )
        for split in options.splits:
            if split in parts:
                data = check_pictures(parts.pop(split), options.roots[source], findings)
                found.append(measure(data, options.ground, options.min_gap_px, findings))
    return found


def _factors(found: list[Selection]) -> tuple[dict, str]:
    """Factors from the eligible persons of train, or of everything when train has too few."""

    def of(parts: list[Selection]) -> dict:
        lengths = {
            name: np.concatenate(
                [part.lengths[name][part.eligible('any')] for part in parts] or [np.zeros(0)]
            )
            for name in SCALE_SOURCES
        }
        return calibrate(lengths)

    train = of([part for part in found if part.data.split == 'train'])
    if all(train['persons'].values()):
        return train, 'train'
    return of(found), 'train and test'


def _remove_copies(
    found: list[Selection], options: BuildOptions, findings: Findings, bar: Callable
) -> dict:
    """The report of ``dedup``; with 'drop' the copies are marked as gone, and always what cannot be
    read.
    """
    entries, places = [], []
    for part in found:
        for i, _ in part.kept(options.ankles)[0]:
            name = part.data.pictures[i].file_name
            entries.append(Entry(part.name, name, options.roots[part.data.source] / name))
            places.append((part, i))
    order = sorted(
        range(len(entries)),
        key=lambda k: (SOURCES.index(entries[k].group[0]), entries[k].file_name),
    )
    report, gone, unreadable = find_duplicates(
        [entries[k] for k in order], options.dedup_distance, options.workers, findings, bar
    )
    for k in unreadable | (gone if options.dedup == 'drop' else set()):
        part, i = places[order[k]]
        part.gone[i] = True
    if options.dedup != 'drop':
        findings.notes.append(
            f'{len(gone)} training pictures are copies of others: see dedup_report.json, and --dedup drop'
        )
    return {'mode': options.dedup, **report}


def _check_not_empty(
    by_split: dict[str, list[Record]], found: list[Selection], options: BuildOptions
) -> None:
    """No silent empty data set."""
    for split in options.splits:
        parts = [part for part in found if part.data.split == split]
        if by_split.get(split) or (not parts and any(by_split.values())):
            continue
        looked = '; '.join(
            f'{part.data.source}: {len(part.data.pictures):,} pictures and {len(part.data):,} persons in '
            f'{part.data.files[0]}'
            + (f' and {len(part.data.files) - 1} more' if part.data.files[1:] else '')
            for part in parts
        )
        raise BadDataError(
            'empty', options.out, '', f'no picture of {split} has two persons with labelled ankles '
            f'({options.ankles}) and different ground heights; looked in {looked or "no file at all"}',
            'Check that the files belong to the splits, or build the other split alone with --splits',
        )  # fmt: skip


def build_mcpc(options: BuildOptions) -> BuildResult:
    """Build MCPC and write it.

    Writes ``mcpc_train.json`` and ``mcpc_test.json`` (COCO style), ``mcpc_table.json`` and
    ``mcpc_table.md``, and with ``dedup`` on ``dedup_report.json`` into ``options.out``: all of
    them, or on an error none. The result depends on the annotation files and the recorded options
    alone, not on the order of records or folders.

    Raises:
        BadDataError: see :mod:`wsp_mm.datasets.converters.mcpc.records`.
    """
    findings, bar = Findings(options.skip_bad), progress_bar(options.progress)
    found = _read_all(options, findings, bar)
    report = _remove_copies(found, options, findings, bar) if options.dedup != 'off' else None
    factors, calibrated_on = _factors(found)
    for part in found:
        scale, part.scale_source = person_scale(part.lengths, factors)
        part.scale = scale.round(DECIMALS + 1)
    by_split = {
        split: make_records([part for part in found if part.data.split == split], options.ankles)
        for split in options.splits
    }
    _check_not_empty(by_split, found, options)
    for part in found:
        if not part.kept(options.ankles)[1]['images']:
            findings.notes.append(
                f'{" ".join(part.name)}: NO picture is kept of the {len(part.data.pictures)} in '
                f'{part.data.files[0]}'
            )

    recorded = {**factors, 'calibrated_on': calibrated_on}
    names, stale, stored = [], [], {}
    with AtomicFiles(options.out) as files:
        for split, records in by_split.items():
            if not records:
                stale.append(options.out / f'mcpc_{split}.json')
                continue
            names.append(f'mcpc_{split}.json')
            with files.open(names[-1]) as file:
                pairs = write_split(file, split, records, options, recorded, findings, bar)
            source_of = {record.image['id']: record.image['source'] for record in records}
            for pair in pairs:
                stored[source_of[pair['image_id']]] = stored.get(source_of[pair['image_id']], 0) + 1
        rows = summarise([_row(part, stored) for part in found])
        table = dict(
            version=__version__,
            options=options.recorded(),
            scale_factors=recorded,
            rows=rows,
            paper_thousands={' '.join(k).strip(): v for k, v in PAPER.items()},
            notes=findings.notes,
            unchecked=dict(sorted(findings.unchecked.items())),
            skipped_counts=findings.counts(),
            skipped=[error.to_dict() for error in findings.bad],
        )
        texts = {
            'mcpc_table.json': json.dumps(table, indent=1) + '\n',
            'mcpc_table.md': to_markdown(rows, options.ankles, findings),
        }
        if report is not None:
            texts['dedup_report.json'] = json.dumps(report, indent=1) + '\n'
        for name, text in texts.items():
            names.append(name)
            with files.open(name) as file:
                file.write(text)
    for path in stale:
        # A file of an earlier build would pass for a part of this one.
        if path.is_file():
            path.unlink()
            findings.notes.append(
                f'removed {path} of an earlier build: this one has nothing for that split'
            )
    return BuildResult({name: options.out / name for name in names}, rows, findings)


def _row(part: Selection, stored: dict[str, int]) -> dict:
    source, split = part.name
    return dict(
        source=source,
        split=split,
        listed_images=len(part.data.pictures),
        listed_persons=int((~part.data.crowd).sum()),
        dropped=dict(sorted(part.data.dropped.items())),
        copies=int(part.gone.sum()),
        stored_pairs=stored.get(source, 0) if split == 'test' else 0,
        **{rule: part.kept(rule)[1] for rule in ANKLES},
    )
