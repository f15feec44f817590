# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""A report of tables and figures, as one self-contained html page and as markdown, and training
curves.
"""

import base64
import html
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from wsp_mm.evaluation.tables import cell, markdown_table
from wsp_mm.utils.files import write_text_atomic

STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:1060px;margin:2em auto;padding:0 1em;color:#222}
table{border-collapse:collapse;margin:1em 0}
td,th{padding:.25em .7em;border-bottom:1px solid #ddd;text-align:right}
td:first-child,th:first-child{text-align:left}img{max-width:100%}
code,pre{background:#f4f4f4;padding:.1em .3em}
"""
Curves = dict[str, list[tuple[float, float]]]


class Report:
    """Collects sections in order, then writes ``report.html`` and ``report.md``.

    Args:
        title: heading.
        out: folder; figures go to ``out/figures``.
    """

    def __init__(self, title: str, out: str | Path) -> None:
        self.title, self.out = title, Path(out)
        self._html: list[str] = []
        self._md: list[str] = []

    def heading(self, text: str) -> None:
        self._html.append(f'<h2>{html.escape(text)}</h2>')
        self._md.append(f'## {text}')

    def text(self, text: str) -> None:
        self._html.append(f'<p>{html.escape(text)}</p>')
        self._md.append(text)

    def table(self, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Add a table; floats are rounded, nan and None print as a dash."""
        lines = [''.join(f'<th>{html.escape(name)}</th>' for name in header)]
        for row in rows:
            lines.append(''.join(f'<td>{html.escape(cell(value))}</td>' for value in row))
        self._html.append(f'<table>{"".join(f"<tr>{line}</tr>" for line in lines)}</table>')
        self._md.append('\n'.join(markdown_table(header, rows)))

    def link(self, target: str, text: str) -> None:
        """Add a link to another file of the report's folder."""
        self._html.append(f'<p><a href="{html.escape(target)}">{html.escape(text)}</a></p>')
        self._md.append(f'[{text}]({target})')

    def figure(self, name: str, png: bytes, caption: str) -> None:
        """Add a PNG: embedded in the page, a file for the markdown."""
        path = self.out / 'figures' / f'{name}.png'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png)
        data, text = base64.b64encode(png).decode(), html.escape(caption)
        self._html.append(
            f'<figure><img alt="{text}" src="data:image/png;base64,{data}">'
            f'<figcaption>{text}</figcaption></figure>'
        )
        self._md.append(f'![{caption}](figures/{name}.png)\n\n*{caption}*')

    def write(self) -> None:
        title = html.escape(self.title)
        page = (
            f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
            f'<style>{STYLE}</style><h1>{title}</h1>{"".join(self._html)}</html>'
        )
        write_text_atomic(self.out / 'report.html', page)
        text = '\n\n'.join([f'# {self.title}', *self._md])
        write_text_atomic(self.out / 'report.md', f'{text}\n')


def read_scalars(work_dir: str | Path) -> Curves:
    """Curves of a training: name -> [(iteration, value), ...], from MMEngine's ``scalars.json`` of
    every run of a training that counts in iterations.

    A resumed training has several runs; where they overlap the later one counts.

    Raises:
        FileNotFoundError: the folder holds no training.
    """
    files = sorted(Path(work_dir).glob('*/vis_data/scalars.json'))
    if not files:
        raise FileNotFoundError(f'no training log (*/vis_data/scalars.json) in {work_dir}')
    curves: dict[str, dict[float, float]] = {}
    for file in files:
        for line in filter(str.strip, file.read_text().splitlines()):
            record = json.loads(line)
            for name, value in record.items():
                if isinstance(value, (int, float)) and name not in ('iter', 'step'):
                    curves.setdefault(name, {})[record['step']] = float(value)
    return {name: sorted(points.items()) for name, points in curves.items()}


def curves_figure(curves: Curves, panels: Mapping[str, Sequence[str]]) -> bytes:
    """Line plots side by side as PNG.

    Args:
        curves: of :func:`read_scalars`.
        panels: title -> names of curves; a panel without any is left out.

    Raises:
        ValueError: no panel has a curve.
    """
    from matplotlib.figure import Figure

    panels = {title: [n for n in names if curves.get(n)] for title, names in panels.items()}
    panels = {title: names for title, names in panels.items() if names}
    if not panels:
        raise ValueError(f'none of the curves asked for is there; there are {sorted(curves)}')
    figure = Figure(figsize=(5.2 * len(panels), 3.4), dpi=110, layout='constrained')
    places = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, (title, names) in zip(places, panels.items(), strict=True):
        for name in names:
            x, y = zip(*curves[name], strict=True)
            axes.plot(x, y, marker='.' if len(x) < 40 else None, label=name)
        axes.set(title=title, xlabel='iteration')
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    buffer = io.BytesIO()
    figure.savefig(buffer, format='png')
    return buffer.getvalue()
