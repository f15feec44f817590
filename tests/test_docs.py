# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Commands in the documents are commands that exist, and files they name are there."""

import re
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = ['README.md'] + [
    f'docs/{name}.md'
    for name in ('paper', 'data', 'mupots', 'inference', 'extend', 'scale_out', 'performance')
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


@pytest.fixture
def parse(load_tool):
    def run(tool, arguments):
        module = load_tool(tool.removeprefix('tools/').removesuffix('.py'))
        has_parser = hasattr(module, 'build_parser')
        parse_args = module.build_parser().parse_args if has_parser else module.parse_args
        config = getattr(parse_args(arguments), 'config', None)
        if config is not None and 'YOUR' not in str(config):
            assert (ROOT / config).is_file(), f'{config} does not exist'

    return run


@pytest.mark.parametrize(('page', 'command'), CASES, ids=[f'{p}: {c[:60]}' for p, c in CASES])
def test_command_parses(page, command, parse):
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
