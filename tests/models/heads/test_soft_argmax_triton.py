# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""The expectation's kernels, with and without a GPU; ``soft_argmax_kernel_cases.py`` has what they
must do.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from wsp_mm.models.heads import soft_argmax as module

CASES = Path(__file__).with_name('soft_argmax_kernel_cases.py')


def run_cases(**environment):
    done = subprocess.run(
        [sys.executable, '-m', 'pytest', '-q', '-p', 'no:cacheprovider', '--noconftest', CASES],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        cwd=CASES.parents[3],
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    return done.stdout


def test_in_the_interpreter():
    pytest.importorskip('triton', reason='needs Triton')
    assert ' passed' in run_cases(TRITON_INTERPRET='1')


@pytest.mark.skipif(
    not torch.cuda.is_available(), reason='no GPU, or hidden from tests: CUDA_VISIBLE_DEVICES=0'
)
def test_on_the_gpu():
    pytest.importorskip('triton', reason='needs Triton')
    assert ' passed' in run_cases(TRITON_INTERPRET='0')


# ---------------------------------------------------------------------- compilation without a GPU


@pytest.fixture(scope='module')
def compile_for_h200(tmp_path_factory):
    """Compiles a kernel down to machine code, afresh: (PTX, resources) of (kernel, dtype,
    sides).
    """
    triton = pytest.importorskip('triton', reason='needs Triton')
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from wsp_mm.models.heads import soft_argmax_triton as kernels

    tools = Path(triton.__file__).parent / 'backends/nvidia/bin'
    if not (tools / 'ptxas').exists():
        pytest.skip(f'{tools} has no ptxas')

    def compiled(name, dtype, sides):
        kernel = getattr(kernels, name)
        constants = dict(zip(('N0', 'N1', 'N2'), sides, strict=True))
        constants |= dict(STEPS=kernels._STEPS) if 'STEPS' in kernel.arg_names else {}
        constants |= {
            one: 1 for one in ('s2', 'to_2') if one in kernel.arg_names
        }  # contiguous innermost axis
        signature, hints = {}, {}
        for index, argument in enumerate(kernel.arg_names):
            if argument in constants:
                signature[argument] = 'constexpr'
                continue
            pointer = not argument.startswith(('stride', 's0', 's1', 'to_', 'n', 'joints'))
            kind = dtype if argument in ('logits', 'gradient') else 'fp32'
            signature[argument] = f'*{kind}' if pointer else 'i32'
            if (
                argument != 'joints'
            ):  # multiples of 16, as Triton finds out at a launch with such sizes
                hints[(index,)] = [['tt.divisibility', 16]]
        built = triton.compile(
            ASTSource(fn=kernel, signature=signature, constexprs=constants, attrs=hints),
            target=GPUTarget('cuda', 90, 32),
            options=dict(num_warps=kernels._tile(list(sides))['num_warps']),
        )
        cubin = tmp_path_factory.mktemp('cubin') / f'{name}.cubin'
        cubin.write_bytes(built.asm['cubin'])
        usage = subprocess.run(
            [tools / 'cuobjdump', '--dump-resource-usage', cubin],
            capture_output=True,
            text=True,
            check=True,
        )
        return built.asm['ptx'], usage.stdout

    patch = pytest.MonkeyPatch()
    patch.setenv('TRITON_CACHE_DIR', str(tmp_path_factory.mktemp('triton')))
    yield compiled
    patch.undo()


@pytest.mark.skipif(
    os.environ.get('TRITON_INTERPRET') == '1', reason='the interpreter does not compile'
)
@pytest.mark.parametrize('kernel', ['forward_kernel', 'backward_kernel'])
@pytest.mark.parametrize(
    ('dtype', 'sides'), [('fp32', (64, 64, 64)), ('bf16', (64, 64, 64)), ('fp16', (64, 128, 128))]
)
def test_compiles_for_a_gpu_without_one(compile_for_h200, kernel, dtype, sides):
    ptx, usage = compile_for_h200(kernel, dtype, sides)
    assert 'ld.global.v4.b32' in ptx  # 16 bytes a thread at a time
    assert 'ex2.approx' in ptx
    assert 'STACK:0' in usage and 'LOCAL:0' in usage  # what is summed up stays in registers


# ---------------------------------------------------------------------- which version runs


@pytest.fixture
def afresh():
    """Nothing is known of any device, before and after."""
    module._working_kernels.cache_clear()
    yield
    module._working_kernels.cache_clear()


@pytest.mark.parametrize('device', ['cpu', 'cuda'])
def test_without_triton_the_pieces_take_over(monkeypatch, afresh, recwarn, device):
    monkeypatch.setitem(sys.modules, 'wsp_mm.models.heads.soft_argmax_triton', None)
    assert module._working_kernels(torch.device(device), torch.float32) is None
    warned = [str(warning.message) for warning in recwarn if 'no Triton' in str(warning.message)]
    assert len(warned) == (device == 'cuda')


def test_kernels_that_fail_their_trial_are_not_used(afresh, monkeypatch):
    pytest.importorskip('triton', reason='needs Triton')
    from wsp_mm.models.heads import soft_argmax_triton as kernels

    monkeypatch.setattr(
        kernels, 'forward', lambda volumes, marginals, lse: marginals[2].fill_(0.25)
    )
    monkeypatch.setattr(kernels, 'backward', lambda *arguments: None)
    with pytest.warns(UserWarning, match=r'without its kernels: the kernels gave'):
        assert module._working_kernels(torch.device('cpu'), torch.float32) is None


def test_tensors_on_the_host_never_ask_for_triton(monkeypatch):
    monkeypatch.delenv('TRITON_INTERPRET', raising=False)
    monkeypatch.setattr(module, '_working_kernels', lambda *where: pytest.fail('asked'))
    module.soft_argmax(torch.zeros(1, 4, 4, 4, requires_grad=True), 1).sum().backward()


def test_planes_fit_whatever_the_layout():
    pytest.importorskip('triton', reason='needs Triton')
    from wsp_mm.models.heads.soft_argmax_triton import fits

    assert fits((2, 18, 64, 64, 64)) and fits((2, 1, 1, 128, 128)) and fits((2, 18, 16, 100, 100))
    for sides in ((1, 129, 128), (128, 1, 129), (129, 128, 1)):
        assert not fits((2, 1, *sides))
