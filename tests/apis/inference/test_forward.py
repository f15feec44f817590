# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import numpy as np
import pytest
import torch

from wsp_mm.apis.inference.forward import gathered, pack, predict, thread_context
from wsp_mm.apis.inference.models import load_network

CPU = torch.device('cpu')


@pytest.fixture(scope='module', params=['pose', 'root', 'pretrained'])
def network(request):
    return load_network(*request.getfixturevalue(request.param)[:2])


def crops_of(network, fixture):
    for seed, box in enumerate(fixture.BOXES):
        x, y, w, h = box
        corners = [[x, y, x + w, y + h]]
        sample = dict(
            network.crop_meta,
            img=fixture.picture(seed),
            img_path='p',
            bbox_score=np.ones(1, np.float32),
        )
        if network.kind == 'order':
            sample.update(bbox=np.array([*corners, [60, 20, 100, 110]], np.float32), pair=(0, 1))
            del sample['bbox_score']
        else:
            sample.update(bbox=np.array(corners, np.float32))
            sample.update(camera_f=np.full(2, 500, np.float32), camera_c=np.full(2, 60, np.float32))
        yield network.pipeline(sample)


def test_equal_to_mmposes_test_step(network, fixture):
    with torch.inference_mode():
        crops = list(crops_of(network, fixture))
        data = dict(
            inputs=[c['inputs'] for c in crops], data_samples=[c['data_samples'] for c in crops]
        )
        theirs = network.model.test_step(data)
    ours = predict(network, pack(list(crops_of(network, fixture)), CPU), CPU, None)
    assert len(ours) == len(theirs) == 3
    for a, b in zip(ours, theirs, strict=True):
        assert set(a.pred_instances.keys()) == set(b.pred_instances.keys())
        for key, value in a.pred_instances.items():
            np.testing.assert_array_equal(
                np.asarray(value), np.asarray(b.pred_instances[key]), err_msg=key
            )


def test_another_preprocessor_gets_the_samples(network, fixture, monkeypatch):
    kind = type(network.model.data_preprocessor)
    plain = predict(network, pack(list(crops_of(network, fixture)), CPU), CPU, None)
    seen = []

    class Other(kind):
        def forward(self, data, training=False):
            seen.append(len(data['data_samples']))
            return super().forward(data, training)

    monkeypatch.setattr(network.model.data_preprocessor, '__class__', Other)
    other = predict(network, pack(list(crops_of(network, fixture)), CPU), CPU, None)
    assert seen == [3]
    for a, b in zip(plain, other, strict=True):
        np.testing.assert_array_equal(a.pred_instances.keypoints, b.pred_instances.keypoints)


def test_gathered():
    pictures = [torch.full((3, 4, 5), i, dtype=torch.uint8) for i in range(3)]
    batch = gathered(pictures, CPU)
    assert batch.shape == (3, 3, 4, 5)
    assert batch.dtype == torch.uint8
    assert batch[:, 0, 0, 0].tolist() == [0, 1, 2]
    odd = [*pictures, torch.zeros(3, 4, 6, dtype=torch.uint8)]
    assert [one.shape for one in gathered(odd, CPU)] == [one.shape for one in odd]


def test_a_thread_computes_with_the_callers_number_of_threads():
    from wsp_mm.apis.inference.stages import Ahead

    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        context = thread_context(CPU)
        assert list(Ahead((torch.get_num_threads() for _ in range(2)), 'x', context)) == [3, 3]
    finally:
        torch.set_num_threads(before)
