"""A parameter is declared once; whatever is sent for it becomes a value of its type or a sentence."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acc.errors import InvalidInput, PluginError
from acc.params import MAX_TEXT_LENGTH, MAX_WHOLE, Param, clean_params, param_from_dict, params_of

anything = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=40),
    st.lists(st.integers(), max_size=3),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
    st.sampled_from(
        ["1e400", "-0", " 7 ", "1_000", "²", "٣", "0x10", "nan", "Infinity", "9" * 5000, "\x00", "\ud800"]
    ),
)
declared = st.sampled_from(
    [
        Param(3, min=-5, max=5, name="p", type="int"),
        Param(3, name="p", type="int"),
        Param(0.5, min=0, max=1, name="p", type="float"),
        Param(1, name="p", type="float"),
        Param(True, name="p", type="bool"),
        Param("a", choices=("a", "b"), name="p", type="str"),
        Param("", name="p", type="str"),
        Param(2, choices=(2, 4, 8), name="p", type="int"),
    ]
)


class Declared:
    steps = Param(9, min=2, max=64, help="columns of the grid", unit="columns")
    rate = Param(0.5, min=0, max=1)
    loud = Param(False)
    mode = Param("fast", choices=("fast", "exact"))


def refusal(param: Param, value: Any) -> str | None:
    """Return the sentence with which a value is refused, or None."""
    try:
        param.clean(value)
    except ValueError as error:
        return str(error)
    return None


@given(declared, anything)
def test_any_value_is_either_cleaned_to_the_declared_type_or_refused_with_a_sentence(
    param: Param, value: Any
) -> None:
    sentence = refusal(param, value)
    if sentence is not None:
        assert 3 < len(sentence) < 400
        return
    cleaned = param.clean(value)
    assert type(cleaned).__name__ == param.type
    assert param.min is None or cleaned >= param.min
    assert param.max is None or cleaned <= param.max
    assert param.choices is None or cleaned in param.choices


@given(declared, anything)
def test_cleaning_twice_changes_nothing_and_the_value_survives_json_and_utf8(
    param: Param, value: Any
) -> None:
    if refusal(param, value) is not None:
        return
    cleaned = param.clean(value)
    assert param.clean(cleaned) == cleaned
    assert json.loads(json.dumps(cleaned, allow_nan=False).encode()) == cleaned


@given(declared)
def test_a_parameter_survives_the_way_through_a_registry_row(param: Param) -> None:
    row = json.loads(json.dumps(param.as_dict(), allow_nan=False))
    assert param_from_dict(row) == param
    assert param_from_dict({**row, "added_by_a_newer_version": 1}) == param


@given(st.integers(-MAX_WHOLE, MAX_WHOLE))
def test_a_whole_number_is_read_from_text_digit_by_digit(number: int) -> None:
    assert Param(0, type="int").clean(str(number)) == number


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_is_read_back_exactly_from_its_text(number: float) -> None:
    assert Param(0.0, type="float").clean(repr(number)) == number


@pytest.mark.parametrize("value", [True, "1.5", 1.5, "two", None, [], MAX_WHOLE + 1])
def test_what_is_no_whole_number_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="whole number|too large"):
        Param(0, type="int").clean(value)


def test_a_number_too_long_to_print_is_refused_like_any_other() -> None:
    with pytest.raises(ValueError, match="a number of thousands of digits is too large"):
        Param(0, type="int").clean(10**6000)


def test_a_number_is_never_taken_for_a_truth_value() -> None:
    with pytest.raises(ValueError, match="neither true nor false"):
        Param(True, type="bool").clean(1)


def test_text_that_a_database_cannot_hold_is_refused() -> None:
    for value in ("a\x00b", "\ud800", "x" * (MAX_TEXT_LENGTH + 1)):
        with pytest.raises(ValueError, match="remove it|at most"):
            Param("", type="str").clean(value)


def test_limits_are_named_as_they_were_written() -> None:
    with pytest.raises(ValueError, match="1234568 is above the most allowed, 1234567"):
        Param(1, max=1_234_567, type="int").clean(1_234_568)


def test_an_instance_has_the_value_and_the_class_the_declaration() -> None:
    one = Declared()
    assert one.steps == 9
    one.steps = "12"
    assert (one.steps, Declared().steps) == (12, 9)
    assert isinstance(Declared.steps, Param)
    with pytest.raises(InvalidInput, match="params.steps: 65 is above the most allowed, 64"):
        one.steps = 65


def test_parameters_come_in_order_of_declaration_bases_first() -> None:
    class More(Declared):
        rate = Param(0.25)
        extra = Param(1)

    assert [param.name for param in params_of(More)] == ["steps", "rate", "loud", "mode", "extra"]
    assert params_of(More)[1].default == 0.25


def test_a_subclass_takes_a_parameter_out_by_setting_a_plain_value() -> None:
    class Fixed(Declared):
        mode = "exact"

    assert "mode" not in {param.name for param in params_of(Fixed)}


def test_every_wrong_value_is_named_at_once_with_what_would_be_right() -> None:
    with pytest.raises(InvalidInput) as refused:
        clean_params(params_of(Declared), {"steps": 1, "mode": "slow", "stpes": 3})
    assert refused.value.fields == {
        "params.steps": ["1 is below the least allowed, 2"],
        "params.mode": ["'slow' is not one of fast, exact"],
        "params.stpes": ["unknown parameter 'stpes'; known: loud, mode, rate, steps"],
    }


def test_defaults_are_filled_in_from_rows_as_from_declarations() -> None:
    rows = [param.as_dict() for param in params_of(Declared)]
    right = {"steps": 9, "rate": 1.0, "loud": True, "mode": "fast"}
    assert clean_params(rows, {"rate": "1", "loud": "on"}) == right
    assert clean_params(params_of(Declared), {"rate": 1, "loud": True}) == right


@pytest.mark.parametrize(
    ("declaration", "sentence"),
    [
        ({"default": 0, "min": 1}, "parameter 'p' has a bad default: 0 is below the least allowed, 1"),
        ({"default": 1, "min": 2, "max": 1}, "parameter 'p': min 2 is above max 1"),
        ({"default": "x", "min": 1}, "parameter 'p' is of type str; min is for numbers only"),
        ({"default": 1, "max": float("inf")}, "parameter 'p': max inf is not a finite number"),
        ({"default": 1, "choices": (1, "2")}, "parameter 'p': choice '2' is not of type int"),
        (
            {"default": 1, "choices": (1, 7), "max": 5},
            "parameter 'p' has a bad choice: 7 is above the most allowed, 5",
        ),
        ({"default": "c", "choices": ("a", "b")}, "parameter 'p' has a bad default: 'c' is not one of a, b"),
        ({"default": float("nan")}, "parameter 'p' has a bad default: nan is not a finite number"),
        ({"default": 1.5, "type": "int"}, "parameter 'p' has a bad default: 1.5 is not a whole number"),
    ],
)
def test_a_declaration_that_contradicts_itself_is_told_with_class_and_parameter(
    declaration: dict[str, Any], sentence: str
) -> None:
    cls = type("Broken", (), {"p": Param(**declaration)})
    with pytest.raises(PluginError) as refused:
        params_of(cls)
    assert refused.value.message == f"Broken: {sentence}"


@pytest.mark.parametrize(
    ("declaration", "sentence"),
    [
        ({"default": None}, "default None is a NoneType; use int, float, bool or str"),
        ({"default": [1]}, r"default \[1\] is a list"),
        ({"default": 1, "type": "list"}, "type 'list' is unknown"),
        ({"default": 1, "choices": ()}, "has no choices"),
        ({"default": "a", "choices": "abc"}, "is not a list of values"),
    ],
)
def test_a_declaration_of_the_wrong_form_is_refused_when_its_class_is_made(
    declaration: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(RuntimeError) as wrapped:  # Python 3.11 wraps what __set_name__ raises
        type("Broken", (), {"p": Param(**declaration)})
    assert isinstance(wrapped.value.__cause__, PluginError)
    with pytest.raises(PluginError, match=sentence):
        raise wrapped.value.__cause__


def test_one_declaration_under_two_names_is_refused() -> None:
    one = Param(1)
    with pytest.raises(RuntimeError) as wrapped:
        type("Twice", (), {"a": one, "b": one})
    assert "parameters 'a' and 'b' are one Param" in str(wrapped.value.__cause__)
