"""The form of an import says what each column becomes, keeps what was typed, and puts a refusal beside its field."""

from __future__ import annotations

from typing import Any

import pytest
from django.http import QueryDict
from django.utils.datastructures import MultiValueDict

from acc.data.importers.mapping import (
    ArrayFound,
    ColumnFound,
    ImportMapping,
    PassedOver,
    Question,
    Source,
    SplitFound,
    Steps,
    TargetMapping,
)
from acc.errors import InvalidInput
from accsite.apps.datasets.mapping_form import MappingForm

NAMES = ("color", "shape", "scale", "orientation")
SOURCE = Source(
    file="dsprites.npz",
    format="arrays",
    layout="dSprites",
    rows=100,
    arrays=(
        ArrayFound(name="imgs", shape=(100, 64, 64), dtype="uint8", role="images", least=0, greatest=1),
        ArrayFound(name="latents_values", shape=(100, 4), dtype="float64", role="columns"),
    ),
    columns=(
        *(
            ColumnFound(
                source="latents_values", index=number, name=name, kind="real", distinct=3, least=0, greatest=6
            )
            for number, name in enumerate(NAMES)
        ),
        ColumnFound(source="index", name="index", kind="id", distinct=100, examples=("0", "1")),
        ColumnFound(source="part", name="part", kind="split", distinct=2, examples=("train", "test")),
    ),
    passed_over=(PassedOver(name="metadata", why="holds pickled Python objects, which are never read"),),
    splits=(SplitFound(column="part", parts={"train": 80, "test": 20}),),
)
MAPPING = ImportMapping(
    images="imgs",
    scale="0..1",
    targets=(
        TargetMapping(source="latents_values", index=2, name="scale"),
        TargetMapping(
            source="latents_values", index=1, name="shape", kind="class", labels=("square", "heart", "oval")
        ),
        TargetMapping(
            source="latents_values", index=3, name="orientation", kind="circular", period=6.5, unit="rad"
        ),
    ),
    id="index",
    split="part",
    parts=("train",),
    left_out=("latents_values[0]",),
    steps=Steps(grey=False, crop=(48, 64), resize=(32, 32)),
)


def sent(form: MappingForm, **changes: Any) -> MultiValueDict[str, Any]:
    """Return the form as a browser sends it, with some fields changed."""
    data = QueryDict(mutable=True)
    for name, value in {**form.filled(), **changes}.items():
        if isinstance(value, list | tuple):
            data.setlist(name, list(value))
        elif value is not False and value is not None:
            data[name] = "on" if value is True else str(value)
    return data


def test_a_proposal_that_nobody_changes_comes_back_as_it_is() -> None:
    form = MappingForm(SOURCE, MAPPING)
    assert MappingForm(SOURCE, MAPPING, sent(form)).asked() == MAPPING
    assert [row.column.key for row in form.rows][:3] == [target.key for target in MAPPING.targets]


def test_columns_are_renamed_left_out_and_given_another_role() -> None:
    names = {"name-0": "Größe (mm)", "use-1": "", "use-3": "units", "kind-2": "real"}
    found = MappingForm(SOURCE, MAPPING, sent(MappingForm(SOURCE, MAPPING), **names)).asked()
    assert [(target.key, target.name, target.kind) for target in found.targets] == [
        ("latents_values[2]", "Größe (mm)", "real"),
        ("latents_values[3]", "orientation", "real"),
    ]
    assert found.targets[1].period is None
    assert (found.units, found.left_out) == ("latents_values[0]", ("latents_values[1]",))


def test_steps_and_parts_are_read() -> None:
    changes = {"crop": "40", "resize": "24x16", "grey": True, "parts": ["train", "test"], "pixels": "float32"}
    found = MappingForm(SOURCE, MAPPING, sent(MappingForm(SOURCE, MAPPING), **changes)).asked()
    assert (found.steps.crop, found.steps.resize, found.steps.grey) == ((40, 40), (24, 16), True)
    assert (found.parts, found.pixels) == (("train", "test"), "float32")


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"name-1": ""}, "name-1", "a name is needed"),
        ({"name-0": "a\nb"}, "name-0", "cannot be shown"),
        ({"resize": "small"}, "resize", "'small' is refused; write one side"),
        ({"crop": "4"}, "crop", "each side may be 8 to"),
        ({"period-2": "-1"}, "period-2", "must be above 0"),
        ({"use-0": "split"}, "use-5", "only one column may be"),
        ({"pixels": "int4"}, "pixels", "choose one of: uint8, float32"),
    ],
)
def test_what_is_wrong_is_said_beside_its_field_and_what_was_typed_stays(
    changes: dict[str, Any], field: str, words: str
) -> None:
    data = sent(MappingForm(SOURCE, MAPPING), **changes)
    form = MappingForm(SOURCE, MAPPING, data)
    with pytest.raises(InvalidInput) as told:
        form.asked()
    form.refuse(told.value)
    assert words in " ".join(map(str, form.errors[field]))
    for name, value in changes.items():
        assert form[name].value() == value


def test_what_the_file_refuses_of_a_mapping_stands_in_the_row_of_its_column() -> None:
    form = MappingForm(SOURCE, MAPPING, MappingForm(SOURCE, MAPPING).filled())
    form.refuse(
        InvalidInput({"targets.1.kind": "'shape' holds fractions", "scale": "say it", "id": "no such"})
    )
    assert form.errors["kind-1"] == ["'shape' holds fractions"]
    assert form.errors["scale"] == ["say it"]
    assert [row.column.key for row in form.rows if row.errors] == ["latents_values[1]", "index"]


def test_a_target_whose_column_is_not_in_this_file_is_told_on_top() -> None:
    other = MAPPING.model_copy(
        update={"targets": (TargetMapping(source="gone", name="gone"), *MAPPING.targets)}
    )
    form = MappingForm(SOURCE, other, MappingForm(SOURCE, other).filled())
    form.refuse(InvalidInput({"targets.0": "there is no column 'gone'", "targets.1.unit": "odd"}))
    assert form.non_field_errors() == ["targets.0: there is no column 'gone'"]
    assert form.errors["unit-0"] == ["odd"]
    assert "gone" not in [target.name for target in MappingForm(SOURCE, other, sent(form)).asked().targets]


def test_what_cannot_be_read_is_left_out_once_it_is_agreed_to() -> None:
    words = "'t.csv' has nothing in column 'size' of row 5; or leave 'size' out"
    question = Question(field="left_out", words=words, choices=("size",), needed=True)
    source = SOURCE.model_copy(update={"undecided": (question,)})
    form = MappingForm(source, MAPPING)
    assert [tick.label for tick in form.leave_ticks] == ["Leave 'size' out"]
    assert "size" not in MappingForm(source, MAPPING, sent(form)).asked().left_out
    agreed = MappingForm(source, MAPPING, sent(form, **{"leave-0": True})).asked()
    assert agreed.left_out == ("size", "latents_values[0]")
    assert MappingForm(source, agreed).leave_ticks[0].initial is True
    assert "size" not in MappingForm(source, agreed, sent(form)).asked().left_out
