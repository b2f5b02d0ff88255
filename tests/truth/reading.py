"""Reads pages as people and screen readers do: every text, tooltip and label, and the numbers in them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
SILENT = {"style", "script", "template", "time", "path", "code", "pre", "textarea"}
"""Elements whose text is no statement: code to copy, drawings, and times, which are told in the reader's zone."""
SPOKEN = ("title", "aria-label", "aria-valuetext", "alt", "placeholder")

NUMBER = re.compile(
    r"(?<![\w.,#/:-])[-+\N{MINUS SIGN}]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:e[-+]?\d+)?(?![\w:/]|\.\d|,\d{3})"
)
SCALES = {"KiB": 2.0**10, "MiB": 2.0**20, "GiB": 2.0**30, "%": 0.01}


@dataclass
class Element:
    """An element of a page, its children in order; texts are strings among them."""

    tag: str
    attributes: dict[str, str]
    parent: Element | None = None
    children: list[Element | str] = field(default_factory=list)

    def walk(self) -> Iterator[Element]:
        """Yield this element and all below it, in the order of the page."""
        yield self
        for child in self.children:
            if isinstance(child, Element):
                yield from child.walk()

    def find(self, tag: str, **attributes: str) -> Iterator[Element]:
        """Yield what lies below by tag and attributes."""
        for each in self.walk():
            if each.tag == tag and all(
                each.attributes.get(name) == value for name, value in attributes.items()
            ):
                yield each

    def text(self) -> str:
        """Return what is written here and below, its white space folded."""
        return " ".join("".join(self._pieces()).split())

    def _pieces(self) -> Iterator[str]:
        for child in self.children:
            if isinstance(child, str):
                yield child
            elif child.tag not in SILENT:
                yield " "
                yield from child._pieces()
                yield " "

    def links(self) -> set[str]:
        """Return the addresses that this element leads to, without their queries."""
        found = (each.attributes.get("href", "") for each in self.find("a"))
        return {re.split("[?#]", address)[0] for address in found if address.startswith("/")}


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.root = self.at = Element("page", {})

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        made = Element(tag, {name: value or "" for name, value in attrs}, self.at)
        self.at.children.append(made)
        if tag not in VOID:
            self.at = made

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.at.children.append(Element(tag, {name: value or "" for name, value in attrs}, self.at))

    def handle_endtag(self, tag: str) -> None:
        at: Element | None = self.at
        while at is not None and at.tag != tag:
            at = at.parent
        if at is not None and at.parent is not None:
            self.at = at.parent

    def handle_data(self, data: str) -> None:
        self.at.children.append(data)


def read(html: str) -> Element:
    """Return a page as a tree."""
    reader = _Reader()
    reader.feed(html)
    return reader.root


@dataclass(frozen=True)
class Saying:
    """A number as it was said: its text, the sentence around it, and where."""

    text: str
    around: str
    element: Element

    @property
    def value(self) -> float:
        """The number, in the unit that stands behind it."""
        plain = self.text.replace(",", "").replace("\N{MINUS SIGN}", "-")
        return float(plain) * self._scale

    @property
    def tolerance(self) -> float:
        """How far from what is stored a number written with so many digits may be."""
        mantissa, _, power = self.text.replace(",", "").partition("e")
        decimals = len(mantissa.partition(".")[2])
        return 0.5 * 10.0 ** (int(power or 0) - decimals) * self._scale * (1 + 1e-9)

    @property
    def is_count(self) -> bool:
        """Whether it is a small whole number, as counts and ids are."""
        return self.text.lstrip("+").isdecimal() and int(self.text) < 100 and self._scale == 1

    @property
    def _scale(self) -> float:
        behind = self.around.partition(self.text)[2].lstrip()
        return next((scale for unit, scale in SCALES.items() if behind.startswith(unit)), 1.0)


def sayings(root: Element) -> Iterator[Saying]:
    """Yield every number that a page says: in its texts, tooltips, labels, and in data that it hands to its scripts."""
    for element in root.walk():
        if element.tag == "script" and element.attributes.get("type") == "application/json":
            for number in numbers_in(json.loads("".join(map(str, element.children)) or "null")):
                yield Saying(repr(number), repr(number), element)
        if any(above.tag in SILENT for above in _above(element)):
            continue
        texts = [element.attributes[name] for name in SPOKEN if name in element.attributes]
        texts += [child for child in element.children if isinstance(child, str)]
        for text in texts:
            for found in NUMBER.finditer(text):
                yield Saying(found[0], text[found.start() : found.start() + 60].strip(), element)


def _above(element: Element) -> Iterator[Element]:
    at: Element | None = element
    while at is not None:
        yield at
        at = at.parent


def numbers_in(data: Any) -> Iterator[float]:
    """Yield every number in JSON data, those in its sentences included."""
    if isinstance(data, bool) or data is None:
        return
    if isinstance(data, (int, float)):
        yield float(data)
    elif isinstance(data, str):
        for found in NUMBER.finditer(data):
            yield float(found[0].replace(",", "").replace("\N{MINUS SIGN}", "-"))
    elif isinstance(data, dict):
        for key, value in data.items():
            yield from numbers_in(str(key))
            yield from numbers_in(value)
    elif isinstance(data, Iterable):
        for value in data:
            yield from numbers_in(value)
