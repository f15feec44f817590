# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Every command of README and docs is run, from the text itself, on the tiny world."""

import re

import pytest
from docs_fixture import PAGES, REPO, Rule, blocks, commands, run_pages

# --- the table: the first rule that matches says what is done with a command ----------------------
# Batches of 8, no workers, a few samples; one epoch instead of 25 or 50.
LOADERS = [
    f'{part}_dataloader.{key}={value}'
    for part in ('train', 'val', 'test')
    for key, value in (('num_workers', 0), ('persistent_workers', False), ('batch_size', 8))
]
# ResNet-18 with an eighth of the channels, from drawn weights.
NET = [
    'model.backbone.depth=18', 'model.backbone.stem_channels=8', 'model.backbone.base_channels=8',
    'model.backbone.init_cfg=None', 'model.head.in_channels=64',
    'model.head.deconv_out_channels=(8,8,8)',
]  # fmt: skip
EPOCH = 'train_cfg.max_epochs=1'
FEW, FEW_MIXED, FEW_VAL, FEW_TEST = (
    [f'{name}.indices=8' for name in names]
    for names in (
        ['train_dataloader.dataset'],
        ['train_dataloader.dataset.datasets.0', 'train_dataloader.dataset.datasets.1'],
        ['val_dataloader.dataset'],
        ['test_dataloader.dataset'],
    )
)
TRAIN, TEST = [*LOADERS, *NET, EPOCH], [*LOADERS, *NET]
PAIRS = [*TRAIN, *FEW, *FEW_VAL, 'train_cfg.val_interval=1']
FIRST = (r'epoch_(50|25)', 'epoch_1')
#: Two processes import torch twice; one of the commands and tests/tools/test_two_ranks_*.py do.
ONE_PROCESS = (r'^tools/dist_train\.sh (\S+) 2', r'python tools/train.py \1')
NO_VALIDATION = (r'(tools/train\.py \S+)', r'\1 --no-validate')
#: For tools without --cfg-options: the config that the small network was trained with.
OWN_CONFIG = (r'configs/(\w+)\.py', r'work_dirs/\1/\1.py')
DETECTOR = [
    (r'configs/detectors/rtmdet_m_person\.py', 'detector.py'),
    (r'DET_CHECKPOINT', 'detector.pth'),
]
PREPARE = f'python {REPO}/tests/docs/prepare.py'
FRAMES = """import numpy as np
pose = np.random.rand(2, 17, 3)
frames = {'TS1': [dict(gt_2d=pose[..., :2], gt_3d=pose, pred_2d=pose[..., :2], pred_3d=pose)]}
"""
CROP = "import cv2, numpy as np; cv2.imwrite('crop.png', np.full((160, 160, 3), 99, np.uint8))\n"
ZOO = ['model_zoo', 'demo/street.jpg']
RULES = [
    # install
    Rule(r'(CFLAGS=\S+ .*)?pip install', skip='needs the network; make setup does the same'),
    Rule(r'make setup', skip='what these tests run in was made by it'),
    Rule(r'make test', skip='it runs this very table'),
    Rule(r'make docs', skip='a step of .ci/run'),
    Rule(r'source ', skip='these tests run in it'),
    Rule(r'python -c .import cv2'),
    Rule(r'make quickstart', skip='tests/tools/experiments/test_quickstart.py runs it, tiny'),
    Rule(r'make (study|table4)', skip='hours; tests/tools/experiments has its parts'),
    Rule(r'make bench', skip='a quarter of an hour; tests/tools/benchmarks runs its parts, small'),
    Rule(r'python tools/benchmarks/.*--device cuda', skip='needs a GPU'),
    Rule(r'python tools/benchmarks', skip='minutes; tests/tools/benchmarks runs it, small'),
    # data
    Rule(r'python tools/dataset_converters/make_world\.py', replace=[('small', 'tiny')]),
    Rule(r'python tools/dataset_converters/(build_mcpc|convert_h36m)\.py'),
    Rule(r'export WSP(_DATA|_BASE)?=', replace=[FIRST]),
    Rule(r'python tools/analysis_tools/(check_data|rd_controls|label_(noise|quality|sheet))\.py'),
    # training
    Rule(
        r'tools/dist_train\.sh configs/wsp_pretrain_\w+\.py 2', replace=[ONE_PROCESS],
        options=PAIRS,
    ),
    Rule(
        r'tools/dist_train\.sh configs/\w+_h36m_r50(_p2)?\.py 2', options=[*TRAIN, *FEW],
        replace=[ONE_PROCESS, NO_VALIDATION, FIRST],
    ),
    Rule(
        r'tools/dist_train\.sh configs/\w+_(mcpc|mpii|muco)_\w+\.py 2',
        replace=[ONE_PROCESS, NO_VALIDATION, FIRST], options=[*TRAIN, *FEW_MIXED],
    ),
    Rule(
        r'tools/dist_train\.sh configs/wsp_pretrain_r50\.py 8',
        replace=[(' 8', ' 2 --work-dir work_dirs/two')], options=PAIRS,
    ),
    Rule(
        r'tools/dist_test\.sh', options=[*TEST, *FEW_TEST],
        replace=[FIRST, (r'tools/dist_test\.sh (.*) 2$', r'python tools/test.py \1')],
    ),
    Rule(r'NNODES=2', skip='tests/tools/test_two_ranks_equal_one.py simulates two machines'),
    Rule(r'GPUS=16', skip='needs Slurm; tests/tools/test_two_ranks_slurm.py has a stand-in'),
    Rule(r'python tools/train\.py .* --resume', options=[*PAIRS, 'train_cfg.max_epochs=2']),
    Rule(
        r'python tools/model_converters/publish_model\.py',
        replace=[FIRST, ('iter_2200', 'iter_1'), ('model_zoo/', '')],
    ),
    Rule(
        r'python tools/train\.py configs/zoo/', replace=[('iter_1600', 'iter_1')],
        options=[
            'train_cfg.max_iters=1', 'train_dataloader.batch_size=4',
            'model.backbone.init_cfg=None',
        ],
    ),
    Rule(r'python tools/analysis_tools/real_photos\.py', skip='its own test runs it'),
    Rule(r'python tools/model_converters/export_onnx\.py', needs=ZOO),
    Rule(r'import cv2, numpy as np, onnxruntime', before=CROP, needs=ZOO),
    # tests
    Rule(
        r'python tools/test\.py configs/\w+_muco', replace=[FIRST],
        options=[*TEST, *FEW_TEST, 'model.test_cfg.flip_test=False'],
    ),
    Rule(r'python tools/test\.py', replace=[FIRST], options=[*TEST, *FEW_TEST]),
    Rule(r'python tools/detect_persons\.py', replace=DETECTOR, before=f'{PREPARE} detector'),
    Rule(r'python tools/predict_roots\.py --k-value'),
    Rule(r'python tools/predict_roots\.py', replace=[FIRST], options=NET),
    Rule(r'python tools/score\.py relative-human', skip='tests/tools has it with networks'),
    Rule(r'python tools/score\.py mupots', before=f'{PREPARE} poses'),
    Rule(r'python tools/score\.py'),
    Rule(
        r'python tools/experiments/cross_action\.py',
        replace=[(' --cfg', ' --actions Walking --cfg')],
        options=[*TRAIN, *FEW, *FEW_VAL, *FEW_TEST],
    ),
    Rule(r'python tools/analysis_tools/qualitative\.py', replace=[FIRST, OWN_CONFIG]),
    Rule(r'from wsp_mm\.evaluation\.functional import mupots_3dpck', before=FRAMES),
    # inference
    Rule(r'python demo/infer\.py data/relative_human', skip='its test is that of score.py'),
    Rule(r'python demo/infer\.py \S+$', needs=ZOO),
    Rule(
        r'python demo/infer\.py demo/street\.jpg --pose-config', needs=['demo/street.jpg'],
        replace=[FIRST, *DETECTOR, OWN_CONFIG], before=f'{PREPARE} detector',
    ),
    Rule(r'(#.*\n)?from wsp_mm\.apis import WSPInferencer', needs=ZOO),
    # networks of one's own
    Rule(r'python -m wsp_mm\.config_path'),
    Rule(r'# my_\w+\.py'),
    Rule(
        r'(PYTHONPATH=\. )?python .*train\.py.* my_\w+\.py',
        options=[*LOADERS, NET[-1], *FEW, *FEW_VAL, EPOCH],
        needs=['wsp_mm/models/timm_backbone.py'],
    ),
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
    known = {'bash', 'python', 'bibtex', 'inline', ''}
    unknown = [language for language, _ in blocks(page) if language not in known]
    assert not unknown
    for language, text in blocks(page):  # commands would hide there
        assert language or not re.search(r'^(python|make|tools/|pip) ', text, flags=re.M)
