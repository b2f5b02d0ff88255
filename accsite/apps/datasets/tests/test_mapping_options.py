"""A mapping is said by the options of a command: what they say is done, and those that are printed say it again."""

from __future__ import annotations

import json
import shlex
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandParser
from hypothesis import given, settings
from hypothesis import strategies as st

from acc.data.importers.mapping import GridFactor, ImportMapping, Steps, TargetMapping
from acc.errors import InvalidInput
from accsite.apps.datasets import mapping_options
from accsite.apps.datasets.management.commands.import_dataset import Command
from accsite.apps.datasets.mapping_options import Options
from accsite.apps.datasets.tests.test_mapping_form import MAPPING, SOURCE

PROPOSED = ImportMapping(
    images="imgs",
    scale="0..1",
    targets=tuple(
        TargetMapping(source="latents_values", index=number, name=name)
        for number, name in enumerate(("color", "shape", "scale", "orientation"))
    ),
    id="index",
    left_out=("part",),
)


def parsed(words: list[str]) -> Options:
    parser = CommandParser(prog="import_dataset")
    Command().add_arguments(parser)
    found = vars(parser.parse_args(["file", *words]))
    return Options(**{field.name: found[field.name] for field in fields(Options)})


def told(words: str, mapping: ImportMapping = PROPOSED) -> ImportMapping:
    return mapping_options.applied(parsed(shlex.split(words)), mapping, SOURCE)


def test_without_options_the_proposal_stays() -> None:
    assert told("") == PROPOSED


def test_columns_of_an_array_are_named_in_their_order_and_skipped() -> None:
    found = told("--targets 'latents_values:-,\"form, of it\",size' --drop index")
    assert [(each.index, each.name) for each in found.targets] == [(1, "form, of it"), (2, "size")]
    assert (found.id, set(found.left_out)) == (
        "",
        {"part", "index", "latents_values[0]", "latents_values[3]"},
    )


def test_targets_are_picked_renamed_and_given_kind_and_unit() -> None:
    found = told("--targets shape,scale --kind shape=class --measure scale=px --kind scale=circular:6.25")
    assert [(each.name, each.kind, each.unit, each.period) for each in found.targets] == [
        ("shape", "class", "", None),
        ("scale", "circular", "px", 6.25),
    ]
    assert [each.name for each in told("--targets index:row").targets] == ["row"]
    assert told("--targets none").targets == ()


def test_a_column_with_a_role_is_no_target_any_more() -> None:
    found = told("--units color --split part --parts train --id none")
    assert (found.units, found.split, found.parts, found.id) == ("latents_values[0]", "part", ("train",), "")
    assert "color" not in [target.name for target in found.targets]
    assert found.left_out == ("index",)


def test_an_array_and_what_was_passed_over_are_left_out_by_their_names() -> None:
    found = told("--drop latents_values --drop metadata")
    assert found.targets == ()
    assert found.left_out == ("part", *(f"latents_values[{place}]" for place in range(4)), "metadata")


def test_the_factors_of_a_grid_are_targets() -> None:
    found = told("--grid shape:5,x:20")
    assert [(each.key, each.name, each.kind) for each in found.targets[-2:]] == [
        ("grid[0]", "shape", "class"),
        ("grid[1]", "x", "class"),
    ]
    assert [each.name for each in told("--targets grid:-,row", found).targets] == ["row"]
    assert told("--grid none", found) == PROPOSED


