# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""The table of a build: what is in it of each source, under both ankle rules, beside the paper's
Table 1.
"""

from __future__ import annotations

from wsp_mm.datasets.converters.mcpc.options import ANKLES
from wsp_mm.datasets.converters.mcpc.records import SPLITS, Findings

#: The paper's Table 1 and section 4.1.1, in thousands: images, persons, pairs (None: not given).
#: Sources are not split there.
PAPER = {
    ('mpii', ''): (17, 28, None),
    ('coco', ''): (14, 56, None),
    ('posetrack18', ''): (12, 56, None),
    ('crowdpose', ''): (20, 80, None),
    ('all', 'train'): (53, 220, None),
    ('all', 'test'): (11, None, 18),
}
_LISTED = 200


def summarise(rows: list[dict]) -> list[dict]:
    """The rows of the sources with sums by split appended.

    Args:
        rows: one a source and split, with 'source', 'split', 'listed_images', 'listed_persons',
            'stored_pairs', 'copies' and for each ankle rule a dict of counts.
    """
    sums = []
    for split in SPLITS:
        part = [row for row in rows if row['split'] == split]
        if not part:
            continue
        total = {'source': 'all', 'split': split}
        for key in ('listed_images', 'listed_persons', 'stored_pairs', 'copies'):
            total[key] = sum(row[key] for row in part)
        for rule in ANKLES:
            total[rule] = {key: sum(row[rule][key] for row in part) for key in part[0][rule]}
        sums.append(total)
    return rows + sums


_HEADER = ('source', 'split', 'who', 'eligible', 'images', 'persons', 'pairs', 'stored')


def cells(rows: list[dict], ankles: str) -> list[list[str]]:
    """The table as text, without its header.

    For each source and split what its files list, what each ankle rule leaves, and the paper's
    figures, which are rounded and not split for the single sources.
    """

    def paper(source: str, split: str) -> list[str]:
        figures = ['' if n is None else f'~{n}k' for n in PAPER[source, split]]
        return [source, split or 'all', 'paper', '', *figures, '']

    out = []
    for row in rows:
        name, stored = (
            [row['source'], row['split']],
            f'{row["stored_pairs"]:,}' if row['split'] == 'test' else '',
        )
        out.append(
            [*name, 'listed', '', f'{row["listed_images"]:,}', f'{row["listed_persons"]:,}', '', '']
        )
        for rule in ANKLES:
            numbers = [f'{row[rule][key]:,}' for key in ('eligible', 'images', 'persons', 'pairs')]
            out.append([*name, rule, *numbers, stored if rule == ankles else ''])
        if tuple(name) in PAPER:
            out.append(paper(*name))
    return out + [paper(source, split) for source, split in PAPER if not split]


def to_markdown(rows: list[dict], ankles: str, findings: Findings) -> str:
    """The table, what was skipped and what could not be checked, as a page."""
    lines = [
        '# MCPC as built',
        '',
        'listed: what the annotation files hold; persons have a labelled joint and are no crowd.',
        '',
        'any, both: persons with one labelled ankle or with both are eligible; images are those with two of '
        'them or more (and, in test, with a pair that is no tie); persons are the eligible ones of these '
        'images; pairs are all that they form. '
        f'The files hold the rule `{ankles}`; stored are the pairs of the test file.',
        '',
        "paper: its Table 1 (a source's figures are of all it has) and section 4.1.1.",
        '',
        '| ' + ' | '.join(_HEADER) + ' |',
        '|' + '---|' * len(_HEADER),
        *('| ' + ' | '.join(row) + ' |' for row in cells(rows, ankles)),
        '',
    ]
    refused = sum(row[ankles]['refused'] for row in rows if row['source'] != 'all')
    copies = sum(row['copies'] for row in rows if row['source'] != 'all')
    lines += [
        f'- {refused} test pictures refused: their persons leave no valid pair',
        f'- {copies} copies dropped',
    ]
    lines += [f'- {note}' for note in findings.notes]
    lines += ['', '## Could not be checked', '']
    lines += [f'- {what}: {count:,}' for what, count in sorted(findings.unchecked.items())] or [
        'nothing'
    ]
    lines += ['', f'## Skipped as bad: {len(findings.bad)}', '']
    lines += [f'- {kind}: {count:,}' for kind, count in findings.counts().items()]
    if findings.bad:
        lines += ['', '```', *(str(error) for error in findings.bad[:_LISTED]), '```']
    if len(findings.bad) > _LISTED:
        lines.append(f'and {len(findings.bad) - _LISTED} more, all of them in mcpc_table.json')
    return '\n'.join(lines) + '\n'


def print_table(rows: list[dict], ankles: str, findings: Findings) -> None:
    """The same on the terminal."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table(
        title=f'MCPC (the files hold the rule "{ankles}")', box=SIMPLE_HEAD, pad_edge=False
    )
    for name in _HEADER:
        table.add_column(
            name,
            justify='left' if name in ('source', 'split', 'who') else 'right',
            no_wrap=True,
            min_width=6,
        )
    last = None
    for row in cells(rows, ankles):
        if last not in (None, row[:2]):
            table.add_section()
        table.add_row(*(['', ''] if row[:2] == last else row[:2]), *row[2:])
        last = row[:2]
    console.print(table)
    for note in findings.notes:
        console.print(f'[bold yellow]note[/] {note}', highlight=False)
    for what, count in sorted(findings.unchecked.items()):
        console.print(f'[bold yellow]not checked[/] {what}: {count:,}', highlight=False)
    for kind, count in findings.counts().items():
        console.print(f'[bold red]skipped[/] {kind}: {count:,}', highlight=False)
