# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
from wsp_mm.datasets.converters.mcpc.records import Findings
from wsp_mm.datasets.converters.mcpc.table import cells, print_table, summarise, to_markdown


def row(source, split, n, stored=0):
    counts = dict(images=n, persons=2 * n, pairs=3 * n, refused=1, eligible=4 * n)
    half = {key: value // 2 for key, value in counts.items()}
    return dict(
        source=source, split=split, listed_images=10 * n, listed_persons=20 * n, dropped={}, copies=1,
        stored_pairs=stored, any=counts, both=half,
    )  # fmt: skip


ROWS = summarise(
    [row('coco', 'train', 1000), row('mpii', 'train', 10), row('coco', 'test', 4, stored=8)]
)


def test_sums_by_split():
    train, test = ROWS[-2:]
    assert (train['source'], train['split'], train['any']['images'], train['both']['pairs']) == (
        'all',
        'train',
        1010,
        1515,
    )
    assert (test['split'], test['stored_pairs'], test['listed_persons']) == ('test', 8, 80)


def test_cells_hold_both_rules_and_the_paper():
    table = [tuple(line) for line in cells(ROWS, 'any')]
    assert ('coco', 'train', 'listed', '', '10,000', '20,000', '', '') in table
    assert ('coco', 'train', 'any', '4,000', '1,000', '2,000', '3,000', '') in table
    assert ('coco', 'train', 'both', '2,000', '500', '1,000', '1,500', '') in table
    assert ('coco', 'test', 'any', '16', '4', '8', '12', '8') in table
    assert ('all', 'train', 'paper', '', '~53k', '~220k', '', '') in table
    assert ('all', 'test', 'paper', '', '~11k', '', '~18k', '') in table
    assert ('mpii', 'all', 'paper', '', '~17k', '~28k', '', '') in table
    assert ('coco', 'test', 'both', '8', '2', '4', '6', '8') in [
        tuple(line) for line in cells(ROWS, 'both')
    ]


def findings():
    found = Findings(skip_bad=True, notes=['a note'])
    found.unchecked['coco train: something'] = 1234
    for n in range(205):
        found.report('nan', 'f.json', f'row {n}', 'broken')
    return found


def test_markdown_lists_what_was_skipped():
    page = to_markdown(ROWS, 'any', findings())
    assert '- coco train: something: 1,234' in page and '- a note' in page
    assert '- nan: 205' in page and 'f.json: row 199: broken' in page
    assert 'row 200' not in page and 'and 5 more' in page
    assert '- 3 test pictures refused' in page and '- 3 copies dropped' in page
    lines = [line for line in page.splitlines() if line.startswith('|')]
    assert len({line.count('|') for line in lines}) == 1


def test_markdown_when_all_is_well():
    page = to_markdown(ROWS, 'both', Findings())
    assert 'nothing' in page and 'Skipped as bad: 0' in page


def test_terminal(capsys, monkeypatch):
    monkeypatch.setenv('COLUMNS', '100')
    print_table(ROWS, 'any', findings())
    shown = capsys.readouterr().out
    assert '~220k' in shown and '10,000' in shown and 'a note' in shown
    assert 'nan: 205' in shown and 'something: 1,234' in shown
