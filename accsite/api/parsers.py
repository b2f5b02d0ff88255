"""Reads the bodies of requests: no more than is allowed, and nothing that no database can keep."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from django.conf import settings
from rest_framework import exceptions
from rest_framework.parsers import JSONParser

from acc.errors import InvalidInput

MOST_DEPTH = 64
MOST_DIGITS = 40


class BodyTooLarge(exceptions.APIException):
    """More bytes than a body of JSON may have."""

    status_code = 413
    default_detail = "The body is too large"
    default_code = "too_large"


class BoundedJSONParser(JSONParser):
    """JSON of at most ACC_MAX_BODY_BYTES, without zero bytes, halves of characters and infinite numbers."""

    def parse(
        self,
        stream: Any,
        media_type: str | None = None,  # noqa: ARG002
        parser_context: Mapping[str, Any] | None = None,  # noqa: ARG002
    ) -> Any:
        """Return the data; raises ParseError (400), BodyTooLarge (413), InvalidInput (422)."""
        most = settings.ACC_MAX_BODY_BYTES
        raw = stream.read(most + 1)
        if len(raw) > most:
            raise BodyTooLarge(f"a body may have {most:,} bytes")
        try:
            data = json.loads(raw.decode("utf-8"), parse_constant=_constant, parse_int=_integer)
        except (ValueError, RecursionError) as error:
            # The text of a UnicodeDecodeError would repeat the bytes.
            why = "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
            raise exceptions.ParseError(f"the body is not JSON: {why[:200]}") from None
        for where, fault in _faults(data, "", 0):
            raise InvalidInput({where or "__all__": fault})
        return data


def _constant(text: str) -> float:
    raise ValueError(f"{text} is not a number in JSON")


def _integer(text: str) -> int | float:
    if len(text) > MOST_DIGITS:
        raise ValueError(f"a number of {len(text)} digits is too long")
    return int(text)


def _faults(value: Any, where: str, depth: int) -> Iterator[tuple[str, str]]:
    """Yield (field, sentence) of what cannot be kept, the first is enough."""
    if depth > MOST_DEPTH:
        yield where, f"it is nested deeper than {MOST_DEPTH} levels"
    elif isinstance(value, str):
        yield from ((where, fault) for fault in _text_faults(value))
    elif isinstance(value, float) and not math.isfinite(value):
        yield where, "the number is too large"
    elif isinstance(value, int) and not -(2**63) <= value < 2**63:
        yield where, f"{value} is out of range"
    elif isinstance(value, dict):
        for key, entry in value.items():
            yield from (("__all__", f"a name in it: {fault}") for fault in _text_faults(key))
            yield from _faults(entry, f"{where}.{key}" if where else key, depth + 1)
    elif isinstance(value, list):
        for index, entry in enumerate(value):
            yield from _faults(entry, f"{where}.{index}" if where else str(index), depth + 1)


def _text_faults(text: str) -> Iterator[str]:
    if "\x00" in text:
        yield "a text may not hold a zero byte"
    try:
        text.encode()
    except UnicodeEncodeError:
        yield "the text holds half of a character (a lone surrogate)"
