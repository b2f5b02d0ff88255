"""What a page of samples is asked for: filters, order, page and the two targets of the plot, as its address says it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from django.http import QueryDict

from acc.data import browse
from acc.errors import InvalidInput
from accsite.apps.datasets.models import Dataset

FILTERS = ("min", "max", "in")


@dataclass(frozen=True)
class Choice:
    """``query``: sort, order and filters as the selectors and the API take them; ``errors``: what was refused."""

    query: dict[str, str]
    page: int = 1
    x: str = ""
    y: str = ""
    errors: dict[str, list[str]] = field(default_factory=dict)

    @property
    def filters(self) -> dict[str, str]:
        return {name: text for name, text in self.query.items() if name not in {"sort", "order"}}

    def address(self, **changes: Any) -> str:
        """Return the query of this page with changes; an empty value leaves a field out."""
        asked = {
            **self.query,
            "x": self.x,
            "y": self.y,
            "page": self.page if self.page > 1 else "",
            **changes,
        }
        return "?" + urlencode({name: value for name, value in asked.items() if value not in ("", None)})

    def value(self, target: str, kind: str) -> str:
        """Return what a filter of a target was given."""
        return self.query.get(f"{target}.{kind}", "")


def read(dataset: Dataset, given: QueryDict) -> Choice:
    """Return what an address asks of a dataset's page; what is wrong in it is left out and told in ``errors``."""
    names = [target["name"] for target in dataset.targets]
    query: dict[str, str] = {}
    for target in names:
        for kind in FILTERS:
            field_name = f"{target}.{kind}"
            text = ",".join(filter(None, (part.strip() for part in given.getlist(field_name))))
            if text:
                query[field_name] = text
    errors: dict[str, list[str]] = {}
    try:
        browse.filters_of(query, dataset.targets)
    except InvalidInput as error:
        errors |= {name: list(said) for name, said in error.fields.items()}
        query = {name: text for name, text in query.items() if name not in errors}
    sort, order = given.get("sort", ""), given.get("order", "")
    if sort in names:
        query["sort"] = sort
    elif sort not in {"", "index"}:
        errors["sort"] = [f"{sort!r} is not a target here; there are: {', '.join(names) or 'none'}"]
    if order == "desc":
        query["order"] = order
    elif order not in {"", "asc"}:
        errors["order"] = [f"{order!r} is refused; choose asc or desc"]
    page = given.get("page", "1")
    x, y = _plotted(dataset.targets, given)
    return Choice(query, int(page) if page.isdecimal() and len(page) < 10 else 1, x, y, errors)


def _plotted(targets: list[dict[str, Any]], given: Mapping[str, str]) -> tuple[str, str]:
    """Return the targets of the plot: those asked for, else the first two, real ones before classes."""
    names = [target["name"] for target in sorted(targets, key=lambda target: target["kind"] != "real")]
    if len(names) < 2:
        return "", ""
    x = given.get("x", "")
    x = x if x in names else names[0]
    y = given.get("y", "")
    y = y if y in names and y != x else next(name for name in names if name != x)
    return x, y
