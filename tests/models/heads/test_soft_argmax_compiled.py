# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""The expectation inside compiled, exported, traced and autocast models, and what is true of any
volume.
"""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmpose.registry import MODELS

import wsp_mm.models.heads.integral_3d_head  # noqa: F401  (registers the head)
from wsp_mm.models.heads import soft_argmax as module
from wsp_mm.models.heads.soft_argmax import expectation, softmax_marginals

K, C = 3, 5
CELLS = (8, 6, 4)


@pytest.fixture(autouse=True)
def afresh():
    """No graphs of other tests, whose shapes would count as changes of these."""
    yield
    torch.compiler.reset()


def build(**kwargs):
    head = MODELS.build(
        dict(
            type='Integral3DHead',
            in_channels=C,
            out_channels=K,
            heatmap_size=CELLS,
            deconv_out_channels=(6,),
            deconv_kernel_sizes=(4,),
            **kwargs,
        )
    )
    torch.nn.init.normal_(head.final_layer.weight, std=0.5)
    return head.eval()


def make_feats(batch=2):
    generator = torch.Generator().manual_seed(batch)
    return torch.randn(batch, C, CELLS[1] // 2, CELLS[0] // 2, generator=generator)


def cells_and_gradients(head, function, feats):
    head.zero_grad()
    cells = function(feats)
    (cells * torch.arange(3.0)).square().sum().backward()
    return cells.detach(), [parameter.grad.clone() for parameter in head.parameters()]


@pytest.mark.parametrize(
    'backend', ['eager', 'aot_eager', pytest.param('inductor', marks=pytest.mark.slow)]
)
def test_a_compiled_head_is_the_same_head(backend):
    """In one graph (fullgraph refuses breaks), for the first shape and for a second one."""
    head = build()
    compiled = torch.compile(lambda feats: head((feats,)), backend=backend, fullgraph=True)
    for batch in (2,) if backend == 'inductor' else (2, 3):
        found = cells_and_gradients(head, compiled, make_feats(batch))
        expected = cells_and_gradients(head, lambda feats: head((feats,)), make_feats(batch))
        torch.testing.assert_close(found, expected)


def test_a_compiled_pass_runs_the_operators():
    """What is compiled is the own version: one operator forward, one backward, not hundreds of
    pieces.
    """
    names = []

    def backend(graph, inputs):
        names.extend(
            node.target._name for node in graph.graph.nodes if hasattr(node.target, '_name')
        )
        return graph.forward

    from torch._dynamo.backends.common import aot_autograd

    compiled = torch.compile(
        lambda logits: softmax_marginals(logits, K)[0].square().sum(),
        backend=aot_autograd(fw_compiler=backend),
        fullgraph=True,
    )
    compiled(torch.randn(2, K * 4, 5, 6, requires_grad=True)).backward()
    assert [name for name in names if 'wsp_mm' in name] == [
        'wsp_mm::softmax_marginals',
        'wsp_mm::softmax_marginals_backward',
    ]


@pytest.mark.parametrize('layout', [torch.contiguous_format, torch.channels_last])
def test_operators_keep_to_their_declarations(layout):
    """PyTorch's own checks: schema (nothing aliased, nothing written) and shapes without data."""
    logits = torch.randn(2, K * 4, 5, 6).contiguous(memory_format=layout)
    checks = ('test_schema', 'test_faketensor')
    torch.library.opcheck(module._forward_op, (logits, K), test_utils=checks)
    *marginals, lse = module._forward_op(logits, K)
    torch.library.opcheck(
        module._backward_op, (logits, *marginals, lse, *marginals), test_utils=checks
    )


def test_shapes_of_tensors_without_data():
    marginals = softmax_marginals(
        torch.empty(7, K * 4, 5, 6, dtype=torch.bfloat16, device='meta'), K
    )
    assert [(m.shape, m.dtype) for m in marginals] == [
        ((7, K, n), torch.float32) for n in (6, 5, 4)
    ]


class OneMap(torch.nn.Module):
    """A head that takes its one feature map as it is, not in a tuple."""

    def __init__(self, head):
        super().__init__()
        self.head = head

    def forward(self, feats):
        return self.head((feats,))


def test_export():
    head = build(plain_softmax=True)
    program = torch.export.export(
        OneMap(head), (make_feats(),), dynamic_shapes=({0: torch.export.Dim('batch')},)
    )
    assert not any(
        'wsp_mm' in str(node.target) for node in program.graph.nodes
    )  # no operator of our own
    for batch in (2, 5):
        torch.testing.assert_close(program.module()(make_feats(batch)), head((make_feats(batch),)))


