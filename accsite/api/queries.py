"""Refuses query parameters that an operation of the API does not have, as unknown fields of a body are refused.

What it has is read from the schema, so that what is documented and what is taken are the same.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from django.http import HttpRequest, HttpResponse

from accsite import problems

PREFIX = "/api/v1/"
ANYWHERE = frozenset({"v"})
"""The version of what an address shows: pages add it, so that browsers keep each version."""

_making = threading.Lock()

Operation = tuple[re.Pattern[str], dict[str, list[str]]]


class QueryMiddleware:
    """Answers 422, naming what is right, before a view is asked."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, *_: Any) -> HttpResponse | None:
        """Return a refusal if the address holds a parameter that nothing reads."""
        if not request.GET or not request.path.startswith(PREFIX) or request.method == "OPTIONS":
            return None
        known = parameters_of(request.path, "GET" if request.method == "HEAD" else request.method or "")
        if known is None:
            return None
        if not request.user.is_authenticated and "Authorization" not in request.headers:
            return None  # who is nobody is told that first
        given = [name for name in request.GET if name not in ANYWHERE]
        unknown = [name for name in given if not any(_is(name, each) for each in known)]
        if not unknown:
            return None
        right = f"it has: {', '.join(known)}" if known else "it has none"
        return problems.refused_input(
            {
                name[:80]: [f"{name[:80]!r} is not a query parameter of this operation; {right}"]
                for name in unknown
            }
        )


def parameters_of(path: str, method: str) -> list[str] | None:
    """Return the names of the query parameters of an operation; None for an address that the schema does not have."""
    with (
        _making
    ):  # the schema's generator fails where two threads begin it at once, as the pictures of a page do
        operations = _operations()
    for pattern, methods in operations:
        if pattern.fullmatch(path):
            return methods.get(method.lower())
    return None


@lru_cache(maxsize=1)
def _operations() -> list[Operation]:
    """Return what the schema says, made once; addresses without variable parts come first."""
    from drf_spectacular.generators import SchemaGenerator

    generator: Any = SchemaGenerator
    paths = generator().get_schema(request=None, public=True)["paths"]
    return [
        (_pattern(path), {method: _names(operation) for method, operation in methods.items()})
        for path, methods in sorted(paths.items(), key=lambda item: (item[0].count("{"), item[0]))
    ]


def _names(operation: dict[str, Any]) -> list[str]:
    return sorted(each["name"] for each in operation.get("parameters", []) if each["in"] == "query")


def _pattern(path: str) -> re.Pattern[str]:
    parts = (part if index % 2 == 0 else None for index, part in enumerate(re.split(r"\{(\w+)\}", path)))
    # A plugin's file is named by its path, with its slashes.
    variable = ".+" if "plugin-files" in path else "[^/]+"
    return re.compile("".join(variable if part is None else re.escape(part) for part in parts))


def _is(name: str, known: str) -> bool:
    """Return whether a parameter is this one; ``<target>.min`` stands for one of any target."""
    before, variable, after = known.partition("<target>")
    return name == known if not variable else name.startswith(before) and name.endswith(after)
