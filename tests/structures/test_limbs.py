# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import numpy as np
import pytest

from wsp_mm.structures.keypoints import get_joint_set
from wsp_mm.structures.limbs import LIMB_SHARES, limbs_of

# Share of body height, above the ground, of an upright person (Drillis and Contini).
HEIGHTS = dict(shoulder=0.818, elbow=0.630, wrist=0.485, hip=0.530, knee=0.285, ankle=0.039)


@pytest.mark.parametrize('joint_set', ['mcpc16', 'coco17', 'h36m18'])
def test_limbs_of_an_upright_person_have_their_shares(joint_set):
    concepts = get_joint_set(joint_set).concepts
    ends, shares = limbs_of(joint_set)
    assert len(ends) == 2 * len(LIMB_SHARES)
    for (first, second), share in zip(ends, shares, strict=True):
        (side, one), (other_side, two) = (concepts[i].split('_') for i in (first, second))
        assert side == other_side
        assert HEIGHTS[one] - HEIGHTS[two] == pytest.approx(share)
    assert len(np.unique(ends, axis=0)) == len(ends)


def test_a_set_without_the_ends_of_a_limb_has_not_the_limb(monkeypatch):
    monkeypatch.setitem(LIMB_SHARES, ('knee', 'toe'), 0.1)
    assert len(limbs_of('mcpc16')[0]) == len(limbs_of('muco21')[0]) - 2 == 10
