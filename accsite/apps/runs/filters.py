"""The language of filters: ``ufr > .5 and (lr = .001 or lr = .002) and not state = failed``.

::

    either     = both ("or" both)*
    both       = one (("and" | ",") one)*
    one        = "not" one | "(" either ")" | comparison
    comparison = name ("=" | "!=" | "<" | "<=" | ">" | ">=" | "~") value

A name or a value is a word, or anything between double quotes, in which ``\\"`` and ``\\\\`` stand for these two signs.
``~`` is "holds this text". ``= none`` is "has no value". A comparison holds of no run that has no value in the column.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from acc.errors import InvalidInput

OPERATORS = ("=", "!=", "<", "<=", ">", ">=", "~")
NONE = "none"
MOST_CHARACTERS = 1000
MOST_COMPARISONS = 30
DEEPEST = 12

_TOKEN = re.compile(
    r"""\s*(?:(?P<sign><=|>=|!=|[=<>~(),])|"(?P<quoted>(?:[^"\\]|\\["\\])*)"|(?P<word>[^\s=<>~!(),"]+))"""
)


@dataclass(frozen=True)
class Comparison:
    """A column, by a name that somebody typed, against a value."""

    name: str
    operator: str
    value: str


@dataclass(frozen=True)
class Not:
    """What does not hold."""

    part: Filter


@dataclass(frozen=True)
class Both:
    """All of these hold; two or more."""

    parts: tuple[Filter, ...]


@dataclass(frozen=True)
class Either:
    """One of these holds; two or more."""

    parts: tuple[Filter, ...]


Filter = Comparison | Not | Both | Either


def parse(text: str) -> Filter | None:
    """Return what a filter says, None for an empty one; raises InvalidInput (filter) with the place that is wrong."""
    if len(text) > MOST_CHARACTERS:
        raise InvalidInput({"filter": f"{len(text):,} characters are too many; at most {MOST_CHARACTERS:,}"})
    if not text.strip():
        return None
    return _Reading(text).whole()


def comparisons(asked: Filter | None) -> Iterator[Comparison]:
    """Yield every comparison of a filter, from left to right."""
    if isinstance(asked, Comparison):
        yield asked
    elif isinstance(asked, Not):
        yield from comparisons(asked.part)
    elif asked is not None:
        for part in asked.parts:
            yield from comparisons(part)


def written(asked: Filter | None) -> str:
    """Return a filter as text that reads back as the same."""
    if asked is None:
        return ""
    if isinstance(asked, Comparison):
        return f"{quoted(asked.name)} {asked.operator} {quoted(asked.value)}"
    if isinstance(asked, Not):
        return f"not {_inside(asked.part, Both, Either)}"
    if isinstance(asked, Both):
        return " and ".join(_inside(part, Both, Either) for part in asked.parts)
    return " or ".join(_inside(part, Either) for part in asked.parts)


def quoted(text: str) -> str:
    """Return a name or a value as a filter writes it: with quotes where it needs them."""
    plain = re.fullmatch(r"""[^\s=<>~!(),"]+""", text) and text.lower() not in {"and", "or", "not"}
    return text if plain else '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def narrowed(text: str, name: str, value: str) -> str:
    """Return a filter that also asks for this value in this column."""
    asked = parse(text)
    more = Comparison(name, "=", value)
    parts = asked.parts if isinstance(asked, Both) else (asked,) if asked is not None else ()
    return written(Both((*parts, more)) if parts else more)


def _inside(part: Filter, *kinds: type[Filter]) -> str:
    return f"({written(part)})" if isinstance(part, kinds) else written(part)


@dataclass(frozen=True)
class _Token:
    """A sign, or a text; ``at``: where it begins. ``bare``: a word without quotes."""

    text: str
    at: int
    sign: bool = False
    bare: bool = False


class _Reading:
    """Reads a filter from left to right, one token ahead."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = list(self._split())
        self.place = 0
        self.count = 0

    def whole(self) -> Filter:
        found = self._either(0)
        if self.place < len(self.tokens):
            raise self._wrong(
                f"{self.tokens[self.place].text!r} does not belong here; join comparisons by and, or"
            )
        return found

    def _split(self) -> Iterator[_Token]:
        at = 0
        while at < len(self.text.rstrip()):
            found = _TOKEN.match(self.text, at)
            if found is None:
                begin = at + len(self.text[at:]) - len(self.text[at:].lstrip())
                why = "has no closing quote" if self.text[begin] == '"' else "is not understood"
                raise InvalidInput(
                    {"filter": f"{self.text[begin : begin + 20]!r} {why}, at character {begin + 1}"}
                )
            sign, inner, word = found["sign"], found["quoted"], found["word"]
            begin = found.start("sign" if sign else "word") if inner is None else found.start("quoted") - 1
            if inner is not None:
                yield _Token(re.sub(r'\\(["\\])', r"\1", inner), begin)
            else:
                yield _Token(sign or word, begin, sign=bool(sign), bare=bool(word))
            at = found.end()

    def _next_is(self, *words: str) -> bool:
        if self.place >= len(self.tokens):
            return False
        token = self.tokens[self.place]
        return token.text.lower() in words and (token.sign or token.bare)

    def _either(self, depth: int) -> Filter:
        parts = [self._both(depth)]
        while self._next_is("or"):
            self.place += 1
            parts.append(self._both(depth))
        return parts[0] if len(parts) == 1 else Either(tuple(parts))

    def _both(self, depth: int) -> Filter:
        parts = [self._one(depth)]
        while self._next_is("and", ","):
            self.place += 1
            parts.append(self._one(depth))
        return parts[0] if len(parts) == 1 else Both(tuple(parts))

    def _one(self, depth: int) -> Filter:
        if depth > DEEPEST:
            raise self._wrong(f"more than {DEEPEST} brackets within each other")
        if self._next_is("not"):
            self.place += 1
            return Not(self._one(depth + 1))
        if self._next_is("("):
            self.place += 1
            found = self._either(depth + 1)
            if not self._next_is(")"):
                raise self._wrong("a closing bracket is missing")
            self.place += 1
            return found
        return self._comparison()

    def _comparison(self) -> Comparison:
        name = self._text("the name of a column, such as ufr")
        if not self._next_is(*OPERATORS):
            raise self._wrong(f"one of {' '.join(OPERATORS)} is missing behind {name!r}")
        operator = self.tokens[self.place].text
        self.place += 1
        self.count += 1
        if self.count > MOST_COMPARISONS:
            raise self._wrong(f"more than {MOST_COMPARISONS} comparisons")
        return Comparison(name, operator, self._text(f"a value behind {name} {operator}"))

    def _text(self, wanted: str) -> str:
        if self.place >= len(self.tokens) or self.tokens[self.place].sign:
            raise self._wrong(f"{wanted} is missing")
        self.place += 1
        return self.tokens[self.place - 1].text

    def _wrong(self, why: str) -> InvalidInput:
        at = self.tokens[self.place].at + 1 if self.place < len(self.tokens) else len(self.text) + 1
        return InvalidInput({"filter": f"{why}, at character {at}"})
