# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
from pathlib import Path

import pytest
from networks import annotation_files, evaluation, read_config, training
from runner import Runner, StepFailed


def train(**changes):
    step, checkpoint = training('a', 'config.py', Path('run'), **changes)
    runner = Runner('steps')
    runner.run([step])
    return checkpoint, runner.seconds['a-train']


def test_files_are_those_of_the_data_sets_named(checkout):
    config = read_config('config.py')
    names = [str(file) for file in annotation_files(config.train_dataloader)]
    assert names == ['data/human36m/arrays', 'data/mcpc/mcpc_train.json']


def test_commands_are_the_tools_own(checkout, calls):
    options, out = ['k=1', 'model.a=2'], Path('run/test')
    checkpoint, _ = train(options=options[1:], start=Path('wsp.pth'))
    assert checkpoint == Path('run/epoch_1.pth')
    test = evaluation('a-test', 'config.py', checkpoint, out, options[1:], [Path('wsp.pth')])
    Runner('steps').run([test])
    used = '--cfg-options model.a=2'
    assert calls() == [
        f'config.py --work-dir run --resume {used} model.init_cfg.checkpoint=wsp.pth',
        f'config.py run/epoch_1.pth --work-dir {out} --dump {out}/predictions.npz '
        f'--out {out}/metrics.json {used}',
    ]


def test_a_change_begins_anew_and_keeps_the_finished_model(checkout, calls):
    train(), train()
    assert len(calls()) == 1
    kept, config = Path('run/epoch_1.pth'), Path('config.py')
    arguments = {}
    for change in (
        lambda: Path('data/mcpc/mcpc_train.json').write_text('{"images": []}'),
        lambda: Path('data/human36m/arrays/S5.npy').write_text('2'),
        lambda: config.write_text(config.read_text() + 'more = 1\n'),
        lambda: arguments.update(options=['model.k=2']),
        lambda: arguments.update(start=Path('wsp.pth')),
        lambda: Path('wsp.pth').write_text('another'),
    ):
        kept.write_text('weights of before')
        change()
        train(**arguments)
        assert kept.read_text() == 'weights'
        aside = sorted(Path().glob('run.old-*'), key=lambda p: int(p.suffix[5:]))
        assert (aside[-1] / 'epoch_1.pth').read_text() == 'weights of before'  # may have cost days
    assert len(aside) == 6
    # Neither a comment nor other test data make a training of another kind.
    config.write_text(config.read_text() + '# a comment\n')
    Path('data/mcpc/mcpc_test.json').write_text('another')
    train(**arguments)
    assert len(calls()) == 7


def test_what_is_missing_or_wrong_is_named(checkout):
    for config, options, name in (
        ('none.py', [], r'none\.py'),
        ('config.py', ['data_root=a'], 'WSP'),
    ):
        with pytest.raises(StepFailed, match=name):
            read_config(config, options)
    start = ['model.init_cfg.checkpoint=none.pth']
    for changes in (dict(start=Path('none.pth')), dict(options=start)):
        with pytest.raises(StepFailed, match=r'none\.pth'):
            train(**changes)
