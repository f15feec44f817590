# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Masked pooling against Eq. 5 written out cell by cell, and its limits: odd boxes, gradients,
memory.
"""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from wsp_mm.codecs.box_cells import box_membership
from wsp_mm.models.heads.masked_pooling import POOLINGS, masked_pooling


def literal_pooling(features, masks, boxes, stride, mode):
    """Eq. 5 and the pooling within a box, one number at a time; masks (B, P, J, h, w), boxes meet a
    centre.
    """
    batch, channels, height, width = features.shape
    persons, joints = masks.shape[1:3]
    out = torch.zeros(batch, persons, joints, channels, dtype=features.dtype)
    for b in range(batch):
        for p in range(persons):
            x1, y1, x2, y2 = boxes[b, p].tolist()
            cells = [
                (y, x)
                for y in range(height)
                for x in range(width)
                if x1 <= x * stride <= x2 and y1 <= y * stride <= y2
            ]
            for j in range(joints):
                for d in range(channels):
                    values = [
                        (features[b, d, y, x] * masks[b, p, j, y, x]).item() for y, x in cells
                    ]
                    mass = sum(abs(masks[b, p, j, y, x].item()) for y, x in cells)
                    out[b, p, j, d] = {
                        'mean': sum(values) / len(values),
                        'sum': sum(values),
                        'max': max(values),
                        'normalized': sum(values) / max(mass, 1e-3),
                    }[mode]
    return out


@pytest.fixture
def batch():
    torch.manual_seed(0)
    features = torch.randn(2, 5, 6, 8, dtype=torch.float64)
    masks = torch.randn(2, 2, 3, 6, 8, dtype=torch.float64)
    boxes = torch.tensor(
        [[[0, 0, 31, 23], [3, 5, 17, 30]], [[-20, -20, 9, 9], [8, 8, 12, 12]]], dtype=torch.float64
    )
    return features, masks, boxes


@pytest.mark.parametrize('mode', POOLINGS)
def test_equals_eq5_written_out(batch, mode):
    features, masks, boxes = batch
    inside = box_membership(boxes, (32, 24), (8, 6))
    expected = literal_pooling(features, masks, boxes, 4, mode)
    torch.testing.assert_close(masked_pooling(features, masks, inside, mode), expected)


@pytest.mark.parametrize('mode', POOLINGS)
def test_shared_masks_are_the_same_mask_for_both(batch, mode):
    features, masks, boxes = batch
    inside = box_membership(boxes, (32, 24), (8, 6))
    shared = masks[:, 0]
    twice = torch.stack((shared, shared), dim=1)
    torch.testing.assert_close(
        masked_pooling(features, shared, inside, mode),
        masked_pooling(features, twice, inside, mode),
    )


@pytest.mark.parametrize('mode', POOLINGS)
def test_gradients_are_right(batch, mode):
    features, masks, boxes = batch
    inside = box_membership(boxes, (32, 24), (8, 6))
    assert torch.autograd.gradcheck(
        lambda f, m: masked_pooling(f, m, inside, mode),
        (features.requires_grad_(), masks.requires_grad_()),
        fast_mode=True,
    )


@pytest.mark.parametrize('mode', POOLINGS)
def test_person_outside_has_zero_features_and_finite_gradients(mode):
    torch.manual_seed(1)
    features = torch.randn(1, 4, 8, 8, requires_grad=True)
    masks = torch.randn(1, 3, 8, 8, requires_grad=True)
    boxes = torch.tensor([[[40.0, 0, 60, 30], [0, 0, 31, 31]]])
    pooled = masked_pooling(features, masks, box_membership(boxes, (32, 32), (8, 8)), mode)
    assert (pooled[0, 0] == 0).all()
    assert (pooled[0, 1] != 0).all()
    pooled.sum().backward()
    assert torch.isfinite(features.grad).all()
    assert torch.isfinite(masks.grad).all()


def test_max_gradient_reaches_the_winning_cells_alone():
    features = torch.zeros(1, 1, 2, 2)
    features[0, 0] = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    features.requires_grad_()
    masks = torch.tensor([[[[1.0, 5.0], [1.0, 1.0]]]], requires_grad=True)
    inside = torch.ones(1, 1, 2, 2, dtype=torch.bool)
    inside[0, 0, 1, 1] = False
    pooled = masked_pooling(features, masks, inside, 'max')
    assert pooled.item() == 10
    pooled.backward()
    assert features.grad[0, 0].tolist() == [[0, 5], [0, 0]]
    assert masks.grad[0, 0].tolist() == [[0, 2], [0, 0]]


@settings(max_examples=30, deadline=None)
@given(st.floats(1e-8, 10) | st.floats(-10, -1e-8) | st.just(0.0), st.integers(0, 10**6))
def test_normalized_is_bounded_for_any_mask(height, seed):
    """A tiny or negative mask never makes features larger than they were."""
    features = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(seed))
    masks = torch.zeros(1, 2, 8, 8)
    masks[:, 0] = height
    masks[:, 1, 3, 3] = height
    inside = torch.ones(1, 1, 8, 8, dtype=torch.bool)
    pooled = masked_pooling(features, masks, inside, 'normalized')
    assert pooled.abs().max() <= features.abs().max() * (1 + 1e-5)


def test_normalized_forgets_the_size_of_the_box():
    features = torch.ones(1, 3, 16, 16)
    mask = torch.zeros(1, 1, 16, 16)
    mask[0, 0, 4:6, 4:6] = 0.5
    boxes = torch.tensor([[[8.0, 8, 32, 32], [0, 0, 63, 63]]])
    inside = box_membership(boxes, (64, 64), (16, 16))
    normalized = masked_pooling(features, mask, inside, 'normalized')
    mean = masked_pooling(features, mask, inside, 'mean')
    torch.testing.assert_close(normalized, torch.ones(1, 2, 1, 3))
    assert (mean[0, 0] > mean[0, 1]).all()


def test_unknown_mode_and_misfitting_shapes():
    inside = torch.ones(1, 2, 4, 4, dtype=torch.bool)
    with pytest.raises(ValueError, match='pooling must be one of'):
        masked_pooling(torch.zeros(1, 3, 4, 4), torch.zeros(1, 2, 4, 4), inside, 'median')
    with pytest.raises(ValueError, match='features'):
        masked_pooling(torch.zeros(1, 3, 4, 5), torch.zeros(1, 2, 4, 4), inside)
    with pytest.raises(ValueError, match='masks'):
        masked_pooling(torch.zeros(1, 3, 4, 4), torch.zeros(1, 3, 2, 4, 4), inside)


class LargestTensor(TorchDispatchMode):
    """Notes the largest tensor that any operation returns."""

    numel = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in torch.utils._pytree.tree_leaves(out):
            # a view (a broadcast, say) owns its storage's size and no more
            if isinstance(tensor, torch.Tensor):
                LargestTensor.numel = max(
                    LargestTensor.numel, tensor.untyped_storage().nbytes() // tensor.element_size()
                )
        return out


@pytest.mark.parametrize('mode', POOLINGS)
def test_no_tensor_of_size_joints_times_features(mode):
    """Forward and backward at the paper's size stay at the size of F_d or of 2J masks."""
    batch, joints, channels, side = 2, 16, 256, 64
    features = torch.rand(batch, channels, side, side, requires_grad=True)
    masks = torch.rand(batch, joints, side, side, requires_grad=True)
    inside = box_membership(
        torch.tensor([[[0.0, 0, 120, 200], [90, 40, 250, 255]]] * batch), (256, 256), (64, 64)
    )
    saved = []
    LargestTensor.numel = 0

    def note(tensor):
        saved.append(tensor.numel())
        return tensor

    with LargestTensor(), torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        masked_pooling(features, masks, inside, mode).sum().backward()
    bound = max(features.numel(), 2 * masks.numel())
    assert max(saved) <= bound
    # the hook sees backward's tensors as well: CPU autograd runs in this thread
    assert bound // 2 < LargestTensor.numel <= bound
    assert bound * 4 < joints * features.numel()
