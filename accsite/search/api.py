"""Finding things by REST."""

from __future__ import annotations

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from pydantic import BaseModel, Field
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from acc.errors import InvalidInput
from accsite.api.common import query
from accsite.api.lookup import whole_number
from accsite.problems import Problem
from accsite.search import HEADINGS, MAX_QUERY, MOST_SHOWN, SHOWN, Group, search


class FoundThing(BaseModel):
    """One thing: what it is called, what it is and where, and the address of its page."""

    kind: str
    name: str
    about: str
    url: str


class FoundGroup(BaseModel):
    """Things of one kind, best first."""

    kind: str
    heading: str
    more: bool = Field(description="whether there are more of them than were asked for")
    found: list[FoundThing]


class SearchAnswer(BaseModel):
    """What was found, the kind of the best first."""

    query: str
    groups: list[FoundGroup]


class SearchView(APIView):
    """Whatever has a name."""

    permission_classes = [IsAuthenticated]

    @extend_schema(
        operation_id="search",
        parameters=[
            query("q", "A few letters of a name, a number, or a kind and a name, such as `job 58`."),
            query("kind", "Of one kind alone.", enum=list(HEADINGS)),
            query("limit", f"How many of each kind, at most {MOST_SHOWN}.", OpenApiTypes.INT),
        ],
        responses={
            200: SearchAnswer,
            422: OpenApiResponse(Problem, "The input was refused; `errors` names each field."),
        },
    )
    def get(self, request: Request) -> Response:
        """Find what is called so, among what one may see."""
        asked = request.query_params.get("q", "")
        if len(asked) > MAX_QUERY:
            raise InvalidInput({"q": f"{len(asked)} letters are too many to find; at most {MAX_QUERY}"})
        kind = request.query_params.get("kind", "")
        if kind and kind not in HEADINGS:
            raise InvalidInput(
                {"kind": f"{kind[:80]!r} is not a kind of thing; known: {', '.join(HEADINGS)}"}
            )
        limit = whole_number(request, "limit", least=1) or SHOWN
        groups = search(request.user, asked, kind=kind, limit=min(limit, MOST_SHOWN))
        return Response({"query": asked, "groups": as_json(groups)})


def as_json(groups: list[Group]) -> list[dict[str, Any]]:
    """Return what was found as the API tells it."""
    return [
        {
            "kind": group.kind,
            "heading": group.heading,
            "more": group.more,
            "found": [
                {"kind": each.kind, "name": each.name, "about": each.about, "url": each.url}
                for each in group.found
            ],
        }
        for group in groups
    ]
