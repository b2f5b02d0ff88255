"""What a model is told to be made of is what it is made of: parameters, shapes, order, edges, in a few layers."""

from __future__ import annotations

import time
import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from acc.api import Decoded, Model, ModelSpec, Param
from acc.description import Head, Layer, ModelDescription, with_heads
from acc.errors import InvalidInput
from acc.models import describe as describing
from acc.models.build import BUILT_IN, build
from acc.models.describe import describe
from acc.specs import FactorGroup, ImageShape

GREY = ImageShape(channels=1, height=28, width=28)
RGB = ImageShape(channels=3, height=40, width=24)
GROUPS = (FactorGroup(name="digit", start=0, end=6), FactorGroup(name="slant", start=8, end=10))


def spec(architecture: str, image: ImageShape = GREY, **params: Any) -> ModelSpec:
    return ModelSpec(
        architecture=architecture, image=image, latent_dim=16, factor_groups=GROUPS, params=params
    )


def told(cls: type[Model], **params: Any) -> ModelDescription:
    return describe(spec(cls.__name__, **params), {cls.__name__: cls})


def kinds(found: ModelDescription, part: str) -> list[str]:
    return [layer.kind for layer in found.layers if layer.part == part]


def ways(found: ModelDescription) -> dict[tuple[str, str], str]:
    return {(edge.source, edge.target): edge.way for edge in found.edges}


def total(layers: tuple[Layer, ...]) -> int:
    return sum(layer.parameters * layer.repeats for layer in layers)


class Attending(nn.Module):
    """A block of a transformer with its two skip connections."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, 2, batch_first=True)
        self.feed = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        seen = self.first(x)
        x = x + self.attention(seen, seen, seen, need_weights=False)[0]
        mixed: Tensor = x + self.feed(self.second(x))
        return mixed


class Looking(Model):
    """Patches, places, twelve equal blocks."""

    blocks = Param(12, min=1, max=1000)

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__(spec)
        self.patches = nn.Conv2d(spec.image.channels, 16, 7, stride=7)
        self.places = nn.Parameter(torch.zeros(1, 16, 16))
        self.body = nn.ModuleList(Attending(16) for _ in range(self.blocks))
        self.to_code = nn.Linear(16, spec.latent_dim)
        self.draw = nn.Linear(spec.latent_dim, 28 * 28)
        self.spare = nn.Linear(3, 2)

    def posterior(self, x_BCHW: Tensor) -> tuple[Tensor, Tensor | None]:
        x = self.patches(x_BCHW).flatten(2).transpose(1, 2) + self.places
        for block in self.body:
            x = block(x)
        return self.to_code(x.mean(dim=1)), None

    def decode_logits(self, z: Tensor) -> Decoded:
        return Decoded(self.draw(z).unflatten(1, (1, 28, 28)))


class Skipping(Model):
    """A decoder that is given what the encoder's last layer is of, and one layer used twice."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__(spec)
        self.wide = nn.Conv2d(1, 4, 3, padding=1)
        self.again = nn.Conv2d(4, 4, 3, padding=1)
        self.to_code = nn.Linear(8 * 28 * 28, spec.latent_dim)
        self.tied = nn.Linear(8 * 28 * 28, spec.latent_dim)
        self.tied.weight = self.to_code.weight

    def posterior(self, x_BCHW: Tensor) -> tuple[Tensor, Tensor | None]:
        first = self.wide(x_BCHW)
        second = self.again(self.again(first))
        flat = torch.cat([first, second], dim=1).flatten(1)
        return self.to_code(flat) + self.tied(flat), None

    def decode_logits(self, z: Tensor) -> Decoded:
        return Decoded((z @ self.to_code.weight).view(-1, 8, 28, 28)[:, :1])


class Asking(Model):
    """Has a decoder that begins with a learned question, and a layer that was compiled before."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__(spec)
        with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
            self.inward = torch.jit.script(nn.Linear(28 * 28, spec.latent_dim))
        self.question = nn.Parameter(torch.zeros(1, 1, 28 * 28))
        self.answer = nn.MultiheadAttention(28 * 28, 2, batch_first=True, kdim=1, vdim=1)

    def posterior(self, x_BCHW: Tensor) -> tuple[Tensor, Tensor | None]:
        return self.inward(x_BCHW.flatten(1)), None

    def decode_logits(self, z: Tensor) -> Decoded:
        asked = self.question.expand(len(z), 1, -1)
        return Decoded(self.answer(asked, z.unsqueeze(2), z.unsqueeze(2))[0].view(-1, 1, 28, 28))


class Counting(Looking):
    """Asks its numbers something, which no pass without numbers can answer."""

    def posterior(self, x_BCHW: Tensor) -> tuple[Tensor, Tensor | None]:
        mean, _ = super().posterior(x_BCHW)
        return (mean if float(mean.sum()) < 1e9 else -mean), None


class Lazy(Model):
    """Learns the shape of its first layer from what it is given."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__(spec)
        self.inward, self.outward = nn.LazyLinear(spec.latent_dim), nn.Linear(spec.latent_dim, 28 * 28)

    def posterior(self, x_BCHW: Tensor) -> tuple[Tensor, Tensor | None]:
        return self.inward(x_BCHW.flatten(1)), None

    def decode_logits(self, z: Tensor) -> Decoded:
        return Decoded(self.outward(z).unflatten(1, (1, 28, 28)))


