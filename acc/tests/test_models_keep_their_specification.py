"""Two images go through a fresh model, and what is not as its specification says is named before anything trains."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from acc.errors import InvalidInput
from acc.models import Decoded, Model, build
from acc.specs import ImageShape, ModelSpec

SIDE, PIXELS, WIDTH = 8, 3 * 8 * 8, 4


class Plain(Model):
    """A linear variational model of 3 x 8 x 8 images, of which each test breaks one thing."""

    has_posterior = True

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__(spec)
        self.enc, self.dec = nn.Linear(PIXELS, 2 * WIDTH), nn.Linear(WIDTH, PIXELS)

    def posterior(self, x: Any) -> Any:
        return self.enc(x.flatten(1)).chunk(2, 1)

    def decode_logits(self, z: Any) -> Any:
        return Decoded(self.dec(z).view(-1, 3, SIDE, SIDE))


class OneThing(Plain):
    def posterior(self, x: Any) -> Any:
        return self.enc(x.flatten(1))


class WrongWidth(Plain):
    def posterior(self, x: Any) -> Any:
        mean, logvar = super().posterior(x)
        return mean[:, :3], logvar[:, :3]


class ADistribution(Plain):
    def posterior(self, x: Any) -> Any:
        mean, logvar = super().posterior(x)
        return torch.distributions.Normal(mean, logvar.exp()), logvar


class NoLogvar(Plain):
    def posterior(self, x: Any) -> Any:
        return super().posterior(x)[0], None


class NotFinite(Plain):
    def posterior(self, x: Any) -> Any:
        mean, logvar = super().posterior(x)
        return mean / 0, logvar


class Grey(Plain):
    def decode_logits(self, z: Any) -> Any:
        return Decoded(self.dec(z).view(-1, 3, SIDE, SIDE)[:, :1])


class Bare(Plain):
    def decode_logits(self, z: Any) -> Any:
        return self.dec(z).view(-1, 3, SIDE, SIDE)


class Small(Plain):
    def decode_logits(self, z: Any) -> Any:
        return Decoded(self.dec(z).view(-1, 3, SIDE, SIDE)[..., :4])


class Raises(Plain):
    def posterior(self, x: Any) -> Any:
        raise ValueError("boom")


class CannotBeMade(Plain):
    def __init__(self, spec: ModelSpec) -> None:
        raise ZeroDivisionError("no")


WRONG: dict[type[Model], str] = {
    OneThing: r"OneThing\.posterior returned a tensor of shape \(2, 8\).* it must return two things",
    WrongWidth: r"WrongWidth\.posterior returned as mean a tensor of shape \(2, 3\).*latent_dim 4",
    ADistribution: r"ADistribution\.posterior returned as mean a Normal distribution",
    NoLogvar: r"NoLogvar\.posterior returned as logvar None; has_posterior is True",
    NotFinite: r"NotFinite\.posterior returned as mean .*8 of 8 numbers are not finite",
    Grey: r"Grey\.decode_logits drew a tensor of shape \(2, 1, 8, 8\).*\(2, 3, 8, 8\)",
    Bare: r"Bare\.decode_logits returned a tensor of shape \(2, 3, 8, 8\).*Decoded\(logits\)",
    Small: r"Small\.decode_logits drew a tensor of shape \(2, 3, 8, 4\).*\(2, 3, 8, 8\)",
    Raises: r"Raises\.posterior failed .*ValueError: boom \(test_models_keep_their_specification\.py, line \d+\)",
    CannotBeMade: r"CannotBeMade cannot be made: ZeroDivisionError: no",
}


def spec_of(cls: type[Model]) -> ModelSpec:
    image = ImageShape(channels=3, height=SIDE, width=SIDE)
    return ModelSpec(architecture=cls.__name__, image=image, latent_dim=WIDTH)


@pytest.mark.parametrize("cls", WRONG, ids=lambda cls: cls.__name__)
def test_what_differs_from_the_specification_is_named(cls: type[Model]) -> None:
    with pytest.raises(InvalidInput, match=WRONG[cls]) as caught:
        build(spec_of(cls), {cls.__name__: cls})
    assert list(caught.value.fields) == ["architecture"]


class Counts(Plain):
    """Keeps running statistics and counts its passes, also in eval mode."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__(spec)
        self.norm = nn.BatchNorm1d(PIXELS)
        self.register_buffer("seen", torch.zeros(1))
        self.passes = 0

    seen: torch.Tensor

    def posterior(self, x: Any) -> Any:
        self.passes += 1
        self.seen += 1
        self.last = x
        return super().posterior(self.norm(x.flatten(1)).view_as(x))


def test_the_two_images_leave_no_trace() -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    model: Any = build(spec_of(Counts), {"Counts": Counts})
    assert torch.equal(torch.rand(2), expected)
    assert model.passes == 0
    assert model.seen.item() == 0
    assert not hasattr(model, "last")
    assert model.norm.num_batches_tracked == 0
    assert model.training


class Lazy(Plain):
    def __init__(self, spec: ModelSpec) -> None:
        super().__init__(spec)
        self.enc, self.dec = nn.LazyLinear(2 * WIDTH), nn.LazyLinear(PIXELS)


class NeverReached(Plain):
    def __init__(self, spec: ModelSpec) -> None:
        super().__init__(spec)
        self.idle = nn.LazyLinear(3)


def test_lazy_layers_learn_their_shapes_and_start_the_same_every_time() -> None:
    one, two = (build(spec_of(Lazy), {"Lazy": Lazy}).state_dict() for _ in range(2))
    assert one["enc.weight"].shape == (2 * WIDTH, PIXELS)
    assert all(torch.equal(tensor, two[name]) for name, tensor in one.items())


def test_a_lazy_layer_that_nothing_reaches_is_refused_by_name() -> None:
    with pytest.raises(InvalidInput, match=r"lazy layer that neither .* 'idle\.weight'"):
        build(spec_of(NeverReached), {"NeverReached": NeverReached})
