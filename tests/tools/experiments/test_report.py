# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import base64
import json
import math

import cv2
import numpy as np
import pytest
from report import Report, curves_figure, read_scalars


def write_run(folder, records):
    path = folder / 'vis_data' / 'scalars.json'
    path.parent.mkdir(parents=True)
    path.write_text('\n'.join(json.dumps(record) for record in records))


def test_curves_by_iteration_and_resumed_run_wins(tmp_path):
    records = [dict(loss=loss, iter=i, step=i) for loss, i in ((4.0, 5), (3.0, 10), (9.0, 20))]
    write_run(tmp_path / '20260101_000000', [*records, {'rd/AUC': 60.0, 'step': 10}])
    records = [dict(loss=2.0, iter=20, step=20), {'rd/AUC': 70.0, 'step': 20}]
    write_run(tmp_path / '20260101_000001', records)
    curves = read_scalars(tmp_path)
    assert curves['loss'] == [(5, 4.0), (10, 3.0), (20, 2.0)]
    assert curves['rd/AUC'] == [(10, 60.0), (20, 70.0)]


def test_no_log_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'scalars\.json'):
        read_scalars(tmp_path)


def test_curves_figure_has_one_panel_a_title():
    curves = {'a': [(0, 1.0), (1, 2.0)], 'b': [(0, 3.0)]}
    one, two = (
        cv2.imdecode(np.frombuffer(curves_figure(curves, panels), np.uint8), 1)
        for panels in ({'x': ['a']}, {'x': ['a'], 'y': ['b'], 'z': ['none']})
    )
    assert two.shape[1] == 2 * one.shape[1]
    with pytest.raises(ValueError, match="'a', 'b'"):
        curves_figure(curves, {'x': ['none']})


def test_report_files(tmp_path):
    report = Report('A <b> title', tmp_path)
    report.heading('First')
    report.text('5 < 6')
    report.table(['name', 'value'], [['x', 1.25], ['y', math.nan], ['z', 7]])
    png = cv2.imencode('.png', np.zeros((4, 4, 3), np.uint8))[1].tobytes()
    report.figure('dot', png, 'a dot')
    report.link('other.html', 'more')
    report.write()
    page, markdown = (tmp_path.joinpath(f'report.{kind}').read_text() for kind in ('html', 'md'))
    assert 'A &lt;b&gt; title' in page and '5 &lt; 6' in page
    assert base64.b64encode(png).decode() in page
    assert '| x | 1.2 |' in markdown and '| y | - |' in markdown and '| z | 7 |' in markdown
    assert '](figures/dot.png)' in markdown
    assert (tmp_path / 'figures' / 'dot.png').read_bytes() == png
    assert '[more](other.html)' in markdown and 'href="other.html"' in page