def test_trace(tmp_path):
    """torch.jit.trace, which is also what ONNX exporters go by."""
    head = build(plain_softmax=True)
    torch.jit.trace(OneMap(head), make_feats()).save(tmp_path / 'head.pt')
    traced = torch.jit.load(tmp_path / 'head.pt')
    for batch in (2, 5):
        torch.testing.assert_close(traced(make_feats(batch)), head((make_feats(batch),)))


def test_onnx(tmp_path):
    onnx = pytest.importorskip('onnx', reason='onnx is not installed')
    torch.onnx.export(
        OneMap(build(plain_softmax=True)), (make_feats(),), tmp_path / 'head.onnx', dynamo=False
    )
    onnx.checker.check_model(onnx.load(tmp_path / 'head.onnx'))


def test_autocast():
    """bfloat16 logits, float32 marginals; values and gradients as the plain version's."""
    found = {}
    for plain in (False, True):
        torch.manual_seed(0)
        head = build(plain_softmax=plain)
        with torch.autocast('cpu', torch.bfloat16):
            marginals = head.marginals((make_feats(),))
            cells = expectation(marginals)
        assert all(m.dtype == torch.float32 for m in marginals)
        cells.square().sum().backward()
        found[plain] = cells.detach(), head.final_layer.weight.grad
    torch.testing.assert_close(found[False][0], found[True][0])
    torch.testing.assert_close(found[False][1], found[True][1], rtol=2e-2, atol=1e-3)


@pytest.mark.parametrize('layout', [torch.contiguous_format, torch.channels_last])
def test_masks_of_minus_infinity(layout):
    logits = torch.randn(2, 2 * 4, 5, 6).masked_fill(torch.rand(2, 8, 5, 6) < 0.5, float('-inf'))
    own, plain = (logits.contiguous(memory_format=layout).requires_grad_() for _ in range(2))
    for values, is_plain in ((own, False), (plain, True)):
        sum((m * m).sum() for m in softmax_marginals(values, 2, is_plain)).backward()
    torch.testing.assert_close(own.grad, plain.grad)
    assert (own.grad[logits == float('-inf')] == 0).all() and own.grad.abs().sum() > 0


# ---------------------------------------------------------------------- what is true of any volume


@st.composite
def volumes(draw):
    """Logits (B, K * D, H, W) in double and K."""
    batch, joints, depth, height, width = (draw(st.integers(1, n)) for n in (2, 3, 5, 5, 5))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    logits = torch.randn(
        (batch, joints * depth, height, width), generator=generator, dtype=torch.double
    )
    layout = draw(st.sampled_from([torch.contiguous_format, torch.channels_last]))
    return (draw(st.floats(0, 20)) * logits).contiguous(memory_format=layout), joints


@given(volumes())
def test_marginals_are_distributions(case):
    for marginal in softmax_marginals(*case):
        assert (marginal >= 0).all()
        torch.testing.assert_close(marginal.sum(-1), torch.ones_like(marginal[..., 0]))


@given(volumes(), st.floats(-100, 100))
def test_raising_all_logits_changes_nothing(case, by):
    logits, joints = case
    torch.testing.assert_close(
        softmax_marginals(logits + by, joints), softmax_marginals(logits, joints)
    )


@given(volumes())
def test_a_mirrored_volume_mirrors_x(case):
    logits, joints = case
    x, y, z = softmax_marginals(logits, joints)
    torch.testing.assert_close(softmax_marginals(logits.flip(3), joints), (x.flip(2), y, z))
    cells = expectation((x, y, z))
    mirrored = expectation(softmax_marginals(logits.flip(3), joints))
    torch.testing.assert_close(mirrored[..., 0], logits.shape[3] - 1 - cells[..., 0])


@given(volumes())
def test_gradients_of_a_joint_sum_to_zero(case):
    """As raising all logits changes nothing."""
    logits, joints = case
    logits = logits.requires_grad_()
    expectation(softmax_marginals(logits, joints)).square().sum().backward()
    sums = logits.grad.unflatten(1, (joints, -1)).flatten(2).sum(2)
    torch.testing.assert_close(sums, torch.zeros_like(sums), atol=1e-9, rtol=0)
