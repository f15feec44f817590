# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""README and docs: options of commands exist, links lead somewhere, nothing is said twice."""

import re
import shlex

import pytest
from docs_fixture import PAGES, REPO, commands

ALL_PAGES = [*PAGES, 'docs/index.md', 'docs/api.md']


CASES = [
    (page, text)
    for page in PAGES
    for text in dict.fromkeys(c.text for c in commands(page) if not c.python)
    if text.startswith(('python tools/', 'tools/', 'make '))
]


def prose(page):
    """The text of a page without its blocks of code."""
    return re.sub(r'^```.*?^```', '', (REPO / page).read_text(), flags=re.S | re.M)


@pytest.fixture
def parse(load_tool):
    def run(tool, arguments):
        module = load_tool(tool.removeprefix('tools/').removesuffix('.py'))
        has_parser = hasattr(module, 'build_parser')
        parse_args = module.build_parser().parse_args if has_parser else module.parse_args
        config = getattr(parse_args(arguments), 'config', None)
        if config is not None and not str(config).startswith('my_'):
            assert (REPO / config).is_file(), f'{config} does not exist'

    return run


@pytest.mark.parametrize(('page', 'command'), CASES, ids=[f'{p}: {c[:60]}' for p, c in CASES])
def test_command_parses(page, command, parse):
    words = shlex.split(command)
    if words[0] == 'make':
        targets = re.findall(r'^([a-z0-9-]+):', (REPO / 'Makefile').read_text(), flags=re.M)
        assert words[1] in targets
        return
    tool, *arguments = words[1:] if words[0] == 'python' else words
    assert (REPO / tool).is_file(), f'{tool} does not exist'
    if tool == 'tools/dist_train.sh':
        config, count, *rest = arguments
        assert int(count) > 0
        parse('tools/train.py', [config, *rest])
    elif tool == 'tools/dist_test.sh':
        config, checkpoint, count, *rest = arguments
        assert int(count) > 0
        parse('tools/test.py', [config, checkpoint, *rest])
    elif tool.endswith('.py'):
        parse(tool, arguments)
    else:
        assert tool.endswith('.sh')


def anchors(text):
    """Names of a page's headings in links, as GitHub makes them."""
    headings = re.findall(r'^#+ (.*)$', text, flags=re.M)
    plain = (re.sub(r'\[(.*?)\]\(.*?\)', r'\1', heading) for heading in headings)
    return {re.sub(r'[^\w\- ]', '', heading.lower()).replace(' ', '-') for heading in plain}


@pytest.mark.parametrize('page', ALL_PAGES)
def test_links_lead_somewhere(page):
    for link in re.findall(r'\]\(([^)\s]+)\)', prose(page)):
        if '://' in link:
            continue
        name, _, anchor = link.partition('#')
        target = (REPO / page).parent / name if name else REPO / page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target.read_text()), link


def test_every_page_is_linked():
    index = (REPO / 'docs/index.md').read_text()
    readme = (REPO / 'README.md').read_text()
    for page in ALL_PAGES:
        name = page.removeprefix('docs/').removesuffix('.md')
        if name not in ('README', 'index'):
            assert f'\n{name}\n' in index and f'(docs/{name}.md' in readme, page


def test_no_sentence_stands_twice():
    seen = {}
    for page in PAGES:
        text = re.sub(r'^\|.*$', '', prose(page), flags=re.M)
        for sentence in re.split(r'(?<=[.:;])\s+|\n\n', text):
            words = ' '.join(sentence.split())
            if len(words) > 50:
                assert words not in seen, f'{seen[words]} and {page}: {words}'
                seen[words] = page


def test_nothing_is_left_to_do():
    assert not [page for page in ALL_PAGES if 'TODO(' in (REPO / page).read_text()]
