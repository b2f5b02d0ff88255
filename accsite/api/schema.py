"""Finishes the OpenAPI schema: every operation says in a line what it does, and that it may answer with a problem."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from drf_spectacular.settings import spectacular_settings
from pydantic import TypeAdapter

from accsite.problems import CONTENT_TYPE, Problem

METHODS = frozenset({"get", "post", "put", "patch", "delete"})
REFERENCE = {"$ref": "#/components/schemas/Problem"}


def describe_problems(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Let each operation answer with a problem detail where it does not say what else. A hook of drf-spectacular."""
    schemas = result.setdefault("components", {}).setdefault("schemas", {})
    schemas.setdefault("Problem", _problem())
    for operation in _operations(result):
        responses = operation.setdefault("responses", {})
        for answer in responses.values():
            content = answer.get("content", {})
            if content.get("application/json", {}).get("schema") == REFERENCE:
                content[CONTENT_TYPE] = content.pop("application/json")
        responses.setdefault(
            "default",
            {
                "description": "It was refused or failed; the problem says why.",
                "content": {CONTENT_TYPE: {"schema": REFERENCE}},
            },
        )
    return result


def summarise(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Give each operation the first sentence of its description as summary. A hook of drf-spectacular."""
    for operation in _operations(result):
        sentence = " ".join(operation.get("description", "").split()).partition(". ")[0]
        if sentence:
            operation.setdefault("summary", sentence.removesuffix("."))
    return result


def _operations(result: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for path in result.get("paths", {}).values():
        yield from (operation for method, operation in path.items() if method in METHODS)


def _problem() -> dict[str, Any]:
    assert spectacular_settings.OAS_VERSION.startswith("3.1")
    return TypeAdapter(Problem).json_schema(mode="serialization")
