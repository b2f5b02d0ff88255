"""What the REST views of all apps share."""

from __future__ import annotations

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema, extend_schema_view
from rest_framework.fields import empty

from accsite.problems import Problem

REFUSALS = {
    422: OpenApiResponse(Problem, "The input was refused; `errors` names each field."),
    409: OpenApiResponse(Problem, "It is not in a state in which this can be done; the text says why."),
}
"""What every operation may answer with that changes something."""

KEY = OpenApiParameter(
    "Idempotency-Key",
    location=OpenApiParameter.HEADER,
    description="A request that is sent again with the same key answers with what the first one made.",
)
"""What every operation takes that starts work."""


def query(name: str, what: str, kind: Any = OpenApiTypes.STR, **more: Any) -> OpenApiParameter:
    return OpenApiParameter(name, kind, description=what, **more)


def narrowed(*parameters: OpenApiParameter, responses: Any = empty) -> Any:
    """Tell the schema by which query parameters the list of a view set is narrowed, and what it answers with."""
    return extend_schema_view(list=extend_schema(parameters=list(parameters), responses=responses))
