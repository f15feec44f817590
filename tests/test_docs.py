# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Commands in the documents are commands that exist, and files they name are there."""

import importlib.util
import re
import shlex
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = [
    'README.md',
    'docs/paper.md',
    'docs/data.md',
    'docs/mupots.md',
    'docs/inference.md',
    'docs/extend.md',
    'docs/scale_out.md',
    'docs/performance.md',
]


def commands(page):
    """Every command line of the page, from code blocks and inline code."""
    text = (ROOT / page).read_text()
    blocks = re.findall(r'^```(?:bash|sh|console)\n(.*?)^```', text, flags=re.S | re.M)
    lines = [line for block in blocks for line in block.replace('\\\n', ' ').splitlines()]
    text = re.sub(r'^```.*?^```', '', text, flags=re.S | re.M)
    lines += re.findall(r'`([^`\n]+)`', text)
    starts = ('python tools/', '.venv/bin/python tools/', 'tools/', 'make ')
    return [
        line.split(' #')[0].strip().removeprefix('$ ')
        for line in lines
        if line.strip().startswith(starts)
    ]


CASES = [(page, command) for page in PAGES for command in commands(page)]


def parser_of(tool):
    spec = importlib.util.spec_from_file_location(Path(tool).stem, ROOT / tool)
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str((ROOT / tool).parent))  # as for a script that is run
    sys.modules[spec.name] = module  # dataclasses look their module up
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.pop(0)
        del sys.modules[spec.name]
    return (
        module.build_parser().parse_args if hasattr(module, 'build_parser') else module.parse_args
    )


def parse(tool, arguments):
    namespace = parser_of(tool)(arguments)
    config = getattr(namespace, 'config', None)
    if config is not None and 'YOUR' not in str(config):
        assert (ROOT / config).is_file(), f'{config} does not exist'


@pytest.mark.parametrize(('page', 'command'), CASES, ids=[f'{p}: {c[:60]}' for p, c in CASES])
def test_command_parses(page, command):
    words = shlex.split(command)
    if words[0] == 'make':
        targets = re.findall(r'^([a-z0-9-]+):', (ROOT / 'Makefile').read_text(), flags=re.M)
        assert words[1] in targets
        return
    tool, *arguments = words[1:] if words[0].endswith('python') else words
    assert (ROOT / tool).exists(), f'{tool} does not exist'
    if not arguments and not words[0].endswith('python'):
        return  # the tool, or its folder, is only named
    if tool.endswith('.py'):
        parse(tool, arguments)
    elif tool == 'tools/dist_train.sh':
        config, count, *rest = arguments
        assert int(count) > 0
        parse('tools/train.py', [config, *rest])
    elif tool == 'tools/dist_test.sh':
        config, checkpoint, count, *rest = arguments
        assert int(count) > 0
        parse('tools/test.py', [config, checkpoint, *rest])
    else:
        assert tool.endswith('.sh')


def test_there_is_something_to_check():
    assert len(CASES) >= 15


@pytest.mark.parametrize('page', PAGES)
def test_links_lead_somewhere(page):
    links = re.findall(r'\]\(([^)#\s]+)\)', (ROOT / page).read_text())
    missing = [
        link
        for link in links
        if '://' not in link and not (ROOT / page).parent.joinpath(link).exists()
    ]
    assert not missing
