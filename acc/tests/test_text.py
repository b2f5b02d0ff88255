"""Text of plugins is cut and cleaned before it is kept or shown."""

from __future__ import annotations

import json

import pytest

from acc.errors import InvalidInput
from acc.text import clean, clean_data, in_words, text_of, traceback_of, visible


def test_clean_text_comes_back_as_it_is():
    text = "a sentence,\n\tits second line: äöü \N{GREEK SMALL LETTER LAMDA} \N{ROCKET}"
    assert clean(text) is text


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("a\0b", "a\N{REPLACEMENT CHARACTER}b"),
        ("a\ud800b", "a\N{REPLACEMENT CHARACTER}b"),
        ("\x1b[31mred\x1b[0m \x1b]0;title\x07end", "red end"),
        ("10 %\r20 %\r\n", "10 %\n20 %\n"),
        ("a\x07b\x9bc", "a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}c"),
    ],
)
def test_what_breaks_a_database_or_a_terminal_is_replaced(text, right):
    assert clean(text) == right
    right.encode()


def test_long_text_keeps_its_two_ends_and_says_how_much_is_left_out():
    text = clean("begin " + "x" * 100_000 + " end", 200)
    assert len(text) == 200
    assert text.startswith("begin xxx")
    assert text.endswith("xxx end")
    assert "[… 99,810 characters left out …]" in text


def test_plain_data_is_cleaned_whole_with_its_keys_and_without_numbers_that_json_has_not():
    found = clean_data({"a\0": ["\ud800", 1, None, True], "n": float("inf"), "t": (1.5, float("nan"))})
    mark = "\N{REPLACEMENT CHARACTER}"
    assert found == {f"a{mark}": [mark, 1, None, True], "n": None, "t": [1.5, None]}
    json.dumps(found, allow_nan=False)


class Mute(Exception):
    def __str__(self) -> str:
        raise LookupError("even this")


class Liar(str):
    __slots__ = ()

    def __str__(self) -> str:
        raise LookupError("even this")

    def __len__(self) -> int:
        return 3


def test_an_exception_whose_text_cannot_be_had_is_told_by_its_type():
    assert in_words(Mute()) == "Mute: (its text cannot be had: Mute.__str__ raises)"
    assert text_of(Mute()).startswith("(its text")
    assert "Mute" in traceback_of(Mute())


def test_a_text_that_lies_about_itself_is_taken_for_what_it_holds():
    assert clean(Liar("x" * 500), 100).endswith("x")
    assert len(clean(Liar("x" * 500), 100)) == 100


def test_errors_are_told_with_their_type_unless_they_are_sentences():
    assert in_words(ValueError("boom")) == "ValueError: boom"
    assert in_words(ValueError()) == "ValueError"
    assert in_words(InvalidInput({"steps": "is 0"})) == "steps: is 0"


@pytest.mark.parametrize(
    ("source", "read"),
    [
        ("def f():\n\treturn 'ä\N{ROCKET}'\n", "def f():\n\treturn 'ä\N{ROCKET}'\n"),
        ("a\r\nb", "a\nb"),
        (
            "# a comment\rimport os",
            "# a comment\\rimport os",
        ),  # Python takes the second half for a line of its own
        ("if admin:\u202e # \u2066 say yes", "if admin:\\u202e # \\u2066 say yes"),
        ("\x1b[8mhidden\x1b[0m", "\\x1b[8mhidden\\x1b[0m"),
        ("x\u200b = 1\ud800", "x\\u200b = 1\\ud800"),
    ],
)
def test_of_a_source_nothing_is_hidden_from_whoever_reads_it(source: str, read: str) -> None:
    assert visible(source) == read
