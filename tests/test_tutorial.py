# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""demo/tutorial.ipynb runs from its first cell to its last, and shows what its text says."""

import re
import shutil

import nbformat
import pytest
from nbclient import NotebookClient

from wsp_mm.apis.model_zoo import find_networks


@pytest.fixture
def notebook(repo):
    return nbformat.read(repo / 'demo' / 'tutorial.ipynb', as_version=4)


def outputs(notebook, name):
    """Text that a cell printed, and how many figures it shows."""
    (cell,) = (cell for cell in notebook.cells if cell.id == name)
    text = ''.join(output.get('text', '') for output in cell.outputs)
    return text, sum('image/jpeg' in output.get('data', {}) for output in cell.outputs)


def test_tutorial_is_a_small_notebook(notebook, repo):
    nbformat.validate(notebook)
    assert (repo / 'demo' / 'tutorial.ipynb').stat().st_size < 400_000


@pytest.mark.slow
def test_tutorial_runs(notebook, repo, tmp_path):
    try:
        find_networks('wsp-lite0')
    except FileNotFoundError as error:
        pytest.skip(str(error))
    shutil.copy(repo / 'demo' / 'street.jpg', tmp_path)
    where = dict(metadata=dict(path=tmp_path))
    NotebookClient(notebook, timeout=600, kernel_name='python3', resources=where).execute()

    text, _ = outputs(notebook, 'world')
    assert 'annotation files written' in text
    text, _ = outputs(notebook, 'label')
    label, nearer = re.search(r'label ([01]), "([AB]) is nearer"', text).groups()
    assert nearer == 'BA'[int(label)]
    text, _ = outputs(notebook, 'order')
    assert f'rule: {nearer}; truth: ' in text
    shares = re.findall(r': (\d+) of (\d+)', outputs(notebook, 'all-pairs')[0])
    assert len(shares) == 3
    assert all(int(right) > int(count) / 2 for right, count in shares)
    text, _ = outputs(notebook, 'space')
    persons, order = re.search(r'(\d+) persons; from front to back: \[(.*)\]', text).groups()
    assert 2 <= int(persons) == len(order.split(','))
    figures = dict(ankles=1, heatmaps=1, order=1, space=3)
    assert {name: outputs(notebook, name)[1] for name in figures} == figures