@pytest.mark.parametrize(
    ("words", "field", "sentence"),
    [
        (
            "--targets latents_values:a,b,c,d,e",
            "targets",
            "'latents_values' has 4 columns; 5 names are given",
        ),
        ("--targets latent_values:a", "targets", "there is no array or column 'latent_values'"),
        ("--targets colour", "targets", "there is no column 'colour'; there are: 'latents_values[0]'"),
        ("--drop colour", "drop", "there is no column 'colour'"),
        ("--kind colour=class", "kind", "is not NAME=VALUE of a target; targets are: 'color', 'shape'"),
        ("--kind shape=round", "targets.1.kind", "choose one of: class, real, circular"),
        ("--resize tiny", "resize", "'tiny' is refused; write one side"),
        ("--grid shape", "grid", "write name:size for each factor"),
    ],
)
def test_what_fits_nothing_is_refused_by_option(words: str, field: str, sentence: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        told(words)
    assert sentence in " ".join(refused.value.fields[field])


def test_a_mapping_is_read_from_text_from_a_file_and_from_what_a_look_prints(tmp_path: Path) -> None:
    plain = json.dumps(MAPPING.plain())
    (tmp_path / "mapping.json").write_text(plain)
    (tmp_path / "look.json").write_text(json.dumps({"mapping": MAPPING.plain(), "source": {}}))
    for text in (plain, str(tmp_path / "mapping.json"), str(tmp_path / "look.json")):
        assert mapping_options.given(text) == MAPPING
    for text, words in (("{", "is not JSON"), ("nowhere.json", "'nowhere.json' cannot be read")):
        with pytest.raises(InvalidInput, match=words):
            mapping_options.given(text)
    with pytest.raises(InvalidInput, match="a value is needed here"):
        mapping_options.given("{}")


NAME = st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=12).map(
    lambda text: f"n{text}"
)
SIDES = st.none() | st.tuples(st.integers(8, 64), st.integers(8, 64))


@st.composite
def mappings(draw: Any) -> ImportMapping:
    """Return a mapping of SOURCE."""
    keys = [column.key for column in SOURCE.columns]
    chosen = draw(st.lists(st.sampled_from(range(len(keys))), unique=True))
    names = draw(st.lists(NAME, min_size=len(chosen), max_size=len(chosen), unique=True))
    if draw(st.booleans()):
        names = [SOURCE.columns[place].name for place in chosen]
    targets = []
    for place, name in zip(chosen, names, strict=True):
        column = SOURCE.columns[place]
        kind = draw(st.sampled_from(["class", "real", "circular"]))
        targets.append(
            TargetMapping(
                source=column.source,
                index=column.index,
                name=name,
                kind=kind,
                unit=draw(st.sampled_from(["", "px", "a=b"])),
                period=draw(st.floats(0.1, 400)) if kind == "circular" else None,
            )
        )
    free = [key for place, key in enumerate(keys) if place not in chosen]
    roles = dict(zip(draw(st.permutations(["id", "split", "units"])), free, strict=False))
    used = {target.key for target in targets} | set(roles.values())
    return ImportMapping(
        images="imgs",
        channels=draw(st.sampled_from(["none", "first", "last"])),
        flat=draw(st.sampled_from([None, (1, 28, 28), (3, 8, 16)])),
        scale=draw(st.sampled_from(["0..1", "-1..1"])),
        pixels=draw(st.sampled_from(["uint8", "float32"])),
        targets=tuple(targets),
        parts=draw(st.sampled_from([(), ("train",), ("a, b", "test")])),
        left_out=tuple(key for key in keys if key not in used),
        grid=draw(st.sampled_from([(), (GridFactor(name="a,b", size=3), GridFactor(name="c:d", size=4))])),
        steps=Steps(
            transpose=draw(st.booleans()),
            grey=draw(st.booleans()),
            background=draw(st.sampled_from(["", "black", "white"])),
            crop=draw(SIDES),
            resize=draw(SIDES),
        ),
        **roles,
    )


@settings(max_examples=40, deadline=None)
@given(mapping=mappings(), proposed=mappings())
def test_the_options_that_are_printed_say_the_mapping(
    mapping: ImportMapping, proposed: ImportMapping
) -> None:
    words = mapping_options.spelled(mapping, SOURCE, proposed)
    found = mapping_options.applied(parsed(shlex.split(shlex.join(words))), proposed, SOURCE)
    assert found.model_copy(update={"left_out": ()}) == mapping.model_copy(update={"left_out": ()})
    assert {key for key in found.left_out if not key.startswith("grid[")} == set(mapping.left_out)
