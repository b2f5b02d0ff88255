"""Finds what a request names, among what its user may see."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, TypeVar

from django.db.models import Model, QuerySet
from rest_framework.request import Request

from acc.errors import InvalidInput
from accsite.errors import WrongState

M = TypeVar("M", bound=Model)
MOST = 2**63 - 1
"""The greatest whole number that the databases hold."""


def body(request: Request, *allowed: str) -> dict[str, Any]:
    """Return the JSON object of a request; raises InvalidInput when it is none or has other fields."""
    data = request.data
    if not isinstance(data, Mapping):
        raise InvalidInput({"__all__": f"send a JSON object, not {type(data).__name__}"})
    return only(data, *allowed)


def only(data: Mapping[str, Any], *allowed: str) -> dict[str, Any]:
    """Return ``data``; raises InvalidInput when it has fields other than those allowed (none given: any)."""
    unknown = [name for name in data if allowed and name not in allowed]
    if unknown:
        right = ", ".join(allowed)
        raise InvalidInput({name: f"{name!r} is not a field here; known: {right}" for name in unknown})
    return dict(data)


def nested(data: Mapping[str, Any], field: str) -> dict[str, Any]:
    """Return the object in a field, empty when it is not given; raises InvalidInput when it is none."""
    value = data.get(field)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise InvalidInput({field: f"{value!r} is not an object"})
    return dict(value)


def flag(data: Mapping[str, Any], field: str, *, default: bool) -> bool:
    """Return a field as true or false; raises InvalidInput when it is neither."""
    value = data.get(field, default)
    if not isinstance(value, bool):
        raise InvalidInput({field: f"{value!r} is neither true nor false"})
    return value


def prefixed(error: InvalidInput, prefix: str, *, but: Collection[str] = ()) -> InvalidInput:
    """Return the error with its fields as they stand in the request's body: ``steps`` -> ``train.steps``."""
    kind = WrongState if isinstance(error, WrongState) else InvalidInput
    return kind(
        {
            (name if name in but or name == "__all__" else f"{prefix}.{name}"): messages
            for name, messages in error.fields.items()
        }
    )


def named(rows: QuerySet[M], field: str, value: Any, *, by: str = "pk") -> M:
    """Return the row that ``value`` names; raises InvalidInput(field) when it is not among ``rows``."""
    found = None
    whole = isinstance(value, int) or (isinstance(value, str) and value.isdecimal())
    if (
        not isinstance(value, bool)
        and (whole if by == "pk" else isinstance(value, str))
        and len(str(value)) <= 80
    ):
        found = rows.filter(**{by: value}).first() if by != "pk" or int(value) < 2**63 else None
    if found is None:
        known = ", ".join(str(row) for row in rows.order_by("-pk").values_list(by, flat=True)[:10]) or "none"
        raise InvalidInput({field: f"{value!r} is not a {field} that you may use; known: {known}"})
    return found


def whole_number(request: Request, name: str, *, least: int = 0) -> int | None:
    """Return a query parameter as a whole number, None when it is not given; raises InvalidInput."""
    text = request.query_params.get(name)
    if text is None or text == "":
        return None
    try:
        number = int(text)
    except ValueError:
        raise InvalidInput({name: f"{text!r} is not a whole number"}) from None
    if number < least:
        raise InvalidInput({name: f"{text} is out of range; at least {least:,}"})
    if number > MOST:
        raise InvalidInput({name: f"{text} is out of range; at most {MOST:,}"})
    return number
