"""A model that grows by identity computes what it computed before; what it had learned is left untouched."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from acc.errors import InvalidInput
from acc.models import Model, build
from acc.specs import ModelSpec
from acc.tests import helpers

WHERE = ("encoder_stage", "decoder_stage", "latent", "factor_group")


@st.composite
def specs(draw: st.DrawFn, architecture: str) -> ModelSpec:
    named = draw(st.lists(st.integers(1, 3), min_size=1, max_size=3))
    tail = draw(st.integers(0, 3))
    groups, start = [], 0
    for number, width in enumerate(named):
        groups.append({"name": f"g{number}", "start": start, "end": start + width})
        start += width
    params: dict[str, Any]
    if architecture == "FactorSlotAutoencoder":
        params = {
            "channels": 4 * draw(st.integers(1, 3)),
            "blocks": draw(st.integers(0, 2)),
            "grid": draw(st.integers(2, 4)),
            "bottleneck": draw(st.sampled_from(["pooled", "spatial"])),
            "tokens_per_slot": draw(st.integers(1, 3)),
            "variational": draw(st.booleans()),
            "shield_factors": draw(st.booleans()),
        }
    else:
        params = {"base_channels": draw(st.integers(1, 4)), "depth": draw(st.integers(1, 3))}
    side = draw(st.integers(8, 13))
    return ModelSpec(
        architecture=architecture,
        image={"channels": draw(st.integers(1, 3)), "height": side, "width": draw(st.integers(8, 13))},
        latent_dim=start + tail,
        factor_groups=groups,
        params=params,
        seed=draw(st.integers(0, 1000)),
    )


def seen(model: Model, x: torch.Tensor) -> list[torch.Tensor]:
    with torch.no_grad():
        output = model.eval().encode(x)
        return [output.mean, output.reconstruction]


@pytest.mark.parametrize("architecture", ["Autoencoder", "ConvVAE", "FactorSlotAutoencoder"])
def test_identity_changes_no_output_of_any_small_model(architecture: str) -> None:
    @settings(max_examples=25, deadline=None)
    @given(spec=specs(architecture), wheres=st.lists(st.sampled_from(WHERE), min_size=1, max_size=3))
    def check(spec: ModelSpec, wheres: list[str]) -> None:
        model = build(spec)
        before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        x = torch.rand(3, spec.image.channels, spec.image.height, spec.image.width)
        mean, image = seen(model, x)
        larger = model
        for number, where in enumerate(wheres):
            name = f"new{number}" if where == "factor_group" else ""
            larger = larger.expand(where, amount=1 + number % 2, name=name)
        found_mean, found_image = seen(larger, x)
        torch.testing.assert_close(found_mean[:, : spec.latent_dim], mean, atol=1e-5, rtol=0)
        torch.testing.assert_close(found_image, image, atol=1e-5, rtol=0)
        assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
        again = build(larger.spec)
        again.load_state_dict(larger.state_dict())  # what a checkpoint of it will be read into

    check()


@pytest.mark.parametrize("start", ["identity", "random"])
@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("architecture", ["Autoencoder", "ConvVAE", "FactorSlotAutoencoder"])
def test_every_new_weight_can_learn(architecture: str, where: str, start: str) -> None:
    torch.manual_seed(0)
    model = build(helpers.model_spec(architecture))
    larger = model.expand(where, start=start, amount=2, name="new" if where == "factor_group" else "").train()
    optimizer = torch.optim.AdamW(larger.parameters(), lr=1e-2)
    first = {name: parameter.detach().clone() for name, parameter in larger.named_parameters()}
    for _ in range(3):  # a zero weight passes nothing back at the first step, and does at the second
        optimizer.zero_grad()
        output = larger.encode(torch.rand(4, 1, 16, 16))
        (output.reconstruction.square().mean() + output.latent.square().mean()).backward()
        optimizer.step()
    assert all(
        not torch.equal(first[name], parameter.detach()) for name, parameter in larger.named_parameters()
    )


def test_random_changes_what_is_drawn_and_keeps_the_old_weights() -> None:
    model = build(helpers.model_spec("Autoencoder"))
    larger = model.expand("encoder_stage", start="random")
    x = torch.rand(2, 1, 16, 16)
    assert (seen(larger, x)[1] - seen(model, x)[1]).abs().max() > 1e-4
    assert all(torch.equal(tensor, larger.state_dict()[name]) for name, tensor in model.state_dict().items())


def test_the_same_expansion_gives_the_same_weights_and_another_seed_others() -> None:
    model = build(helpers.model_spec())

    def weights(seed: int) -> torch.Tensor:
        state = model.expand("factor_group", name="new", amount=3, seed=seed).state_dict()
        return torch.cat([tensor.flatten() for tensor in state.values()])

    assert torch.equal(weights(0), weights(0))
    assert not torch.equal(weights(0), weights(1))


@pytest.mark.parametrize(
    ("fields", "field", "sentence"),
    [
        ({"where": "middle"}, "where", "'middle' is refused"),
        ({"where": "latent", "amount": 0}, "amount", "0 is refused"),
        ({"where": "latent", "name": "x"}, "name", "'x' names nothing"),
        ({"where": "factor_group"}, "name", "a name is needed; it was empty"),
        ({"where": "factor_group", "name": "digit"}, "name", "'digit' is already a factor group"),
        ({"where": "encoder_stage", "amount": 30}, "params.blocks", "31 is above the most allowed, 8"),
    ],
)
def test_what_cannot_be_is_refused_in_words(fields: dict[str, Any], field: str, sentence: str) -> None:
    model = build(helpers.model_spec())
    with pytest.raises(InvalidInput) as caught:
        model.expand(**fields)
    assert list(caught.value.fields) == [field]
    assert sentence in caught.value.fields[field][0]


def test_an_architecture_that_says_nothing_of_growth_is_refused() -> None:
    class Fixed(type(build(helpers.model_spec("Autoencoder")))):  # type: ignore[misc]
        growth = Model.growth

    model = Fixed(helpers.model_spec("Autoencoder"))
    with pytest.raises(InvalidInput, match="Fixed cannot be expanded"):
        model.expand("latent")
