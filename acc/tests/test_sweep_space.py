"""The space of a sweep is read from a line, bounds what is drawn, and refuses what is none in a sentence."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acc.errors import InvalidInput
from acc.studies import space as spaces
from acc.studies.space import Parameter, space_of

numbers = st.floats(-1e6, 1e6, allow_nan=False).map(lambda value: float(f"{value:.12g}"))
words = st.text("abcdefgh_", min_size=1, max_size=8).filter(lambda word: word not in {"or", "null"})


@st.composite
def parameters(draw: Any) -> Parameter:
    kind = draw(st.sampled_from(["float", "int", "choice"]))
    if kind == "choice":
        values = draw(st.lists(st.one_of(st.integers(-99, 99), words, st.booleans()), min_size=2, max_size=6,
                               unique_by=lambda value: (type(value), value)))  # fmt: skip
        return Parameter(name="p", kind="choice", values=tuple(values))
    points = draw(st.none() | st.integers(2, 9))
    log = draw(st.booleans())
    if kind == "int":
        low = draw(st.integers(1 if log else -999, 999))
        return Parameter(
            name="p", kind="int", low=low, high=low + draw(st.integers(1, 99)), log=log, points=points
        )
    low = draw(st.floats(1e-6, 1e3)) if log else draw(numbers)
    high = low + draw(st.floats(1e-3, 1e3))
    return Parameter(name="p", low=low, high=high, log=log, points=points)


@given(parameters(), st.floats(0, 1))
def test_what_is_drawn_lies_in_the_parameter(parameter, part):
    value = parameter.at(part)
    assert value in parameter
    assert all(each in parameter for each in (*parameter.grid(), *parameter.ends()))
    assert 0 <= parameter.part(value) <= 1
    if parameter.kind == "float":
        digits = (
            1e-11 * max(abs(parameter.low), abs(parameter.high)) / (parameter.high - parameter.low)
        )  # 12 are kept
        assert parameter.part(value) == pytest.approx(part, abs=1e-6 + digits)


@given(parameters())
def test_a_grid_has_as_many_different_values_as_points(parameter):
    values = parameter.grid()
    assert len({spaces.key({"p": value}) for value in values}) == len(values)
    assert parameter.points is None or len(values) <= parameter.points
    if parameter.kind == "float":
        assert len(values) == (parameter.points or 5)


@given(parameters())
def test_a_parameter_is_read_as_it_is_written(parameter):
    name, _, said = str(parameter).partition(": ")
    again = Parameter.parse(name, said)
    assert (again.kind, again.log, again.points) == (parameter.kind, parameter.log, parameter.points)
    for one, other in zip(again.ends(), parameter.ends(), strict=True):
        assert one == (pytest.approx(other, rel=1e-12) if isinstance(other, float) else other)


@given(st.lists(parameters(), min_size=1, max_size=3))
def test_the_points_of_a_grid_are_all_its_combinations(found):
    space = tuple(each.model_copy(update={"name": f"p{n}"}) for n, each in enumerate(found))
    count = spaces.points(space)
    if count <= 2_000:
        assert len({spaces.key(spaces.point(space, number)) for number in range(count)}) == count


@pytest.mark.parametrize(
    ("space", "field", "sentence"),
    [
        ("", "space", "it is empty"),
        ("train.lr", "space", "names no range"),
        ("lr: 1e-4", "space.lr", "not a range or a choice"),
        ("lr: a to b", "space.lr", "its ends are no numbers"),
        ("lr: 1 to .1", "space.lr", "low 1 is not below high 0.1"),
        ("lr: 0 to 1 log", "space.lr", "begins above 0"),
        ("lr: nan to 1", "space.lr.low", "finite"),
        ("n: .5 to 2 int", "space.n", "the bounds of an int are whole"),
        ("o: adam or adam", "space.o.values", "stands there twice"),
        ({"o": ["adam"]}, "space.o", "a choice of 1 is none"),
        ({"o": 3}, "space.o", "not a range or a choice"),
        ("a: 1 to 2; a: 2 to 3", "space", "a stands there twice"),
        (3, "space", "no space"),
        ("lr: -1e308 to 1e308", "space.lr", "bounds lie within 1e+300"),
        ("o: adam or sg\x00d", "space.o.values", "characters that can be shown"),
        (f"o: adam or {'x' * 201}", "space.o.values", "200 characters"),
    ],
    ids=lambda value: str(value) if isinstance(value, str) else None,
)
def test_what_is_no_space_is_refused_in_a_sentence(space, field, sentence):
    with pytest.raises(InvalidInput) as told:
        space_of(space)
    assert any(sentence in said for said in told.value.fields[field]), told.value.fields


def test_a_space_is_read_from_lines_objects_and_lists():
    read = space_of("train.lr: 1e-4 to 1e-2 log; n: 2 to 8 int in 3 points\nopt: adam or sgd or 3 or true")
    assert [parameter.kind for parameter in read] == ["float", "int", "choice"]
    assert read[1].grid() == (2, 5, 8)
    assert read[2].values == ("adam", "sgd", 3, True)
    assert read == space_of([parameter.model_dump() for parameter in read])
    assert read == space_of({parameter.name: str(parameter).partition(": ")[2] for parameter in read})
    assert spaces.size(read) == math.inf
    assert list(read[0].grid()) == [pytest.approx(10**power) for power in (-4, -3.5, -3, -2.5, -2)]


def test_a_thousand_brackets_are_a_text_that_is_too_long():
    with pytest.raises(InvalidInput, match="200 characters"):
        space_of(f"opt: adam or {'[' * 3_900}")


@pytest.mark.parametrize("said", ["5e-324 to 1e300 log", "3 to 3.0000000000000004 log", "-1e300 to 1e300"])
def test_the_widest_and_the_narrowest_range_have_places_for_what_is_drawn(said):
    (parameter,) = space_of({"p": said})
    for part in (0.0, 0.5, 1.0):
        assert parameter.at(part) in parameter
        assert 0 <= parameter.part(parameter.at(part)) <= 1


def test_a_grid_that_is_too_big_is_refused_whatever_its_size():
    fine = {f"p{n}": "0 to 1 in 100 points" for n in range(3)}
    assert spaces.points(space_of(fine)) == spaces.MOST_OF_A_GRID
    for more in (fine | {"q": [1, 2]}, {f"p{n}": "0 to 1 in 1000 points" for n in range(50)}):
        with pytest.raises(InvalidInput, match="1,000,000 are the most"):
            spaces.points(space_of(more))


def test_everything_of_a_space_comes_one_at_a_time():
    some = spaces.everything(space_of({"n": "0 to 9007199254740992 int", "o": ["a", "b"]}))
    assert [next(some) for _ in range(3)] == [{"n": 0, "o": "a"}, {"n": 0, "o": "b"}, {"n": 1, "o": "a"}]
    assert len(list(spaces.everything(space_of({"n": "1 to 3 int", "o": ["a", "b"]})))) == 6
