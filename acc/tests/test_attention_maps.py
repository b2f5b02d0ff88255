"""Attention maps say from which slot each place was drawn, and a model without attention says that."""

from __future__ import annotations

import numpy as np
import pytest

from acc.errors import InvalidInput
from acc.tests import evaluated


@pytest.mark.parametrize("bottleneck", ["pooled", "spatial"])
def test_maps_sum_to_one_over_the_slots_at_each_place(bottleneck: str) -> None:
    found = evaluated.evaluator(evaluated.checkpoint(bottleneck=bottleneck)).attention(count=6)
    assert found.slots == ("digit", "size", "free")
    assert found.maps.shape == (6, 3, 4, 4)
    np.testing.assert_allclose(found.maps.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(found.inputs, evaluated.data().images[list(found.indices)])
    assert found.outputs.shape == found.inputs.shape


def test_the_images_are_those_of_the_reconstructions() -> None:
    evaluator = evaluated.evaluator(rows="held_out")
    [grid] = evaluator.reconstructions()
    assert evaluator.attention().indices == grid.indices


def test_a_model_without_cross_attention_says_so() -> None:
    with pytest.raises(InvalidInput, match="decoder of ConvVAE has no cross-attention"):
        evaluated.evaluator(evaluated.checkpoint("ConvVAE")).attention()
