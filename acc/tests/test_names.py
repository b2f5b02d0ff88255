"""A name is any line of text that can be shown; it keeps its letters, and lists of names keep their commas."""

from __future__ import annotations

import csv
import io
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acc.errors import InvalidInput
from acc.names import MAX_NAME, clean_name, listed, paired, same_name
from acc.specs import EvalSpec, FactorGroup, TargetSpec


def joined(names: list[str]) -> str:
    """Return names as people write a list of them, with commas."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="").writerow(names)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "name",
    ["3dshapes", "a, b", "posX", "Größe (mm)", "ラベル", "Floor Hue", "a/b", "x=y", "100 %", "👩‍🔬 lab", "_"],
)
def test_any_line_is_a_name_of_a_dataset_a_target_and_a_factor(name: str) -> None:
    assert clean_name(f"  {name} ") == name
    assert TargetSpec(name=name, kind="real").name == name
    assert FactorGroup(name=name, start=0, end=1).name == name
    spec = EvalSpec(groups=joined([name, "other"]), own={name: name})
    assert spec.groups == (name, "other")
    assert spec.own == {name: name}


def test_a_name_is_kept_composed_and_with_plain_blanks() -> None:
    assert clean_name(unicodedata.normalize("NFD", "größe")) == "größe"
    assert clean_name("a\u00a0b\u3000") == "a b"
    assert same_name("GRÖSSE") == same_name("größe")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("", "it was empty"),
        (" \u3000", "it was empty"),
        ("a\nb", "cannot be shown"),
        ("a\tb", "cannot be shown"),
        ("a\x00b", "cannot be shown"),
        ("\u202eabc", "cannot be shown"),
        ("\u200d", "cannot be shown"),
        ("\ud800", "half of a character"),
        ("x" * (MAX_NAME + 1), "has 81 characters; at most 80"),
        (7, "is not text"),
    ],
)
def test_what_is_no_line_of_text_is_refused_in_words(name: str, words: str) -> None:
    with pytest.raises(InvalidInput, match=words) as refused:
        clean_name(name, field="tag")
    assert set(refused.value.fields) == {"tag"}
    with pytest.raises(ValueError, match=words if isinstance(name, str) else "valid string"):
        FactorGroup(name=name, start=0, end=1)


@given(
    st.lists(st.text(min_size=1).map(str.strip).filter(lambda text: text and text.isprintable()), min_size=1)
)
def test_a_list_of_names_is_read_as_it_was_written(names: list[str]) -> None:
    written = joined(names)
    if not written.startswith("["):
        assert listed(written) == names


def test_lists_and_pairs_are_read_from_a_shell() -> None:
    assert listed("a, b ,,c") == ["a", "b", "c"]
    assert listed('"a, b",c') == ["a, b", "c"]
    assert listed('["a, b", "c"]') == ["a, b", "c"]
    assert paired("digit=a,slant = b") == {"digit": "a", "slant": "b"}
    assert paired('{"a=b": "c, d"}') == {"a=b": "c, d"}
    with pytest.raises(ValueError, match="does not say who holds what"):
        paired("digit")
