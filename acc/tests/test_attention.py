"""Attention maps say how much each place read each factor slot."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from acc.models import build
from acc.tests import helpers


@pytest.mark.parametrize("bottleneck", ["pooled", "spatial"])
@pytest.mark.parametrize("heads", [1, 2])
def test_attention_sums_to_one_over_the_factors_at_each_place(bottleneck: str, heads: int) -> None:
    model = build(helpers.model_spec(params={"bottleneck": bottleneck, "attention_heads": heads})).eval()
    attention = model.encode(torch.rand(3, 1, 16, 16)).attention
    assert attention is not None
    assert attention.shape == (3, len(model.slot_names), 4, 4)
    assert float(attention.min()) >= 0
    torch.testing.assert_close(attention.sum(dim=1), torch.ones(3, 4, 4))


def test_the_default_grid_is_eight_by_eight() -> None:
    model = build(helpers.model_spec(side=32, params={"channels": 8, "grid": 8}))
    attention = model.encode(torch.rand(1, 1, 32, 32)).attention
    assert attention is not None
    assert attention.shape == (1, 3, 8, 8)


def test_attention_follows_the_slot_whose_tokens_match_the_queries() -> None:
    model: Any = build(helpers.model_spec(params={"attention_heads": 1})).eval()
    decoder = model.decoder
    with torch.no_grad():
        # The tokens of the second slot point where every query points; all others stay where they were.
        target = decoder.query_CP.mean(dim=1)
        decoder.query_CP.copy_(target.unsqueeze(1).expand_as(decoder.query_CP))
        decoder.norm = torch.nn.Identity()
        decoder.to_key_value.weight[: len(target)] = torch.eye(len(target))
        decoder.slot_bias_TC.zero_()
        decoder.slot_bias_TC[2:4] = 100 * target
    attention = model.encode(torch.rand(2, 1, 16, 16)).attention
    assert attention is not None
    assert float(attention[:, 1].min()) > 0.9


def test_a_plain_model_has_no_attention() -> None:
    model = build(helpers.model_spec("ConvVAE"))
    assert model.encode(torch.rand(1, 1, 16, 16)).attention is None
    assert model.slot_names == ()
