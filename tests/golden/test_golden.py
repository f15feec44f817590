# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""What version 0.1.0 gave still holds; ``python -m tests.golden.record PART`` renews a part."""

import pytest

from tests.golden import record


@pytest.fixture(scope='session')
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp('golden')


@pytest.mark.parametrize(
    ('part', 'name'),
    [
        pytest.param(part, name, id=f'{part}-{name}')
        for part in record.PARTS
        for name in record.cases(part)
    ],
)
def test_golden(part, name, scratch):
    found = record.run(part, name, scratch)
    recorded = {
        key: value for key, value in record.load(part).items() if key.startswith(f'{name}/')
    }
    lines = record.differences(part, found, recorded)
    assert not lines, '\n'.join([f'{len(lines)} of {len(recorded)} values differ', *lines[:20]])


@pytest.mark.parametrize('part', record.PARTS)
def test_no_case_was_lost(part):
    """A case that is deleted on purpose takes its part of the record along."""
    assert {key.partition('/')[0] for key in record.load(part)} == set(record.cases(part))
