# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Every command of README and docs is run, from the text itself, on the tiny world."""

import re

import pytest
from docs_fixture import PAGES, REPO, Rule, blocks, commands, run_pages

# --- the table: the first rule that matches says what is done with a command ----------------------
# A ResNet-18 with an eighth of the channels, from drawn weights; one epoch of a few samples.
FEW = [
    f'{part}_dataloader.{key}={value}'
    for part in ('train', 'val', 'test')
    for key, value in (('num_workers', 0), ('persistent_workers', False), ('batch_size', 8))
]
NET = [
    'model.backbone.depth=18', 'model.backbone.stem_channels=8', 'model.backbone.base_channels=8',
    'model.backbone.init_cfg=None', 'model.head.in_channels=64',
    'model.head.deconv_out_channels=(8,8,8)',
]  # fmt: skip
SHORT = [*FEW, *NET, 'train_cfg.max_epochs=1', 'train_cfg.val_interval=1']
PAIRS = ['train_dataloader.dataset.indices=8', 'val_dataloader.dataset.indices=8']
TEST_FEW = ['test_dataloader.dataset.indices=8']
EPOCH = (r'epoch_(50|25)', 'epoch_1')
#: Two processes import torch twice; tests/tools/test_two_ranks_*.py run the launcher.
ONE_PROCESS = (r'^tools/dist_train\.sh (\S+) 2', r'python tools/train.py \1')
DETECTOR = [
    (r'configs/detectors/rtmdet_m_person\.py', 'detector.py'),
    (r'DET_CHECKPOINT', 'detector.pth'),
]
MAKE_DETECTOR = f'python {REPO}/tests/docs/make_detector.py'
RULES = [
    # install
    Rule(r'(CFLAGS=\S+ .*)?pip install', skip='needs the network; make setup does the same'),
    Rule(r'make setup', skip='what these tests run in was made by it'),
    Rule(r'source ', skip='these tests run in it'),
    Rule(r'python -c .import cv2'),
    Rule(r'make quickstart$', skip='tests/tools/experiments/test_quickstart.py runs it, tiny'),
    # data
    Rule(
        r'python tools/dataset_converters/make_world\.py --preset small',
        replace=[('small', 'tiny')],
    ),
    Rule(r'python tools/dataset_converters/(build_mcpc|convert_h36m)\.py'),
    Rule(r'export (WSP_DATA|WSP_BASE)='),
    Rule(r'python tools/analysis_tools/(check_data|rd_controls|label_noise)\.py'),
    # training
    Rule(
        r'tools/dist_train\.sh configs/wsp_pretrain_\w+\.py 2',
        replace=[ONE_PROCESS], options=[*SHORT, *PAIRS],
    ),
    Rule(
        r'tools/dist_train\.sh configs/\w+_(h36m|muco)\w*\.py 2',
        replace=[ONE_PROCESS, EPOCH], options=SHORT,
    ),
    Rule(
        r'tools/dist_train\.sh configs/wsp_pretrain_r50\.py 8',
        replace=[(' 8', ' 2 --work-dir work_dirs/two')], options=[*SHORT, *PAIRS],
    ),
    Rule(
        r'tools/dist_test\.sh configs/wsp_pretrain_r50\.py',
        replace=[EPOCH], options=[*FEW, *NET, *TEST_FEW],
    ),
    Rule(r'NNODES=2', skip='tests/tools/test_two_ranks_equal_one.py simulates two machines'),
    Rule(r'GPUS=16', skip='needs Slurm; tests/tools/test_two_ranks_slurm.py has a stand-in'),
    Rule(
        r'python tools/train\.py configs/wsp_pretrain_r50\.py --resume',
        options=[*SHORT, *PAIRS, 'train_cfg.max_epochs=2'],
    ),
    Rule(r'python tools/model_converters/publish_model\.py', replace=[EPOCH]),
    # tests
    Rule(
        r'python tools/test\.py configs/wsp_muco', replace=[EPOCH], options=[*FEW, *NET],
    ),
    Rule(r'python tools/test\.py', replace=[EPOCH], options=[*FEW, *NET, *TEST_FEW]),
    Rule(r'python tools/detect_persons\.py', replace=DETECTOR, before=MAKE_DETECTOR),
    Rule(r'python tools/predict_roots\.py --k-value'),
    Rule(r'python tools/predict_roots\.py', replace=[EPOCH], options=NET),
    Rule(r'python tools/score\.py'),
    Rule(
        r'python tools/experiments/cross_action\.py',
        replace=[(' --cfg', ' --actions Walking --cfg')], options=SHORT,
    ),
    Rule(r'python tools/analysis_tools/qualitative\.py', replace=[EPOCH], options=NET),
]  # fmt: skip


@pytest.mark.slow
def test_every_command_runs(tmp_path):
    failures = run_pages(tmp_path, PAGES, RULES)
    assert not failures, '\n\n'.join([f'{len(failures)} commands failed', *failures])


def test_pages_are_all_there():
    pages = {f'docs/{path.name}' for path in (REPO / 'docs').glob('*.md')} | {'README.md'}
    assert pages - {'docs/index.md', 'docs/api.md'} == set(PAGES)
    assert len([command for page in PAGES for command in commands(page)]) >= 40


@pytest.mark.parametrize('page', PAGES)
def test_blocks_name_their_language(page):
    known = {'bash', 'python', 'bibtex', ''}
    unknown = [language for language, _ in blocks(page) if language not in known]
    assert not unknown
    for language, text in blocks(page):  # commands would hide there
        assert language or not re.search(r'^(python|make|tools/|pip) ', text, flags=re.M)
