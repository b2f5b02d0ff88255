"""What pydantic refuses, said to a person: the value, and what would be right. Torch-free."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

SHOWN_CHARACTERS = 40
# pydantic's type of error -> what would be right, with the error's own numbers.
RIGHT = {
    "greater_than_equal": "the least allowed is {ge}",
    "greater_than": "it must be above {gt}",
    "less_than_equal": "the most allowed is {le}",
    "less_than": "it must be below {lt}",
    "int_parsing": "give a whole number",
    "int_parsing_size": "give a smaller whole number",
    "int_from_float": "give a whole number",
    "int_type": "give a whole number",
    "float_parsing": "give a number",
    "float_type": "give a number",
    "finite_number": "give a finite number",
    "bool_parsing": "give true or false",
    "bool_type": "give true or false",
    "string_type": "give text",
    "string_too_long": "it has more than {max_length} characters",
}
# A pattern is for programs; these are the words for the ones in use.
PATTERNS = {
    "^[a-z0-9][a-z0-9_-]{0,63}$": "use 1 to 64 of a-z, 0-9, _ and -, a letter or digit first",
    "^(auto|cpu|cuda(:\\d+)?)$": "give auto, cpu, cuda, or cuda: and a number",
}


def field_errors(error: ValidationError, *, prefix: str = "") -> dict[str, list[str]]:
    """Return pydantic's errors as field -> sentences that name the refused value and what would be right."""
    fields: dict[str, list[str]] = {}
    for item in error.errors():
        where = prefix + ".".join(str(part) for part in item["loc"]) if item["loc"] else "__all__"
        fields.setdefault(where, []).append(_sentence(item))
    return fields


def _sentence(item: Mapping[str, Any]) -> str:
    kind, value = item["type"], item["input"]
    message: str = item["msg"].removeprefix("Value error, ")
    if kind == "missing":
        return "a value is needed here; none was given"
    if kind == "extra_forbidden":
        return f"{item['loc'][-1]!r} is not a field here; look for a slip in its name"
    if kind == "value_error" or isinstance(value, dict | list):
        return message
    return (
        f"{_short(value)} is refused: {_right(kind, item.get('ctx', {})) or message[0].lower() + message[1:]}"
    )


def _right(kind: str, found: Mapping[str, Any]) -> str:
    if kind == "literal_error":
        return "choose one of: " + ", ".join(re.findall(r"'([^']*)'", found["expected"]))
    if kind == "string_pattern_mismatch":
        return PATTERNS.get(found["pattern"].removeprefix("^$|"), "")
    numbers = {
        name: f"{value:,}" if isinstance(value, int) else f"{value:g}"
        for name, value in found.items()
        if isinstance(value, int | float)
    }
    return RIGHT.get(kind, "").format_map(numbers)


def _short(value: Any) -> str:
    if isinstance(value, str) and len(value) > SHOWN_CHARACTERS:
        value = f"{value[:SHOWN_CHARACTERS]}…"
    return repr(value)
