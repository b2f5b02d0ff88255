"""What the REST views of all apps share."""

from __future__ import annotations

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse

from accsite.problems import Problem

REFUSED = {
    422: OpenApiResponse(Problem, "The input was refused; `errors` names each field."),
    409: OpenApiResponse(Problem, "It is not in a state in which this can be done."),
}

KEY = OpenApiParameter(
    "Idempotency-Key",
    location=OpenApiParameter.HEADER,
    description="A request that is sent again with the same key answers with what the first one made.",
)
"""What every operation takes that starts work."""


def query(name: str, what: str, kind: Any = OpenApiTypes.STR) -> OpenApiParameter:
    return OpenApiParameter(name, kind, description=what)
