"""The language of filters: whatever can be said is read back as it was said, and nothing else is accepted silently."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from acc.errors import InvalidInput
from accsite.apps.runs.filters import (
    OPERATORS,
    Both,
    Comparison,
    Either,
    Not,
    comparisons,
    narrowed,
    parse,
    written,
)

TEXTS = st.one_of(
    st.text(min_size=0, max_size=12),
    st.sampled_from(["and", "or", "not", "none", ".5", "1e-3", 'a "b"', "\\", "metric/ufr on digits", "a,b"]),
)
COMPARISONS = st.builds(Comparison, TEXTS, st.sampled_from(OPERATORS), TEXTS)


def joined(parts):
    several = st.lists(parts, min_size=2, max_size=3).map(tuple)
    # Both within Both is the same as one Both, and reads back as what is in the brackets.
    return st.one_of(st.builds(Not, parts), st.builds(Both, several), st.builds(Either, several))


FILTERS = st.recursive(COMPARISONS, joined, max_leaves=6)


def small(asked) -> bool:
    try:
        parse(written(asked))
    except InvalidInput as error:
        return "too many" not in str(error) and "more than" not in str(error)
    return True


@given(FILTERS.filter(small))
def test_a_filter_reads_back_as_it_was_written(asked) -> None:
    assert parse(written(asked)) == asked


@given(st.text(max_size=60))
def test_any_text_is_understood_or_refused_with_a_sentence(text: str) -> None:
    told: list[str] = []
    try:
        found = parse(text)
    except InvalidInput as error:
        told, found = list(error.fields), None
    assert told == ["filter"] or parse(written(found)) == found


@given(FILTERS.filter(small))
def test_a_narrowed_filter_asks_for_one_comparison_more(asked) -> None:
    before = list(comparisons(asked))
    assume(len(before) < 20 and len(written(asked)) < 900)
    after = list(comparisons(parse(narrowed(written(asked), "lr", ".1"))))
    assert after == [*before, Comparison("lr", "=", ".1")]


def test_and_binds_more_closely_than_or_and_a_comma_is_and() -> None:
    a, b, c = (Comparison(name, "=", "1") for name in "abc")
    assert parse("a = 1 or b=1 , c=1") == Either((a, Both((b, c))))
    assert parse("(a=1 or b=1) AND c = 1") == Both((Either((a, b)), c))
    assert parse("not a=1 and b=1") == Both((Not(a), b))
    assert parse("  ") is None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("ufr", "one of = != < <= > >= ~ is missing behind 'ufr', at character 4"),
        ("ufr >", "a value behind ufr > is missing, at character 6"),
        ("> .5", "the name of a column, such as ufr is missing, at character 1"),
        ("ufr > .5 lr = 1", "'lr' does not belong here; join comparisons by and, or, at character 10"),
        ("(ufr > .5", "a closing bracket is missing, at character 10"),
        ('state = "do', "'\"do' has no closing quote, at character 9"),
        ("a = 1 and", "the name of a column, such as ufr is missing, at character 10"),
        ("a ! 1", "'! 1' is not understood, at character 3"),
        ("(" * 13 + "a=1" + ")" * 13, "more than 12 brackets within each other, at character 14"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(text: str, why: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse(text)
    assert refused.value.fields == {"filter": [why]}