class Narrow(Lazy):
    """Draws an image of the wrong size."""

    def decode_logits(self, z: Tensor) -> Decoded:
        return Decoded(self.outward(z).unflatten(1, (1, 14, 56)))


class Raising(Lazy):
    """Fails in its encoder."""

    def posterior(self, x_BCHW: Tensor) -> tuple[Tensor, Tensor | None]:
        raise RuntimeError("no codes today")


@pytest.mark.parametrize("image", [GREY, RGB], ids=["grey", "rgb"])
@pytest.mark.parametrize("architecture", sorted(BUILT_IN))
@pytest.mark.parametrize("stages", [0, 4])
def test_the_parameters_of_the_layers_are_those_of_the_model(architecture, image, stages):
    params = (
        {"blocks": stages, "decoder_stages": stages}
        if architecture == "FactorSlotAutoencoder"
        else {"encoder_stages": stages, "decoder_stages": stages}
    )
    asked = spec(architecture, image, **params)
    found = describe(asked)
    own = sum(weight.numel() for weight in build(asked).parameters())
    assert found.parameters == own == total(found.layers) == sum(found.by_part.values())
    assert found.layers[0].shape == found.layers[-1].shape == (image.channels, image.height, image.width)


@pytest.mark.parametrize("cls", [Looking, Skipping, Counting, Lazy, Asking])
def test_the_parameters_of_a_plugins_layers_are_those_of_its_model(cls):
    found = told(cls)
    own = sum(weight.numel() for weight in build(spec(cls.__name__), {cls.__name__: cls}).parameters())
    assert found.parameters == own == total(found.layers) == sum(found.by_part.values())


def test_layers_come_in_the_order_in_which_they_run_with_the_shapes_that_they_give():
    found = describe(spec("ConvVAE", RGB))
    assert [(layer.name, layer.shape) for layer in found.layers if layer.kind == "Conv2d"][:3] == [
        ("encoder.layers.1", (8, 20, 12)),
        ("encoder.layers.3", (16, 10, 6)),
        ("encoder.layers.5", (32, 5, 3)),
    ]
    parts = list(dict.fromkeys(layer.part for layer in found.layers))
    assert parts == ["image", "encoder", "latent", "decoder", "output"]
    assert ways(found)["to_mean", "latent"] == ways(found)["to_logvar", "latent"] == "sequence"


def test_a_layer_that_reads_or_writes_one_factor_group_says_its_dimensions():
    found = describe(spec("FactorSlotAutoencoder"))
    spans = {layer.name: (layer.start, layer.end) for layer in found.layers if layer.start is not None}
    assert spans["heads.0"] == spans["decoder.to_tokens.0"] == (0, 6)
    assert spans["heads.2"] == (8, 10)
    assert [found.group_of(layer) for layer in found.layers if layer.name.startswith("heads")] == [
        0,
        None,
        1,
        None,
    ]


def test_twelve_equal_blocks_are_told_once():
    found = told(Looking)
    assert kinds(found, "encoder") == [
        "Conv2d",
        "sum",
        "LayerNorm",
        "MultiheadAttention",
        "sum",
        "LayerNorm",
        "Linear",
        "GELU",
        "Linear",
        "sum",
        "Linear",
    ]
    assert {layer.repeats for layer in found.layers if layer.name.startswith("body.")} == {12}
    assert [(block.kind, block.repeats) for block in found.blocks if block.repeats > 1] == [("Attending", 12)]
    assert [layer.name for layer in found.layers if layer.part == "unreached"] == ["spare"]


def test_equal_layers_side_by_side_are_not_told_as_one_behind_the_other():
    groups = tuple(FactorGroup(name=f"g{at}", start=at, end=at + 2) for at in range(0, 16, 2))
    found = describe(ModelSpec(architecture="FactorSlotAutoencoder", latent_dim=16, factor_groups=groups))
    heads = [layer for layer in found.layers if layer.name.startswith("heads.")]
    assert [found.group_of(layer) for layer in heads] == list(range(8))
    assert {layer.repeats for layer in heads} == {1}


def test_a_skip_connection_is_an_edge_beside_a_longer_way():
    found = told(Looking)
    joins = [layer.id for layer in found.layers if layer.is_join]
    assert len(joins) == 2
    skips = [pair for pair, way in ways(found).items() if way == "skip"]
    assert [target for _, target in skips] == joins
    join = next(layer for layer in told(Skipping).layers if layer.kind == "join")
    assert ways(told(Skipping))["wide", join.id] == "skip"


def test_a_parameter_that_a_layer_is_given_counts_as_that_layers():
    found = told(Asking)
    assert "unreached" not in found.by_part
    answer = next(layer for layer in found.layers if layer.name == "answer")
    own = sum(weight.numel() for weight in nn.MultiheadAttention(784, 2, kdim=1, vdim=1).parameters())
    assert answer.parameters == own + 784
    assert ways(found)["latent", "answer"] == "sequence"


