"""The words of ACC as data: what ``docs/glossary.md`` says of each, for pages that explain their own words.

That file is the one place where a word is explained; nothing of it is written twice.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from django.conf import settings
from django.utils.text import slugify

_ENTRY = re.compile(r"^\*\*(?P<name>[^*\n]+)\*\*\n:   (?P<text>.+?)(?=\n\n|\Z)", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[([^\]]+)\]\([^)]*\)")


@dataclass(frozen=True)
class Word:
    """A word, and what it means in plain text: the first sentence is enough in passing."""

    name: str
    text: str

    @property
    def slug(self) -> str:
        return slugify(self.name)


@cache
def words() -> dict[str, Word]:
    """Return the words by their slugs, in the glossary's order; none where the documentation was left out."""
    file = Path(settings.ROOT) / "docs" / "glossary.md"
    if not file.is_file():
        return {}
    return {word.slug: word for word in parse(file.read_text())}


def parse(text: str) -> list[Word]:
    """Return the words of a glossary in Markdown, their texts without its signs."""
    return [Word(each["name"], _plain(each["text"])) for each in _ENTRY.finditer(text)]


def find(name: str) -> Word | None:
    """Return a word as it is written anywhere: in either case, singular or plural; None for one that is none."""
    known = _by_letters()
    letters = _letters(name)
    return known.get(letters) or known.get(letters.removesuffix("s"))


@cache
def _by_letters() -> dict[str, Word]:
    return {_letters(word.name): word for word in words().values()}


def _letters(name: str) -> str:
    """Return a name without what differs by place: ``FactorGroup``, ``factor group`` and ``factor_group`` are one."""
    return slugify(name).replace("-", "").replace("_", "")


def _plain(text: str) -> str:
    joined = " ".join(text.split())
    return _LINK.sub(r"\1", joined).replace("**", "").replace("`", "")
