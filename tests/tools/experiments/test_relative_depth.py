# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
from pathlib import Path

import relative_depth
from relative_depth import figures, noise_rows


def test_tests_are_the_siblings_of_the_config(checkout):
    for suffix in ('', '_ra', '_gray'):
        Path(f'a{suffix}.py').write_text(Path('config.py').read_text())
    steps = relative_depth.evaluations(
        'x', 'a.py', Path('run/epoch_2.pth'), Path('run/test'), ['model.k=1']
    )
    assert [step.name for step in steps] == ['x-test-p1', 'x-test-p2', 'x-test-gray']
    assert [step.command[1] for step in steps] == ['a.py', 'a_ra.py', 'a_gray.py']
    assert all(Path('run/epoch_2.pth') in step.inputs for step in steps)


def test_figures_are_flat():
    flat = figures({'rd/AUC': 1.0}, {'rd/AUC': 2.0}, {'rule': {'gt_pairs': 3.0}}, {'p': 0.5})
    assert flat == {
        'p1/rd/AUC': 1.0,
        'p2/rd/AUC': 2.0,
        'control/rule/gt_pairs': 3.0,
        'against lower box bottom/p': 0.5,
    }


def test_noise_rows_leave_out_empty_bins():
    noise = {'person/all/all': 8.0, 'joint/all/all': 9.0, 'n/all/all': 50, 'ties': 3}
    for place, values in {'roll/4_8': (17.0, 18.0, 7), 'roll/from_8': (None, None, 0)}.items():
        noise |= {f'{w}/{place}': v for w, v in zip(('person', 'joint', 'n'), values, strict=True)}
    _, rows = noise_rows(noise)
    assert rows == [['all', 8.0, 9.0, 50], ['roll 4 8', 17.0, 18.0, 7]]
