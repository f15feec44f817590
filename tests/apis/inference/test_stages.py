# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Stages in threads: order, bounds, errors, ends."""

import threading
import time
from collections import Counter
from contextlib import contextmanager

import pytest

from wsp_mm.apis.inference import stages as module
from wsp_mm.apis.inference.stages import Ahead, Stages


def threads():
    return [thread.name for thread in threading.enumerate() if thread.name.startswith('wsp-')]


def chain(overlap, count, made=None, waiting=None, fail=()):
    """Numbers through three stages, each of which adds its mark; yields what comes out."""
    made = Counter() if made is None else made

    def numbers():
        for i in range(count):
            if ('a', i) in fail:
                raise ZeroDivisionError(f'a {i}')
            made['a'] += 1
            yield [i]

    def marked(name, items):
        for item in items:
            if (name, item[0]) in fail:
                raise KeyError(f'{name} {item[0]}')
            made[name] += 1
            yield [*item, name]

    with Stages(overlap, waiting) as stages:
        items = stages.add('a', numbers())
        items = stages.add('b', marked('b', items))
        yield from stages.add('c', marked('c', items))


@pytest.mark.parametrize('overlap', [False, True])
def test_all_items_in_order(overlap):
    assert list(chain(overlap, 50)) == [[i, 'b', 'c'] for i in range(50)]
    assert list(chain(overlap, 0)) == []
    assert threads() == []


def test_stages_work_at_the_same_time():
    """The first stage waits for the third to be at work on an item before: possible in threads
    alone.
    """
    third_is_busy = threading.Event()

    def first():
        yield 0
        yield 1
        assert third_is_busy.wait(10)
        yield 2

    def third(items):
        for item in items:
            third_is_busy.set()
            yield item

    with Stages(True) as stages:
        second = stages.add('second', (i for i in stages.add('first', first())))
        assert list(stages.add('third', third(second))) == [0, 1, 2]


def test_a_stage_is_one_item_ahead_and_no_more():
    made = Counter()
    out = chain(True, 100, made)
    for taken in range(1, 6):
        next(out)
        until = time.monotonic() + 5
        while made != Counter(a=taken + 3, b=taken + 2, c=taken + 1) and time.monotonic() < until:
            time.sleep(0.001)
        time.sleep(0.01)
        assert made == Counter(a=taken + 3, b=taken + 2, c=taken + 1)
    out.close()
    assert threads() == []


@pytest.mark.parametrize('overlap', [False, True])
@pytest.mark.parametrize(
    ('fail', 'error', 'message'),
    [
        (('a', 3), ZeroDivisionError, 'a 3'),
        (('b', 3), KeyError, 'b 3'),
        (('c', 3), KeyError, 'c 3'),
    ],
)
def test_an_error_comes_after_what_was_before_it(overlap, fail, error, message):
    out, got = chain(overlap, 10, fail={fail}), []
    with pytest.raises(error, match=message):
        got.extend(out)
    for item in out:
        got.append(item)
    assert [item[0] for item in got] == [
        0,
        1,
        2,
    ] or got == []  # extend() keeps what came before the error
    assert threads() == []


def test_the_items_before_an_error_are_not_lost():
    out = chain(True, 10, fail={('a', 3)})
    assert [next(out)[0] for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ZeroDivisionError):
        next(out)
    assert list(out) == []


def test_an_error_of_the_taker_ends_the_threads():
    closed = []

    def numbers():
        try:
            yield from range(1000)
        finally:
            closed.append(threading.current_thread().name)

    with pytest.raises(KeyboardInterrupt), Stages(True) as stages:
        for item in stages.add('b', (i for i in stages.add('a', numbers()))):
            if item == 5:
                raise KeyboardInterrupt
    assert closed == ['wsp-a']  # where it ran: a capture is released by the thread that used it
    assert threads() == []


def test_a_stage_that_is_stuck_does_not_keep_the_others(monkeypatch):
    monkeypatch.setattr(module, 'PATIENCE', 0.2)
    waits, stuck = threading.Event(), threading.Event()

    def silent():
        yield 0
        waits.set()
        stuck.wait(20)

    with pytest.raises(ValueError, match='taker'), Stages(True) as stages:
        for _ in stages.add('b', (i for i in stages.add('a', silent()))):
            assert waits.wait(10)
            raise ValueError('taker')
    assert 'wsp-a' in threads()
    stuck.set()


def test_context_is_entered_in_the_thread_and_left():
    seen = []

    @contextmanager
    def context():
        seen.append(threading.current_thread().name)
        yield
        seen.append('left')

    ahead = Ahead(iter(range(3)), 'here', context)
    assert list(ahead) == [0, 1, 2]
    assert ahead.join(5)
    assert seen == ['wsp-here', 'left']
    assert list(ahead) == []


def test_a_context_that_fails_is_an_error():
    def context():
        raise OSError('no stream')

    with pytest.raises(OSError, match='no stream'):
        next(Ahead(iter(range(3)), 'x', context))


def test_waiting_is_told_apart():
    def slow():
        for i in range(4):
            time.sleep(0.03)
            yield i

    waiting = Counter()
    with Stages(True, waiting, taker='end') as stages:
        list(stages.add('quick', (i for i in stages.add('slow', slow()))))
    assert set(waiting) == {'slow', 'quick', 'end'}
    assert waiting['quick'] > 0.09  # for its input
    assert waiting['slow'] < waiting['quick']
    assert list(Stages(False, waiting).add('x', iter([1]))) == [1]
