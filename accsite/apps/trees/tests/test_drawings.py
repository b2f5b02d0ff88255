"""A drawing shows every layer where it belongs, and its table says the same in words."""

from __future__ import annotations

import itertools

import pytest

from acc.description import Block, Edge, Head, Layer, ModelDescription, with_heads
from acc.specs import FactorGroup, ImageShape
from accsite.apps.trees.pages import drawing

# Typed in another order than they lie in: a hue is that of the place in the latent.
GROUPS = (FactorGroup(name="slant", start=6, end=8), FactorGroup(name="digit", start=0, end=6))


def described(*, encoder: list[Layer], decoder: list[Layer], edges: list[tuple[str, str]], blocks=()):
    """Return a description of a model of these layers."""
    image = Layer(id="image", name="", kind="image", part="image", shape=(1, 32, 32))
    latent = Layer(id="latent", name="", kind="latent", part="latent", shape=(16,))
    output = Layer(id="output", name="", kind="image", part="output", shape=(1, 32, 32))
    layers = (image, *encoder, latent, *decoder, output)
    return ModelDescription(
        architecture="Made",
        image=ImageShape(),
        latent_dim=16,
        latent_shape=(16,),
        has_posterior=False,
        factor_groups=GROUPS,
        layers=layers,
        blocks=tuple(blocks),
        edges=tuple(Edge(source=source, target=target) for source, target in edges),
        parameters=sum(each.parameters * each.repeats for each in layers),
        by_part={"encoder": sum(each.parameters * each.repeats for each in encoder), "decoder": 0},
    )


def conv(name: str, *shape: int, part="encoder", **more) -> Layer:
    return Layer(id=name, name=name, kind="Conv2d", part=part, shape=shape, **more)


PLAIN = described(
    encoder=[
        conv("wide", 8, 16, 16, parameters=80),
        Layer(id="act", name="act", kind="GELU", part="encoder", shape=(8, 16, 16)),
        conv("deep", 64, 4, 4, parameters=4640),
        Layer(id="sum@1", name="", kind="sum", part="encoder", shape=(64, 4, 4)),
    ],
    decoder=[conv("draw", 4, 32, 32, part="decoder", start=6, end=8)],
    edges=[
        ("image", "wide"),
        ("wide", "act"),
        ("act", "deep"),
        ("act", "sum@1"),
        ("deep", "sum@1"),
        ("sum@1", "latent"),
        ("latent", "draw"),
        ("draw", "output"),
    ],
)


def by_name(found: ModelDescription) -> dict[str, drawing.Box]:
    return {box.layer.id: box for box in drawing.drawn(found).boxes}


def test_it_is_read_from_left_to_right_without_one_lying_on_another():
    drawn = drawing.drawn(PLAIN)
    boxes = [box for box in drawn.boxes if box.layer.part != "head"]
    assert [box.layer.id for box in boxes] == [layer.id for layer in PLAIN.layers]
    for before, after in itertools.pairwise(boxes):
        assert before.right < after.x
    assert all(box.x >= 0 and box.right <= drawn.width for box in boxes)
    assert all(box.y >= 0 and box.y + box.height <= drawn.height for box in boxes)


def test_a_block_is_as_high_as_its_places_and_as_wide_as_its_channels():
    boxes = by_name(PLAIN)
    assert boxes["wide"].height > boxes["deep"].height
    assert boxes["wide"].width < boxes["deep"].width
    assert boxes["act"].form == "slat"
    assert (boxes["sum@1"].form, boxes["sum@1"].sign) == ("join", "+")


def test_an_edge_that_passes_over_a_layer_goes_above_it():
    wires = {(wire.source, wire.target): wire.path for wire in drawing.drawn(PLAIN).wires}
    assert "C" not in wires[0, 1]
    assert "H" in wires[0, 1]
    over = wires[2, 4]
    height = float(over.split("C")[1].split()[1])
    assert height < min(box.y for name, box in by_name(PLAIN).items() if name in ("act", "deep", "sum@1"))


def test_the_latent_is_divided_as_the_groups_are_and_what_reads_one_has_its_hue():
    boxes = by_name(PLAIN)
    segments = boxes["latent"].segments
    assert [(each.name, each.range, each.hue) for each in segments] == [
        ("digit", "0:6", 0),
        ("slant", "6:8", 1),
        ("free", "8:16", None),
    ]
    assert segments[0].height > segments[1].height
    assert boxes["draw"].hue == 1
    wire = next(each for each in drawing.drawn(PLAIN).wires if each.target == boxes["draw"].number)
    assert wire.hue == 1
    assert wire.path.startswith(f"M{boxes['latent'].right} {segments[1].middle}")


def test_equal_blocks_are_framed_once_with_how_often_they_run():
    found = described(
        encoder=[
            conv("b.0.first", 8, 8, 8, repeats=12, block="b.0", parameters=10),
            conv("b.0.second", 8, 8, 8, repeats=12, block="b.0"),
            conv("alone", 8, 8, 8, repeats=3),
        ],
        decoder=[],
        edges=[
            ("image", "b.0.first"),
            ("b.0.first", "b.0.second"),
            ("b.0.second", "alone"),
            ("alone", "latent"),
        ],
        blocks=[Block(id="b.0", name="b.0", kind="Block", repeats=12)],
    )
    drawn = drawing.drawn(found)
    assert [frame.repeats for frame in drawn.frames] == [12, 3]
    boxes, frame = by_name(found), drawn.frames[0]
    assert frame.x < boxes["b.0.first"].x
    assert frame.x + frame.width > boxes["b.0.second"].right
    assert [row.parameters for row in drawing.rows(found)][1] == 120


def test_of_many_layers_side_by_side_each_has_a_line_and_the_rest_is_counted():
    many = [conv(f"head{at}", 4, parameters=5) for at in range(20)]
    found = described(
        encoder=many,
        decoder=[],
        edges=[*(("image", each.id) for each in many), *((each.id, "latent") for each in many)],
    )
    lines = [box for box in drawing.drawn(found).boxes if box.form == "line"]
    assert len(lines) == drawing.MOST_LINES
    assert lines[-1].beside == "and 7 more"
    assert len(drawing.rows(found)) == 23


def test_the_heads_of_tasks_lie_below_the_latent_that_they_read():
    heads = [
        Head(task=f"t{at}", name=f"Task {at}", kind="Probe", start=0, end=6, tensors={"weight": (3, 6)})
        for at in range(2)
    ]
    found = with_heads(PLAIN, heads)
    boxes = by_name(found)
    assert boxes["head.t0"].y > boxes["latent"].y + boxes["latent"].height
    assert boxes["head.t0"].beside == "Task 0 18"
    assert boxes["head.t0"].hue == 0
    assert boxes["head.t1"].y > boxes["head.t0"].y


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (0, ""),
        (7, "7"),
        (999, "999"),
        (1_234, "1.2 k"),
        (99_960, "100 k"),
        (3_400_000, "3.4 M"),
        (7e12, "7.0 T"),
    ],
)
def test_parameters_are_told_in_a_few_characters(count, said):
    assert drawing.short(int(count)) == said


def test_a_model_of_two_layers_and_one_of_none_can_be_drawn():
    bare = described(encoder=[], decoder=[], edges=[])
    assert drawing.drawn(bare).width > 0
    assert [row.part for row in drawing.rows(bare)] == ["image", "latent", "image"]
