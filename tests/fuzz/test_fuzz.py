# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Files changed at random: a reader reads them, or refuses them with the error that it documents
and that names the file. It raises nothing else, and takes neither 2 s nor 1 GB.
"""

import gc
import logging
import multiprocessing
import resource
import signal
import time
import warnings
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from random import Random

import pytest

# The keys of FORMATS, whose import takes seconds.
NAMES = (
    'coco posetrack18 crowdpose mpii_json mpii_mat mcpc_json h36m_json h36m_npz h36m_arrays '
    'muco_json mupots_all relative_human boxes_json bbox_root_json camera_json score_files '
    'mupots_predictions control_files checkpoint'
)
LIMIT_S, LIMIT_BYTES, HANGS_S = 2, 1 << 30, 60


def run(name: str, count: int, root: Path) -> tuple[Counter, list[str]]:
    """Read mutated files in this process; return how many were read and refused, and failures."""
    from formats import FORMATS
    from mutate import mutate

    from wsp_mm.datasets.annotations import AnnotationError

    gc.freeze()  # MMEngine collects garbage for every data set, here that of all tests before
    warnings.simplefilter('ignore')
    logging.disable(logging.CRITICAL)
    files, read, also = FORMATS[name](root)
    whole = {file: file.read_bytes() for file in files}
    read(False)
    used = int(Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + LIMIT_BYTES, resource.RLIM_INFINITY))
    found, failures = Counter(), []
    for seed in range(count):
        rng = Random(f'{name} {seed}')
        file = rng.choice(files)
        file.write_bytes(mutate(file, whole[file], rng))
        (root / 'seed').write_text(f'{seed} {file}')
        signal.alarm(HANGS_S)  # ends the process
        start = time.process_time()
        try:
            read(bool(seed % 2))
            found['read'] += 1
        except Exception as error:
            if type(error) in (AnnotationError, *also) and str(root) in str(error):
                found['refused'] += 1
            else:
                failures.append(f'seed {seed}, {file.name}: {error!r:.300}')
        if (seconds := time.process_time() - start) > LIMIT_S:
            failures.append(f'seed {seed}, {file.name}: took {seconds:.1f} s')
        signal.alarm(0)
        file.write_bytes(whole[file])
    return found, failures


@pytest.mark.slow
@pytest.mark.parametrize('name', NAMES.split())
def test_mutated_files(name, tmp_path, pytestconfig):
    import formats

    assert list(formats.FORMATS) == NAMES.split()
    count = pytestconfig.getoption('--mutations')
    with ProcessPoolExecutor(1, multiprocessing.get_context('fork')) as pool:
        try:
            found, failures = pool.submit(run, name, count, tmp_path).result()
        except BrokenProcessPool:
            pytest.fail(f'the process died at seed {(tmp_path / "seed").read_text()}')
    print(f'{name}: {dict(found)}, {len(failures)} failures')
    assert not failures, '\n'.join(failures)
    assert sum(found.values()) == count