def test_a_layer_that_runs_twice_is_told_twice_and_counted_once():
    found = told(Skipping)
    again = [layer.parameters for layer in found.layers if layer.name == "again"]
    assert again == [4 * 4 * 9 + 4, 0]
    tied = next(layer for layer in found.layers if layer.name == "tied")
    assert tied.parameters == 16  # its bias; the weight is that of the other


@pytest.mark.parametrize("cls", [*BUILT_IN.values(), Looking, Skipping])
def test_a_pass_without_numbers_tells_the_same_as_one_with(cls, monkeypatch):
    small = told(cls)
    monkeypatch.setattr(describing, "QUICK_PARAMETERS", 0)
    large = told(cls)
    assert (small.found_by, large.found_by) == ("zeros", "meta")
    assert large == small.model_copy(update={"found_by": "meta"})


def test_a_model_that_needs_numbers_is_passed_zeros(monkeypatch):
    monkeypatch.setattr(describing, "QUICK_PARAMETERS", 0)
    assert told(Counting).found_by == "zeros"
    assert told(Counting).layers == told(Looking).layers
    monkeypatch.setattr(describing, "MOST_REAL", 1000)
    with pytest.raises(InvalidInput, match="can only be drawn by a pass with numbers [(]RuntimeError"):
        told(Counting)


def test_a_giant_model_is_told_by_its_blocks():
    class Varied(Looking):
        """Has blocks that all differ."""

        def __init__(self, spec: ModelSpec) -> None:
            super().__init__(spec)
            for number, block in enumerate(self.body):
                block.feed = nn.Sequential(nn.Linear(16, 17 + number), nn.GELU(), nn.Linear(17 + number, 16))

    found = told(Varied, blocks=60)
    assert len(found.layers) < 90
    assert {layer.layers for layer in found.layers if layer.kind == "Attending"} == {8}
    assert found.parameters == total(found.layers)
    assert found.left_out == 0


def test_more_layers_than_are_shown_are_counted():
    found = describe(spec("FactorSlotAutoencoder"), most_layers=3)
    assert found.left_out > 0
    assert sum(layer.part in ("encoder", "decoder") for layer in found.layers) <= 6
    assert found.parameters == sum(found.by_part.values())
    assert {edge.target for edge in found.edges} >= {"latent", "output"}


def test_a_model_of_billions_of_parameters_takes_no_memory():
    began = time.process_time()
    found = describe(
        ModelSpec(
            architecture="Autoencoder",
            image=ImageShape(channels=3, height=1024, width=1024),
            latent_dim=65_536,
            params={"base_channels": 512, "depth": 1},
        )
    )
    assert found.parameters > 10**12
    assert time.process_time() - began < 10


@pytest.mark.parametrize(
    ("cls", "says"),
    [
        (Narrow, "Narrow.decode_logits drew a tensor of shape (2, 1, 14, 56)"),
        (Raising, "Raising.posterior failed for 2 images of 1 x 28 x 28"),
    ],
)
def test_a_broken_model_is_told_in_the_sentence_that_building_it_gives(cls, says):
    with pytest.raises(InvalidInput) as found:
        told(cls)
    with pytest.raises(InvalidInput) as built:
        build(spec(cls.__name__), {cls.__name__: cls})
    assert says in str(found.value)
    assert found.value.fields == built.value.fields


def test_a_parameter_that_does_not_fit_another_is_told_beside_its_field():
    with pytest.raises(InvalidInput) as found:
        describe(spec("FactorSlotAutoencoder", attention_heads=5))
    assert set(found.value.fields) == {"params.attention_heads"}


def test_describing_leaves_the_random_state_as_it_was():
    before = torch.get_rng_state()
    told(Counting)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_description_survives_its_way_as_json():
    found = describe(spec("FactorSlotAutoencoder"))
    assert ModelDescription.model_validate_json(found.model_dump_json()) == found


def test_the_heads_of_a_checkpoint_read_the_latent():
    found = describe(spec("ConvVAE"))
    head = Head(
        task="digit",
        name="Digit",
        kind="Classification",
        start=0,
        end=6,
        tensors={"weight": (10, 6), "bias": (10,)},
    )
    with_one = with_heads(found, [head])
    layer = with_one.layers[-1]
    assert (layer.part, layer.parameters, layer.shape, with_one.group_of(layer)) == ("head", 70, (10,), 0)
    assert with_one.by_part["head"] == 70
    assert with_one.parameters == found.parameters
    assert with_heads(found, []) == found


def test_four_times_as_many_blocks_take_no_more_than_some_four_times_as_long():
    told(Looking)  # what is imported once is no matter of this
    took = {50: float("inf"), 200: float("inf")}
    for blocks in (50, 200) * 3:  # a busy machine makes one of them slow now and then
        began = time.process_time()
        assert {layer.repeats for layer in told(Looking, blocks=blocks).layers} == {1, blocks}
        took[blocks] = min(took[blocks], time.process_time() - began)
    assert took[200] < 10 * took[50]
