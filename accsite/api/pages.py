"""Pages of lists, and the order that a list is asked for in."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from rest_framework.filters import OrderingFilter
from rest_framework.pagination import LimitOffsetPagination
from rest_framework.request import Request

from acc.errors import InvalidInput

MOST_ROWS = 500
LAST_OFFSET = 2**31


class Pages(LimitOffsetPagination):
    """``limit`` rows (50, at most 500) from ``offset`` on; ``next`` and ``previous`` are the addresses beside it."""

    max_limit: int | None = MOST_ROWS

    def get_limit(self, request: Request) -> int | None:
        """Return how many rows; raises InvalidInput."""
        _whole(request, "limit", 1)
        return super().get_limit(request)

    def get_offset(self, request: Request) -> int:
        """Return where the page begins; raises InvalidInput."""
        _whole(request, "offset", 0)
        return super().get_offset(request)


class Ordering(OrderingFilter):
    """``ordering=name`` or ``-name``, several with commas, among the view's ``ordering_fields``.

    Rows that are equal in it come newest first, so that pages never overlap.
    """

    def filter_queryset(self, request: Request, queryset: QuerySet[Any], view: Any) -> QuerySet[Any]:
        """Return the rows in the order asked for; raises InvalidInput(ordering)."""
        asked = request.query_params.get(self.ordering_param, "")
        fields = tuple(getattr(view, "ordering_fields", ()))
        if not asked or view.detail:
            return queryset
        terms = [term.strip() for term in asked.split(",")]
        for term in terms:
            if term.removeprefix("-") not in fields:
                right = ", ".join(fields) or "nothing"
                raise InvalidInput(
                    {"ordering": f"{term!r} is not what these can be ordered by; choose of: {right}"}
                )
        return queryset.order_by(*terms, "-pk")

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        fields = tuple(getattr(view, "ordering_fields", ()))
        if not fields:
            return []
        what = f"{', '.join(fields)}; with - before it from the last to the first, several with commas"
        schema = {"type": "string", "pattern": _pattern(fields)}
        return [
            {
                "name": self.ordering_param,
                "required": False,
                "in": "query",
                "description": what,
                "schema": schema,
            }
        ]


def _pattern(fields: tuple[str, ...]) -> str:
    one = f"-?({'|'.join(fields)})"
    return f"^{one}(,{one})*$"


def _whole(request: Request, name: str, least: int) -> None:
    text = request.query_params.get(name, "")
    if text and not (
        text.isascii() and text.isdecimal() and len(text) < 12 and least <= int(text) <= LAST_OFFSET
    ):
        raise InvalidInput({name: f"{text[:40]!r} is not a whole number from {least} on"})
