"""Every architecture is built reproducibly, fits any image, and samples only while training."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from acc.errors import InvalidInput
from acc.models import Decoded, Model, build
from acc.models.factor_slot import slots_of
from acc.params import Param
from acc.specs import ImageShape
from acc.tests import helpers

VARIANTS: list[tuple[str, dict[str, Any]]] = [
    ("Autoencoder", {}),
    ("Autoencoder", {"depth": 4}),
    ("ConvVAE", {}),
    ("FactorSlotAutoencoder", {}),
    ("FactorSlotAutoencoder", {"bottleneck": "spatial"}),
    ("FactorSlotAutoencoder", {"variational": False}),
    ("FactorSlotAutoencoder", {"shield_factors": True, "attention_heads": 1, "tokens_per_slot": 3}),
]


@pytest.mark.parametrize(("architecture", "params"), VARIANTS)
def test_the_same_spec_gives_the_same_weights_and_leaves_the_callers_randomness_alone(
    architecture: str, params: dict[str, Any]
) -> None:
    spec = helpers.model_spec(architecture, params=params, seed=3)
    torch.manual_seed(1)
    expected = torch.rand(4)
    torch.manual_seed(1)
    first = build(spec)
    torch.testing.assert_close(torch.rand(4), expected, rtol=0, atol=0)
    second = build(spec)
    other = build(spec.model_copy(update={"seed": 4}))
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, second.state_dict()[name]), name
    assert any(not torch.equal(t, other.state_dict()[name]) for name, t in first.state_dict().items())


@pytest.mark.parametrize(("architecture", "params"), VARIANTS)
@pytest.mark.parametrize("shape", [(1, 32, 32), (3, 28, 28), (1, 8, 8), (2, 17, 33)])
def test_any_image_shape_comes_back_in_its_own_shape(
    architecture: str, params: dict[str, Any], shape: tuple[int, int, int]
) -> None:
    image = ImageShape(channels=shape[0], height=shape[1], width=shape[2])
    model = build(helpers.model_spec(architecture, image=image, params=params))
    output = model.encode(torch.rand(2, *shape))
    assert output.reconstruction.shape == (2, *shape)
    assert output.latent.shape == (2, 8)
    output.reconstruction.square().mean().backward()


@pytest.mark.parametrize(("architecture", "params"), VARIANTS)
def test_evaluation_reads_the_posterior_mean_and_never_a_sample(
    architecture: str, params: dict[str, Any]
) -> None:
    model = build(helpers.model_spec(architecture, params=params))
    images = torch.rand(4, 1, 16, 16)
    model.eval()
    first, second = model.encode(images), model.encode(images)
    assert torch.equal(first.z, first.mean)
    assert torch.equal(first.latent, first.posterior_mean)
    assert torch.equal(first.reconstruction, second.reconstruction)
    model.train()
    assert torch.equal(model.encode(images).z, model.encode(images).mean) is not model.has_posterior


def test_a_spatial_latent_is_pooled_over_its_places() -> None:
    model = build(helpers.model_spec(params={"bottleneck": "spatial"})).eval()
    output = model.encode(torch.rand(2, 1, 16, 16))
    assert output.spatial is not None
    assert output.spatial.shape == (2, 8, 4, 4)
    torch.testing.assert_close(output.latent, output.spatial.mean(dim=(2, 3)))


def test_ranges_between_factor_groups_are_slots_of_their_own() -> None:
    spec = helpers.model_spec(
        latent_dim=10,
        factor_groups=({"name": "slant", "start": 6, "end": 8}, {"name": "digit", "start": 1, "end": 4}),
    )
    assert [(s.name, s.start, s.end) for s in slots_of(spec)] == [
        ("dims-0-1", 0, 1),
        ("digit", 1, 4),
        ("dims-4-6", 4, 6),
        ("slant", 6, 8),
        ("dims-8-10", 8, 10),
    ]
    assert build(spec).slot_names == ("dims-0-1", "digit", "dims-4-6", "slant", "dims-8-10")


def test_the_default_factor_slot_model_is_small() -> None:
    spec = helpers.model_spec(side=32, params={"channels": 32, "grid": 8}, latent_dim=16)
    assert 50_000 < sum(parameter.numel() for parameter in build(spec).parameters()) < 90_000


@pytest.mark.parametrize(
    ("spec", "field", "words"),
    [
        (
            {"architecture": "Nothing"},
            "architecture",
            "'Nothing' is not a known architecture; known: Autoencoder",
        ),
        ({"params": {"channels": 9}}, "params.attention_heads", "2 heads do not divide 9 channels"),
        ({"params": {"colour": 1}}, "params.colour", "unknown parameter 'colour'"),
        ({"params": {"bottleneck": "round"}}, "params.bottleneck", "'round' is not one of pooled, spatial"),
    ],
)
def test_a_wrong_specification_is_refused_with_field_and_value(
    spec: dict[str, Any], field: str, words: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        build(helpers.model_spec().model_copy(update=spec))
    assert words in refused.value.fields[field][0]


def test_an_architecture_of_ones_own_needs_two_methods() -> None:
    class Linear(Model):
        width = Param(4, min=1)

        def __init__(self, spec: Any) -> None:
            super().__init__(spec)
            pixels = spec.image.height * spec.image.width
            self.inward = torch.nn.Linear(pixels, spec.latent_dim)
            self.outward = torch.nn.Linear(spec.latent_dim, pixels)

        def posterior(self, x_BCHW: torch.Tensor) -> tuple[torch.Tensor, None]:
            return self.inward(x_BCHW.flatten(1)), None

        def decode_logits(self, z: torch.Tensor) -> Decoded:
            return Decoded(self.outward(z).view(-1, 1, self.spec.image.height, self.spec.image.width))

    spec = helpers.model_spec("ConvVAE").model_copy(update={"architecture": "Linear", "params": {"width": 7}})
    model = build(spec, {"Linear": Linear})
    assert model.width == 7
    assert model.encode(torch.rand(2, 1, 16, 16)).reconstruction.shape == (2, 1, 16, 16)
